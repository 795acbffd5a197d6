/* The text of a CIF to its data blocks: the syntax of CIF 1.1 (Hall, Allen & Brown 1991). */

import { Refusal, needsProgram } from "./cell.js";

/* A file may say these only once. */
const ONCE = /^_(cell|atom_site|symmetry|space_group)_/;
/* Core CIF 3 and mmCIF write _cell.length_a for _cell_length_a. */
const DOTTED = /^_(cell|atom_site|symmetry|space_group|chemical_formula)\w*\./;

/** Return the words of a CIF: {text, quoted, line}. */
function words(text) {
  const found = [];
  const lines = text.split(/\r\n?|\n/);
  for (let n = 0; n < lines.length; n++) {
    const line = lines[n];
    if (line.startsWith(";")) {
      const start = n;
      const parts = [line.slice(1)];
      for (n++; n < lines.length && !lines[n].startsWith(";"); n++) parts.push(lines[n]);
      if (n === lines.length) {
        throw new Refusal("unreadable", `not a CIF: the text of line ${start + 1} never ends`);
      }
      found.push({ text: parts.join("\n"), quoted: true, line: start + 1 });
      lines[n] = " " + lines[n].slice(1);
      n--;
      continue;
    }
    let at = 0;
    while (at < line.length) {
      const rest = line.slice(at);
      const blank = /^\s+/.exec(rest);
      if (blank) {
        at += blank[0].length;
        continue;
      }
      if (rest[0] === "#") break;
      // A quote ends where a blank follows it: 'O5' and 'a'b' are words.
      const quoted = /^(?:'(.*?)'|"(.*?)")(?=\s|$)/.exec(rest);
      if (!quoted && /^['"]/.test(rest)) {
        throw new Refusal("unreadable", `not a CIF: line ${n + 1}: a closing quote is missing`);
      }
      const word = quoted ?? /^\S+/.exec(rest);
      const value = quoted ? (quoted[1] ?? quoted[2]) : word[0];
      found.push({ text: value, quoted: !!quoted, line: n + 1 });
      at += word[0].length;
    }
  }
  return found;
}

/** Return the data blocks of a CIF: of each a Map from lower-case tags to their values.
 *
 * @throws Refusal not a CIF, or a tag of the structure given twice.
 */
export function parseCif(text) {
  if (!text.trim()) throw new Refusal("no_atoms", "the text is empty");
  if (text.trimStart().startsWith("<")) {
    throw new Refusal("unreadable", "not a CIF but a web page or XML");
  }
  const control = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/.exec(text);
  if (control) {
    const found = `found the byte ${text.charCodeAt(control.index)}, expected text`;
    throw new Refusal("unreadable", `not a CIF: ${found}`);
  }
  const all = words(text);
  const blocks = [];
  const isKey = (word) => !word.quoted && /^(_|loop_$|data_|save_|stop_$|global_$)/i.test(word.text);
  const fail = (word, why) => {
    throw needsProgram(`Line ${word.line} of the CIF, '${word.text.slice(0, 60)}': ${why}`);
  };
  const say = (word, values) => {
    const block = blocks.at(-1) ?? fail(word, "a CIF begins with data_ and a name");
    let tag = word.text.toLowerCase();
    if (DOTTED.test(tag)) tag = tag.replaceAll(".", "_");
    if (block.has(tag) && ONCE.test(tag) && !isEqual(block.get(tag), values)) {
      throw new Refusal("ambiguous", `${tag} is given twice, expected one`);
    }
    if (!block.has(tag)) block.set(tag, values);
  };
  for (let i = 0; i < all.length; i++) {
    const word = all[i];
    if (word.quoted) fail(word, "expected a tag, a value stands alone");
    if (/^data_/i.test(word.text)) blocks.push(new Map());
    else if (word.text.startsWith("_")) {
      if (i + 1 === all.length || isKey(all[i + 1])) {
        if (ONCE.test(word.text.toLowerCase())) fail(word, "its value is missing");
        continue;
      }
      say(word, [all[++i]]);
    } else if (/^loop_$/i.test(word.text)) {
      const tags = [];
      while (i + 1 < all.length && !all[i + 1].quoted && all[i + 1].text.startsWith("_")) {
        tags.push(all[++i]);
      }
      const values = [];
      while (i + 1 < all.length && !isKey(all[i + 1])) values.push(all[++i]);
      if (!tags.length || values.length % tags.length) {
        fail(word, "rows must be whole: a value is missing or one too many");
      }
      tags.forEach((tag, k) => say(tag, values.filter((_, at) => at % tags.length === k)));
    } else fail(word, "expected a tag, a value stands alone");
  }
  return blocks.map(plain);
}

const isEqual = (a, b) => a.length === b.length && a.every((word, i) => word.text === b[i].text);

/** Return a block with texts for words; `?` and `.` without quotes are empty texts. */
function plain(block) {
  const text = (word) => (!word.quoted && /^[?.]$/.test(word.text) ? "" : word.text);
  return new Map([...block].map(([tag, values]) => [tag, values.map(text)]));
}

/** Return the number that a text is, its uncertainty dropped; NaN if it is none. */
export function asNumber(text) {
  return /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?(\(\d+\))?$/.test(text)
    ? Number(text.replace(/\(\d+\)$/, ""))
    : NaN;
}

/* POSCAR and CONTCAR files of VASP 5 and 6 (https://www.vasp.at/wiki/index.php/POSCAR). */

import { Refusal, determinant, inverse, makeCell, needsProgram, times } from "./cell.js";
import { elementOf } from "./elements.js";

/** Return the number that a word is, NaN for 0x10 and other words that only Number reads. */
const asDecimal = (word) => (/^[-+.\d][-+.\deE]*$/.test(word) ? Number(word) : NaN);

/** Return the cell of a POSCAR that names its elements on line 6. */
export function readPoscar(text) {
  const [, ...rest] = text.replace(/^\ufeff/, "").split(/\r\n?|\n/);
  const lines = rest.map((line) => line.replace(/[#!].*/, "").trim());
  const numbers = (at) => {
    const line = lines[at] ?? "";
    // Fortran reads 1.0D-3, commas, and a minus sign without a space before it.
    if (/^[-+.\d]/.test(line) && /[\d.]([dD][-+\d]|,|-)/.test(line)) {
      throw needsProgram(`Line ${at + 2} of the POSCAR is '${line.slice(0, 60)}'`);
    }
    const words = line.split(/\s+/).slice(0, 3).map(asDecimal);
    if (words.length < 3 || !words.every(Number.isFinite) || !lines[at]) {
      const found = (lines[at] ?? "the end of the file").slice(0, 60);
      throw new Refusal("unreadable", `not a POSCAR: line ${at + 2}: found '${found}', expected three numbers`);
    }
    return words;
  };
  const vectors = [1, 2, 3].map(numbers);
  const factors = (lines[0] ?? "").split(/\s+/).filter(Boolean).map(asDecimal);
  const three = factors.length === 3 && Math.min(...factors) > 0;
  if (!three && !(factors.length === 1 && Number.isFinite(factors[0]) && factors[0] !== 0)) {
    const found = (lines[0] ?? "").slice(0, 40);
    throw needsProgram(`Line 2 of the POSCAR is '${found}', neither one factor nor three`);
  }
  const volume = Math.abs(determinant(vectors));
  if (!volume) throw new Refusal("unreadable", "not a POSCAR: the cell has no volume");
  // One factor of all directions, or the volume of the cell where it is negative.
  const one = factors[0] > 0 ? factors[0] : Math.cbrt(-factors[0] / volume);
  const scale = three ? factors : [one, one, one];
  const scaled = (vector) => vector.map((x, k) => x * scale[k]);
  const lattice = vectors.map(scaled);
  const symbols = (lines[4] ?? "").split(/\s+/).map((word) => word.split(/[/_]/)[0]);
  const isCounts = /^\d+(\s+\d+)*$/;
  if (!isCounts.test(lines[5] ?? "") || isCounts.test(lines[4])) {
    throw needsProgram("The POSCAR does not name its elements on line 6 and count them on line 7");
  }
  const counts = lines[5].split(/\s+/).map(Number);
  if (symbols.length !== counts.length) {
    const found = `found ${symbols.length} symbols and ${counts.length} counts`;
    throw new Refusal("unreadable", `not a POSCAR: ${found}`);
  }
  let at = 6;
  if (/^[sS]/.test(lines[at] ?? "")) at++;
  const cartesian = /^[cCkK]/.test(lines[at++] ?? "");
  const back = inverse(lattice);
  const points = [];
  const species = [];
  const flags = [];
  symbols.forEach((symbol, group) => {
    const found = elementOf(symbol, "line 6");
    flags.push(...found.flags);
    for (let i = 0; i < counts[group]; i++) {
      const point = numbers(at++);
      points.push(cartesian ? times(scaled(point), back) : point);
      species.push(found.element);
    }
  });
  return makeCell(lattice, points, species, flags);
}

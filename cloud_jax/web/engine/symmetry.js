/* The symmetry of a cell, found by moyo (WebAssembly), and its sentence.
 *
 * The rules are those of cloud_jax/scope with symmetry="moyopy"; the tables are written
 * into the page by static_page.py from the same files that Python reads.
 */

import { Refusal, needsProgram } from "./cell.js";

const LADDER = [1, 0.1, 0.01]; // factors on symprec, tried until a group is found
const MAX_COUNT = 256; // of an element in a sentence

/** Return the crystal of a cell: space group, orbits, composition, sentence, flags.
 *
 * @param cell from makeCell.
 * @param find analyze_cell of moyo.
 * @param tables elements, generators, multiplicities, relabelings, enantiomorphs.
 * @param symprec distance tolerance, angstrom.
 */
export function describe(cell, find, tables, symprec) {
  const rank = rankOf(tables);
  // Stable, so that atoms of a kind keep their order, as in Python.
  const order = cell.species.map((_, i) => i);
  order.sort((i, j) => rank(cell.species[i], cell.species[j]));
  const species = order.map((i) => cell.species[i]);
  const kinds = [...new Set(species)].sort();
  const input = JSON.stringify({
    lattice: { basis: cell.lattice.flat() },
    positions: order.map((i) => cell.fractional[i]),
    numbers: species.map((element) => kinds.indexOf(element) + 1),
  });
  const found = search(input, find, symprec);
  const flags = [...cell.flags];
  if (found.symprec < symprec) flags.push("symprec_lowered");
  const multiplicity = tables.multiplicities[found.number];
  const orbits = new Map();
  found.orbits.forEach((orbit, i) => {
    const letter = found.wyckoffs[i];
    if (!orbits.has(orbit)) {
      orbits.set(orbit, { element: species[i], letter, multiplicity: multiplicity[letter] });
    }
  });
  const composition = reduced(species, rank);
  const group = tables.enantiomorphs[found.number] ?? found.number;
  const parts = [
    [...tables.generators[group]].join(" "),
    canonicalOrbits([...orbits.values()], found.number, tables, rank),
    composition.map(([element, count]) => `${element} ${count}`).join(" "),
  ];
  return {
    spaceGroup: found.number,
    symbol: found.hm_symbol,
    orbits: [...orbits.values()],
    composition,
    formula: composition.map(([element, count]) => element + (count > 1 ? count : "")).join(""),
    atomsInPrimitive: Math.max(...found.mapping_std_prim) + 1,
    volumePerAtom: cell.volume / species.length,
    symprec: found.symprec,
    sentence: parts.join(" | "),
    flags: [...new Set(flags)].sort(),
  };
}

/** Return moyo's data set at the largest tolerance that gives one. */
function search(input, find, symprec) {
  let reason;
  for (const factor of LADDER) {
    try {
      return find(input, symprec * factor, "Spglib");
    } catch (error) {
      // A panic leaves the WebAssembly unusable; the worker then starts again.
      if (error instanceof WebAssembly.RuntimeError) throw error;
      reason = error;
    }
  }
  const tried = LADDER.map((factor) => +(symprec * factor).toPrecision(6)).join(", ");
  throw new Refusal("symmetry_failed", `moyo finds no space group at symprec ${tried} (${reason})`);
}

/** Return a comparison of elements: by electronegativity, those without one first. */
function rankOf(tables) {
  const value = (element) => tables.elements[element].electronegativity ?? -Infinity;
  return (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x !== y) return x < y ? -1 : 1;
    return a < b ? -1 : a > b ? 1 : 0;
  };
}

/** Return [element, count] pairs of the reduced formula by rising electronegativity. */
function reduced(species, rank) {
  const counts = new Map();
  for (const element of species) counts.set(element, (counts.get(element) ?? 0) + 1);
  const divide = (a, b) => (b ? divide(b, a % b) : a);
  const divisor = [...counts.values()].reduce(divide);
  const pairs = [...counts].map(([element, count]) => [element, count / divisor]);
  if (pairs.some(([, count]) => count > MAX_COUNT)) {
    throw needsProgram(`The reduced formula has over ${MAX_COUNT} atoms of an element`);
  }
  return pairs.sort(([a], [b]) => rank(a, b));
}

/** Return the words of the orbits: the least of all relabelings by the normaliser. */
function canonicalOrbits(orbits, number, tables, rank) {
  const elements = [...new Set(orbits.map((orbit) => orbit.element))].sort(rank);
  // a to z come before the A of space group 47.
  const place = (letter) => (letter === "A" ? 27 : letter.charCodeAt(0) - 96);
  const compare = (a, b) => a[0] - b[0] || a[1] - b[1];
  const renamed = tables.relabelings[number].map((names) =>
    orbits
      .map(({ element, letter }) => [elements.indexOf(element), place(names[letter]), names[letter]])
      .sort(compare),
  );
  const compareLists = (a, b) => {
    const at = a.findIndex((pair, k) => compare(pair, b[k]));
    return at < 0 ? 0 : compare(a[at], b[at]);
  };
  const least = renamed.reduce((best, list) => (compareLists(list, best) < 0 ? list : best));
  const multiplicity = tables.multiplicities[number];
  return least
    .map(([element, , letter]) => `${elements[element]} ${multiplicity[letter]}${letter}`)
    .join(" ");
}

/* A prediction as the plain data that page/view.js draws. */

import { times } from "./cell.js";
import { R } from "./law.js";
import { nearestKnown } from "./known.js";
import { noveltyOf } from "./novelty.js";

const DIGITS = 5; // of numbers, as in files of cloud-jax predict
const FACE = 0.02; // fractional; atoms so near to a face are drawn on the opposite one too
const MAX_DRAWN = 400; // atoms in a picture

/** Return a crystal for the view.
 *
 * @param id name of its file.
 * @param found what the engine returns.
 * @param data of the page: model, words, groups, measured, known.
 */
export function crystalOf(id, found, data) {
  const { words } = data;
  const properties = [...new Set(found.rows.map((row) => row.property))];
  const all = properties.map((property) =>
    series(found.rows.filter((row) => row.property === property), words),
  );
  const isCurve = (one) => one.temperature_k[0] !== null;
  const capacity = all.find((one) => one.property === "heat_capacity");
  Object.assign(capacity, besideCapacity(found, data.measured, capacity.temperature_k.at(-1)));
  const flags = found.flags.map((name) => ({ name, ...words.flags[name] }));
  return {
    id,
    formula: found.formula,
    n_atoms: found.atomsInPrimitive,
    sentence: found.sentence,
    space_group: { number: found.spaceGroup, ...data.groups[found.spaceGroup] },
    tokens: found.tokens.map((token, i) => ({
      text: token.replace(/^\w+:/, ""),
      role: /^(\[|\|)/.test(token) ? "special" : token.split(":")[0],
      words: words.tokens[token],
      attention: found.looks.map((layer) => Number(layer[i].toFixed(5))),
    })),
    orbits: orbitsOf(found.sentence, words.elements),
    // What training did not cover stands before how the file was read.
    flags: flags.sort((a, b) => (a.level !== "doubt") - (b.level !== "doubt")),
    novelty: noveltyOf(found.sentence, found.distance, data.model, words.novelty),
    curves: all.filter(isCurve),
    scalars: all.filter((one) => !isCurve(one)),
    neighbours: nearestKnown(found.place, found.sentence, data.known),
    cell: pictureOf(found.cell),
  };
}

/** Return the rows of one property as lists over temperature. */
function series(rows, words) {
  const [{ property, unit, basis }] = rows;
  const list = (name) =>
    rows.map((row) => (Number.isFinite(row[name]) ? Number(row[name].toPrecision(DIGITS)) : null));
  const lists = ["value", "spread", "lower", "upper"];
  return {
    property,
    title: words.properties[property],
    unit,
    basis,
    temperature_k: rows.map((row) => row.temperature_k),
    ...Object.fromEntries(lists.map((name) => [name, list(name)])),
  };
}

/** Return the limit of Dulong and Petit, and measured points up to a temperature [K]. */
function besideCapacity({ composition, formula, spaceGroup }, measured, hottest) {
  const atoms = composition.reduce((sum, [, count]) => sum + count, 0);
  const limit = Number((3 * R * atoms).toFixed(3));
  const known = measured.find((one) => one.formula === formula && one.groups.includes(spaceGroup));
  if (!known) return { limit };
  const shown = known.temperature_k.filter((t) => t <= hottest);
  const value = known.value.slice(0, shown.length);
  return { limit, measured: { temperature_k: shown, value, source: known.source } };
}

/** Return the orbits that a sentence names, equal ones together. */
function orbitsOf(sentence, names) {
  const found = new Map();
  for (const [text, element, multiplicity, letter] of sentence
    .split(" | ")[1]
    .matchAll(/([A-Z][a-z]?) (\d+)([a-zA-Z])/g)) {
    const orbitTimes = (found.get(text)?.times ?? 0) + 1;
    const atoms = multiplicity === "1" ? "1 atom" : `${multiplicity} equivalent atoms`;
    const words = `${atoms} of ${names[element]}`;
    found.set(text, {
      element,
      symbol: multiplicity + letter,
      multiplicity: Number(multiplicity),
      times: orbitTimes,
      words: orbitTimes === 1 ? words : `${words}, ${orbitTimes} such orbits`,
    });
  }
  return [...found.values()];
}

/** Return lattice and Cartesian atoms [element, x, y, z], those on a face on both faces. */
function pictureOf({ lattice, fractional, species }) {
  const atoms = [];
  const round = (x) => Number(x.toFixed(4));
  fractional.forEach((point, i) => {
    const inside = point.map((x) => x - Math.floor(x + 1e-6));
    const [first, second, third] = inside.map((x) => (x < FACE ? [0, 1] : [0]));
    for (const a of first)
      for (const b of second)
        for (const c of third) {
          const at = times([inside[0] + a, inside[1] + b, inside[2] + c], lattice);
          atoms.push([species[i], ...at.map(round)]);
        }
  });
  const isLarge = atoms.length > MAX_DRAWN;
  return {
    lattice: lattice.map((vector) => vector.map(round)),
    atoms: isLarge ? [] : atoms,
    note: isLarge ? `a cell of ${species.length} atoms is not drawn` : "",
  };
}

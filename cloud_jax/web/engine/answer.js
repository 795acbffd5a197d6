/* A prediction as the plain data that page/view.js draws. */

import { times } from "./cell.js";
import { R } from "./law.js";

const SYSTEMS = [
  [2, "triclinic"], [15, "monoclinic"], [74, "orthorhombic"], [142, "tetragonal"],
  [167, "trigonal"], [194, "hexagonal"], [230, "cubic"],
];

/** Return a crystal for the view.
 *
 * @param id name of its file.
 * @param found what the engine returns.
 * @param data of the page: model, words.
 */
export function crystalOf(id, found, { model, words }) {
  const isCurve = (row) => row.temperature_k !== null;
  const properties = [...new Set(found.rows.map((row) => row.property))];
  const ofProperty = (property) => found.rows.filter((row) => row.property === property);
  const groups = properties.map(ofProperty);
  const atoms = found.composition.reduce((sum, [, count]) => sum + count, 0);
  return {
    id,
    formula: found.formula,
    space_group: {
      number: found.spaceGroup,
      symbol: found.symbol.replaceAll(" ", ""),
      system: SYSTEMS.find(([last]) => found.spaceGroup <= last)[1],
    },
    n_atoms: found.atomsInPrimitive,
    sentence: found.sentence,
    cell: { ...pictureOf(found.cell), note: "" },
    novelty: noveltyOf(found.distance, model.calibration?.novelty),
    flags: found.flags.map((name) => ({ name, ...words.flags[name] })),
    tokens: found.tokens.map((token, i) => ({
      text: token.replace(/^\w+:/, ""),
      role: /^(\[|\|)/.test(token) ? "special" : token.split(":")[0],
      words: words.tokens[token],
      attention: found.looks.map((layer) => layer[i]),
    })),
    orbits: found.orbits.map(({ element, multiplicity, letter }) => ({
      element,
      symbol: `${multiplicity}${letter}`,
      multiplicity,
      words: words.tokens[`wyckoff:${multiplicity}${letter}`],
    })),
    neighbours: [],
    curves: groups.filter(([row]) => isCurve(row)).map((rows) => series(rows, words, atoms)),
    scalars: groups.filter(([row]) => !isCurve(row)).map((rows) => series(rows, words, atoms)),
  };
}

/** Return the rows of one property as lists over temperature. */
function series(rows, words, atoms) {
  const [{ property, unit, basis }] = rows;
  const list = (name) => rows.map((row) => (Number.isFinite(row[name]) ? row[name] : null));
  const lists = ["temperature_k", "value", "spread", "lower", "upper"];
  return {
    property,
    unit,
    basis,
    title: words.properties[property],
    limit: property === "heat_capacity" ? 3 * R * atoms : null,
    measured: null,
    ...Object.fromEntries(lists.map((name) => [name, list(name)])),
  };
}

/** Return lattice and Cartesian atoms [element, x, y, z], those on a face on all faces. */
function pictureOf({ lattice, fractional, species }) {
  const atoms = [];
  fractional.forEach((point, i) => {
    const inside = point.map((x) => x - Math.floor(x + 1e-6));
    const ends = inside.map((x) => (Math.abs(x) < 1e-3 ? [0, 1] : [0]));
    for (const a of ends[0])
      for (const b of ends[1])
        for (const c of ends[2]) {
          const at = [inside[0] + a, inside[1] + b, inside[2] + c];
          atoms.push([species[i], ...times(at, lattice)]);
        }
  });
  return { lattice, atoms };
}

/** Return how far a crystal is from the training rows, in words. */
function noveltyOf(distance, widening) {
  if (!widening || !Number.isFinite(distance)) {
    return { level: "note", words: "The model does not say how far its training rows are." };
  }
  const factor = Math.max(distance / widening.near, 1) ** widening.exponent;
  if (distance > widening.far) {
    const words = "It is far from every labelled training crystal: nothing that the intervals " +
      "were tested on is as far.";
    return { level: "doubt", words };
  }
  if (distance > widening.near) {
    const words = "It lies at some distance from the labelled training crystals, so the " +
      `interval is ${factor.toFixed(1)} times as wide as near them.`;
    return { level: "note", words };
  }
  const words = "It lies among the labelled training crystals, where the intervals were tested.";
  return { level: "good", words };
}

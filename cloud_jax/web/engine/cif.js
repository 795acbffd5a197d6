/* CIFs to cells: what cloud_jax/structures reads, or a refusal.
 *
 * Files with full sites, known symmetry and a formula that agrees are read. Mixed
 * sites, incomplete or contradictory symmetry, missing hydrogens and the like are left to
 * the Python program: a page that guesses would be believed.
 */

import { FARTHEST, MAX_ATOMS, Refusal, SHORTEST_DISTANCE, checkLattice, makeCell, needsProgram, rint, times } from "./cell.js";
import { asNumber, parseCif } from "./cif_text.js";
import { elementOf } from "./elements.js";
import { groupsOf } from "./operations.js";

const SITE_TOLERANCE = 1e-4; // fractional; images closer than this are one site
const COINCIDENT = 0.01; // angstrom; images that no symmetry search tells apart
const FRACTION_TOLERANCE = 1e-4; // 0.3333 is meant as 1/3 when this close, relative
const FULL = 0.995;
const FORMULA_TOLERANCE = 0.02; // relative; formulas are rounded
const HYDROUS = /^([Ww]at|H2O$|O-?[Hh]|O\d*[Ww]|[NC]H[1-4]?$)/;

/** Return the cell of the first data block that holds atoms.
 *
 * @param text of the file.
 * @param settings see groupsOf.
 */
export function readCif(text, settings) {
  const filled = parseCif(text.replace(/^\ufeff/, "")).filter((block) => rowCount(block));
  if (!filled.length) {
    const found = "found no data block with _atom_site_fract_x, _y and _z rows";
    throw new Refusal("no_atoms", found);
  }
  const block = filled[0];
  const lattice = latticeOf(block);
  const groups = groupsOf(block, lattice, settings);
  const rows = rowsOf(block);
  const agreeing = [];
  let reason;
  for (const operations of groups) {
    try {
      const atoms = expand(rows, operations, lattice);
      const points = atoms.map((atom) => atom.point);
      const flags = rows.flatMap((row) => row.flags);
      const cell = makeCell(lattice, points, atoms.map((atom) => atom.element), flags);
      checkContents(block, cell);
      agreeing.push(cell);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      reason ??= error;
    }
  }
  if (!agreeing.length) throw reason;
  const [cell] = agreeing;
  if (agreeing.length > 1) cell.flags.push("setting_assumed");
  if (filled.length > 1) cell.flags.push("first_of_several");
  return cell;
}

const FRACTIONAL = ["x", "y", "z"].map((axis) => `_atom_site_fract_${axis}`);

function rowCount(block) {
  return FRACTIONAL.every((tag) => block.has(tag)) ? block.get(FRACTIONAL[0]).length : 0;
}

/** Return cell vectors in rows, angstrom: a along x, b in the plane of x and y. */
function latticeOf(block) {
  const value = (tag) => {
    const number = asNumber(block.get(tag)?.[0] ?? "");
    if (!(number > 0 && Number.isFinite(number))) {
      const found = block.get(tag)?.[0] || "nothing";
      throw new Refusal("bad_lattice", `${tag}: found ${found}, expected a positive number`);
    }
    return number;
  };
  const [a, b, c] = ["a", "b", "c"].map((axis) => value(`_cell_length_${axis}`));
  const angles = ["alpha", "beta", "gamma"].map((name) => value(`_cell_angle_${name}`));
  // As gemmi: the cosine of 90 degrees is 0, not 6e-17.
  const cosine = (x) => (x === 90 ? 0 : Math.cos((x * Math.PI) / 180));
  const [cosA, cosB, cosC] = angles.map(cosine);
  const sinC = angles[2] === 90 ? 1 : Math.sin((angles[2] * Math.PI) / 180);
  const along = (cosA - cosB * cosC) / sinC;
  const lattice = [
    [a, 0, 0],
    [b * cosC, b * sinC, 0],
    [c * cosB, c * along, c * Math.sqrt(1 - cosB * cosB - along * along)],
  ];
  if (Math.max(...angles) >= 180 || !lattice.flat().every(Number.isFinite)) {
    throw new Refusal("bad_lattice", `found angles ${angles.join(" ")}, which no cell can have`);
  }
  checkLattice(lattice);
  return lattice;
}

/** Return the rows of atoms: {element, point, written, multiplicity, flags}. */
function rowsOf(block) {
  const n = rowCount(block);
  if (n > MAX_ATOMS) throw needsProgram(`Found ${n} rows of atoms, over ${MAX_ATOMS}`);
  const column = (name) => {
    const values = block.get(`_atom_site_${name}`) ?? [];
    return values.length === n ? values : Array(n).fill("");
  };
  const written = FRACTIONAL.map((tag) => block.get(tag));
  const names = ["label", "type_symbol", "occupancy", "calc_flag", "attached_hydrogens"];
  const [labels, kinds, amounts, marks, hydrogens] = names.map(column);
  const counts = ["site_symmetry_multiplicity", "site_symmetry_order", "symmetry_multiplicity"];
  const multiplicities = counts.map(column);
  const rows = [];
  for (let i = 0; i < n; i++) {
    const label = labels[i] || kinds[i] || "atom";
    const digits = written.map((values) => values[i] ?? "");
    const point = digits.map(asNumber).map((x) => {
      for (const ideal of [1 / 3, 2 / 3]) {
        if (Math.abs(x / ideal - 1) <= FRACTION_TOLERANCE) return ideal;
      }
      return x;
    });
    if (!point.every((x) => Math.abs(x) <= FARTHEST)) {
      throw needsProgram(`Row ${i + 1} (${label}) has no position: ${digits.map((text) => text || "?").join(", ")}`);
    }
    const amount = amounts[i] ? asNumber(amounts[i]) : 1;
    if (!(amount > FULL && amount < 1.005)) {
      throw needsProgram(`Row ${i + 1} (${label}) has occupancy ${amounts[i]}`);
    }
    if (marks[i].toLowerCase() === "dum" || asNumber(hydrogens[i]) > 0) {
      throw needsProgram(`Row ${i + 1} (${label}) is a dummy or stands for hydrogens`);
    }
    const symbol = kinds[i] || labels[i];
    const { element, flags } = elementOf(symbol, `row ${i + 1}`);
    const count = multiplicities.map((values) => values[i]).find(Boolean) ?? "";
    rows.push({ element, label, symbol, point, written: digits, multiplicity: asNumber(count), flags });
  }
  const isHydrous = (row) => HYDROUS.test(row.label) || HYDROUS.test(row.symbol);
  if (!rows.some((row) => row.element === "H") && rows.some(isHydrous)) {
    throw needsProgram("Labels tell of hydrogens that the file does not list");
  }
  return rows;
}

/** Return the atoms of the cell: {element, point} of each image of each row. */
function expand(rows, operations, lattice) {
  if (operations.length === 1) return rows;
  const atoms = [];
  for (const row of rows) {
    const point = onSpecialPosition(row, operations, lattice);
    const images = [];
    for (const operation of operations) {
      const image = apply(operation, point).map((x) => x - Math.floor(x));
      if (!images.some((other) => isSame(image, other))) images.push(image);
    }
    if (images.some((image) => atoms.some((atom) => isSame(image, atom.point)))) {
      throw needsProgram(`${row.label} falls on an atom listed before it`);
    }
    atoms.push(...images.map((image) => ({ element: row.element, point: image })));
  }
  return atoms;
}

const apply = ({ rotation, shift }, point) =>
  rotation.map((row, i) => row[0] * point[0] + row[1] * point[1] + row[2] * point[2] + shift[i]);

const isSame = (a, b) =>
  a.every((x, k) => Math.abs(x - b[k] - rint(x - b[k])) < SITE_TOLERANCE);

/** Return the point of a row, made exact where its digits round a special position.
 *
 * The rules are those of structures/cif_sites.py for full sites.
 */
function onSpecialPosition(row, operations, lattice) {
  const moves = operations.map((operation) =>
    apply(operation, row.point).map((x, k) => x - row.point[k]).map((x) => x - rint(x)),
  );
  const isStill = (move) => move.every((x) => Math.abs(x) < SITE_TOLERANCE);
  const distances = moves.map((move) => Math.hypot(...times(move, lattice)));
  const still = moves.map(isStill);
  const near = distances.map((distance) => distance < SHORTEST_DISTANCE);
  const mean = (here) => {
    const count = here.filter(Boolean).length;
    const sum = [0, 0, 0];
    moves.forEach((move, m) => here[m] && move.forEach((x, k) => (sum[k] += x / count)));
    return sum;
  };
  const moved = (step) => row.point.map((x, k) => x + step[k]);
  if (near.every((yes, m) => !yes || still[m])) return moved(mean(still));
  let here = near;
  const count = near.filter(Boolean).length;
  if (row.multiplicity !== count && row.multiplicity !== operations.length / count) {
    const digits = row.written.map(lastDigit);
    here = near.map((yes, m) => {
      const change = operations[m].rotation.map((r, i) =>
        r.reduce((sum, x, k) => sum + Math.abs(x - (i === k ? 1 : 0)) * digits[k], 0),
      );
      const rounded = moves[m].every((x, k) => Math.abs(x) <= change[k] + 1e-9);
      return yes && (still[m] || rounded || distances[m] < COINCIDENT);
    });
  }
  const step = mean(here);
  const left = moves.filter((_, m) => here[m]);
  const turned = operations.filter((_, m) => here[m]);
  const exact = left.every((move, m) =>
    isStill(move.map((x, i) => x + turned[m].rotation[i].reduce((s, r, k) => s + r * step[k], 0) - step[i])),
  );
  if (!exact || near.some((yes, m) => yes && !here[m])) {
    throw needsProgram(`${row.label} has an image of its own within ${SHORTEST_DISTANCE} A`);
  }
  return moved(step);
}

/** Return the place value of the last digit of a coordinate, or its uncertainty. */
function lastDigit(text) {
  const found = /^[+-]?\d*\.?(\d*)(?:\((\d+)\))?$/.exec(text);
  if (!found) return 0;
  if (found[2]) return Math.max(1, Number(found[2])) / 10 ** found[1].length;
  return 10 ** -Math.max(2, found[1].replace(/0+$/, "").length);
}

/** Refuse a cell that does not hold what the file says it should. */
function checkContents(block, cell) {
  const formula = {};
  for (const [, symbol, amount] of (block.get("_chemical_formula_sum")?.[0] ?? "").matchAll(
    /([A-Z][a-z]?)\s?([\d.]*)/g,
  )) {
    const { element } = elementOf(symbol, "_chemical_formula_sum");
    formula[element] = (formula[element] ?? 0) + Number(amount || 1);
  }
  if (!Object.keys(formula).length) return;
  const found = {};
  for (const element of cell.species) found[element] = (found[element] ?? 0) + 1;
  const total = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
  const scale = total(found) / total(formula);
  for (const element of new Set([...Object.keys(found), ...Object.keys(formula)])) {
    const expected = (formula[element] ?? 0) * scale;
    if (!(Math.abs(expected - (found[element] ?? 0)) <= FORMULA_TOLERANCE * (found[element] ?? 0))) {
      throw needsProgram("The atoms are not those of _chemical_formula_sum");
    }
  }
  const units = asNumber(block.get("_cell_formula_units_z")?.[0] ?? "");
  const allowed = Object.values(formula).every((n) => n % units === 0) ? [units, 1] : [units];
  if (units > 0 && allowed.every((n) => Math.abs(scale - n) > FORMULA_TOLERANCE * n)) {
    throw needsProgram(`The cell holds ${+scale.toPrecision(3)} formula units, the file says ${units}`);
  }
}

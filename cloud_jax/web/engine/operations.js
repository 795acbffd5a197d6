/* The symmetry operations that a CIF lists, and whether they can be trusted. */

import { Refusal, needsProgram } from "./cell.js";

const DENOMINATOR = 24; // of translations, as gemmi has them
const MOST = 192; // operations of a space group in a conventional cell
const METRIC_TOLERANCE = 0.01; // half a percent of a length, half a degree
const LISTS = ["_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz"];
/* Magnetic and modulated structures, of which the atoms alone say too little. */
const OTHER_SYMMETRY = /magn|moment|ssg|modulat|wave_vector|subsystem|parent_space/;
const STATEMENT =
  /^_(symmetry|space_group|symmetry_space_group)(_(name|symbol))?(_(hall|h-m|schoenflies)(_(alt|full|ref))?|(_(int_tables|it))?_(number|no))?$/;
/* Of two statements that leave equally much open, the first kind counts. */
const KINDS = ["hall", "h-m", "schoenflies", "n"];
const IDENTITY = parseOperation("x,y,z");

/** Return an operation, {rotation, shift} with shift in 24ths, of a text such as -x,y+1/2,z. */
export function parseOperation(text) {
  const parts = text.toLowerCase().replace(/\s/g, "").split(",");
  const rotation = [];
  const shift = [];
  for (const part of parts.length === 3 ? parts : ["?"]) {
    const row = [0, 0, 0];
    let moved = 0;
    const terms = part.match(/[+-]?[^+-]+/g) ?? ["?"];
    for (const term of terms) {
      const found = /^([+-]?)(?:([xyz])|(\d+)\/(\d+)|(\d*\.?\d+))$/.exec(term);
      if (!found) throw needsProgram(`Found the operation '${text.slice(0, 40)}'`);
      const sign = found[1] === "-" ? -1 : 1;
      if (found[2]) row["xyz".indexOf(found[2])] += sign;
      else moved += sign * (found[3] ? found[3] / found[4] : Number(found[5]));
    }
    const units = Math.round(moved * DENOMINATOR);
    // Decimals of a third have two digits or more: 0.33 is 7.92 of 24.
    if (Math.abs(moved * DENOMINATOR - units) > 0.1) {
      throw needsProgram(`Found the shift in '${text.slice(0, 40)}'`);
    }
    rotation.push(row);
    shift.push(((units % DENOMINATOR) + DENOMINATOR) % DENOMINATOR);
  }
  return { rotation, shift };
}

/** Return a full name as a short one: F 4/m -3 2/m is F m -3 m, P 42/m 2/n 2/c is P 42/m n c. */
function withoutAxes(key) {
  return key.replace(/^(.)[24][123]?\/([a-z])-3/, "$1$2-3").replace(/(?<!4)21?\/([a-z])/g, "$1");
}

const keyOf = ({ rotation, shift }) => `${rotation}|${shift}`;

/** Return the product of two operations, the second one first. */
function product(a, b) {
  const rotation = a.rotation.map((row) =>
    [0, 1, 2].map((j) => row.reduce((sum, x, k) => sum + x * b.rotation[k][j], 0)),
  );
  const shift = a.rotation.map((row, i) => {
    const moved = row.reduce((sum, x, k) => sum + x * b.shift[k], a.shift[i]);
    return ((moved % DENOMINATOR) + DENOMINATOR) % DENOMINATOR;
  });
  return { rotation, shift };
}

/** Return whether rotations leave lengths and angles of a cell as they are. */
function fits(operations, lattice) {
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const metric = lattice.map((a) => lattice.map((b) => dot(a, b)));
  return operations.every(({ rotation: r }) =>
    [0, 1, 2].every((i) =>
      [0, 1, 2].every((j) => {
        let turned = 0;
        for (let k = 0; k < 3; k++)
          for (let l = 0; l < 3; l++) turned += r[k][i] * metric[k][l] * r[l][j];
        const scale = Math.sqrt(metric[i][i] * metric[j][j]);
        return Math.abs(turned - metric[i][j]) / scale < METRIC_TOLERANCE;
      }),
    ),
  );
}

/** Return the groups of operations that a block may mean, the usual one first.
 *
 * A list counts if it is a group, fits the cell, and is as long as the group that the
 * file names beside it; of a name alone all settings that fit the cell are candidates.
 * Anything else is left to the Python program, which weighs contradictions.
 *
 * @param block from parseCif.
 * @param lattice cell vectors in rows, angstrom.
 * @param settings triplets and number of each setting, and the settings of each of `names`
 *   and `hall`.
 * @returns groups of {rotation, shift}, shifts as fractions.
 */
export function groupsOf(block, lattice, settings) {
  for (const [tag, values] of block) {
    if (OTHER_SYMMETRY.test(tag) && values.some(Boolean)) {
      throw needsProgram(`Found ${tag}: a magnetic or modulated structure`);
    }
  }
  const stated = statementsOf(block, settings).map(({ text, groups, numbers }) => {
    const fitting = groups.filter((group) => fits(group, lattice));
    if (!fitting.length) throw needsProgram(`${text} does not fit the cell`);
    return { text, groups: fitting, numbers };
  });
  const listed = LISTS.map((tag) => block.get(tag) ?? []).find((list) => list.some(Boolean));
  if (!listed) checkStatements(stated, block);
  const groups = listed ? [listedGroup(listed, lattice)] : (stated[0]?.groups ?? [[IDENTITY]]);
  for (const { text, groups: others } of listed ? stated : []) {
    const n = groups[0].length;
    if (others.some((other) => other.length > n)) {
      throw needsProgram(`${text}, but the file lists ${n} operations`);
    }
  }
  const asFractions = ({ rotation, shift }) => ({
    rotation,
    shift: shift.map((units) => units / DENOMINATOR),
  });
  return groups.map((group) => group.map(asFractions));
}

/** Refuse names that contradict each other, or need a code to be understood. */
function checkStatements(stated, block) {
  const numbers = new Set(stated.flatMap((statement) => statement.numbers));
  if (numbers.size > 1) {
    throw needsProgram(`${stated.map(({ text }) => text).join(" and ")}: not one space group`);
  }
  const code = block.get("_space_group_it_coordinate_system_code")?.[0];
  if (code) throw needsProgram(`The setting is said by a code, ${code.slice(0, 20)}`);
}

/** Return the group of a list of operations. */
function listedGroup(texts, lattice) {
  if (texts.length > MOST) {
    const found = `found ${texts.length} operations, a space group has at most ${MOST}`;
    throw new Refusal("bad_symmetry", found);
  }
  const unique = new Map(texts.map(parseOperation).map((op) => [keyOf(op), op]));
  const operations = [...unique.values()];
  const closed = operations.every((a) => operations.every((b) => unique.has(keyOf(product(a, b)))));
  if (!closed) throw needsProgram(`The ${operations.length} operations listed are no group`);
  if (!fits(operations, lattice)) throw needsProgram("The operations listed do not fit the cell");
  return operations;
}

/** Return what a block states of its group, {text, groups}, the most exact first. */
function statementsOf(block, { triplets, numbers, names, hall }) {
  const found = [];
  for (const [tag, values] of block) {
    const value = (values[0] ?? "").replace(/^[\s']+|[\s']+$/g, "");
    if (!value || value === "0" || !STATEMENT.test(tag)) continue;
    const text = `${tag} is ${value.slice(0, 40)}`;
    const isHall = tag.includes("hall");
    const key = value.toLowerCase().replace(isHall ? /\s/g : /[\s()_~$]/g, "");
    const known = isHall ? [key] : [key, withoutAxes(key)];
    const table = isHall ? hall : names;
    const indices = table[known.find((one) => Object.hasOwn(table, one))];
    if (!indices) throw needsProgram(`${text}, which this page does not know`);
    const groups = indices.map((index) => triplets[index].split(" ").map(parseOperation));
    const kind = KINDS.findIndex((word) => tag.includes(word));
    const own = indices.map((index) => numbers[index]);
    found.push({ text, groups, numbers: own, rank: [groups.length, kind] });
  }
  return found.sort((a, b) => a.rank[0] - b.rank[0] || a.rank[1] - b.rank[1]);
}

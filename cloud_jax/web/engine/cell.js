/* One unit cell as plain arrays, with the checks of cloud_jax/structures/cell.py. */

/* Limits of structures/cell.py; the page takes fewer atoms, since it has no second process. */
export const MAX_ATOMS = 500;
const LENGTHS = [0.1, 1e4]; // of cell vectors, angstrom
export const FARTHEST = 1e3; // fractional coordinate
export const SHORTEST_DISTANCE = 0.5; // angstrom
const LEAST_VOLUME = 0.5; // angstrom^3 per atom

/** A crystal that this page does not predict, and why.
 *
 * `code` is that of the Python program where it refuses the crystal too. It is
 * `needs_program` where Python may read more than this page: rather than guess, the page
 * says so.
 */
export class Refusal extends Error {
  constructor(code, message) {
    super(message.length > 400 ? message.slice(0, 397) + "..." : message);
    this.code = code;
  }
}

/** Return the refusal of a crystal that the Python program may read. */
export function needsProgram(found) {
  return new Refusal(
    "needs_program",
    `${found}. This page does not read that; run: cloud-jax predict FILE`,
  );
}

/** Return the determinant of a 3 x 3 matrix given by its rows. */
export function determinant([[a, b, c], [d, e, f], [g, h, i]]) {
  return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
}

/** Return row vector times matrix, the matrix given by its rows. */
export function times(vector, matrix) {
  return [0, 1, 2].map(
    (j) => vector[0] * matrix[0][j] + vector[1] * matrix[1][j] + vector[2] * matrix[2][j],
  );
}

/** Return the inverse of a 3 x 3 matrix given by its rows. */
export function inverse(matrix) {
  const [[a, b, c], [d, e, f], [g, h, i]] = matrix;
  const n = determinant(matrix);
  return [
    [(e * i - f * h) / n, (c * h - b * i) / n, (b * f - c * e) / n],
    [(f * g - d * i) / n, (a * i - c * g) / n, (c * d - a * f) / n],
    [(d * h - e * g) / n, (b * g - a * h) / n, (a * e - b * d) / n],
  ];
}

/** Return a number rounded half to even, as numpy's rint. */
export function rint(value) {
  const nearest = Math.round(value);
  return nearest - value === 0.5 && nearest % 2 !== 0 ? nearest - 1 : nearest;
}

/** Check that three vectors, in rows, angstrom, span a cell of a usual size. */
export function checkLattice(lattice) {
  const lengths = lattice.map((vector) => Math.hypot(...vector));
  if (!lengths.every((length) => length >= LENGTHS[0] && length <= LENGTHS[1])) {
    throw new Refusal(
      "bad_lattice",
      `found cell vectors of ${lengths.map((n) => +n.toPrecision(6)).join(" ")} A, ` +
        `expected ${LENGTHS[0]} to ${LENGTHS[1]} A`,
    );
  }
  const volume = Math.abs(determinant(lattice));
  if (volume <= 1e-3 * lengths[0] * lengths[1] * lengths[2]) {
    throw new Refusal("bad_lattice", `the cell is flat, ${volume.toPrecision(3)} A^3`);
  }
}

/** Return a checked cell.
 *
 * @param lattice cell vectors in rows, angstrom.
 * @param fractional fractional coordinates, one row per atom.
 * @param species element symbol of each atom.
 * @param flags names of structures/flags.py.
 * @throws Refusal for what is no crystal, or more atoms than the page takes.
 */
export function makeCell(lattice, fractional, species, flags = []) {
  const n = species.length;
  if (!n) throw new Refusal("no_atoms", "found no atomic site, expected at least one");
  if (n > MAX_ATOMS) throw needsProgram(`Found ${n} atoms in the cell, over ${MAX_ATOMS}`);
  const farthest = Math.max(...fractional.flat().map(Math.abs));
  if (!(farthest <= FARTHEST)) {
    const found = `found the fractional coordinate ${farthest}`;
    throw new Refusal("bad_coordinates", `${found}, expected about 0 to 1`);
  }
  checkLattice(lattice);
  const volume = Math.abs(determinant(lattice));
  if (volume < LEAST_VOLUME * n) {
    throw new Refusal(
      "bad_lattice",
      `the cell has ${(volume / n).toPrecision(3)} A^3 per atom, expected at least ` +
        `${LEAST_VOLUME}: is it in nm?`,
    );
  }
  checkDistances(lattice, fractional, species);
  return { lattice, fractional, species, flags: [...new Set(flags)].sort(), volume };
}

/** Refuse atoms nearer than any bond. */
function checkDistances(lattice, fractional, species) {
  for (let i = 0; i < species.length; i++) {
    for (let j = 0; j < i; j++) {
      const step = fractional[i].map((x, k) => x - fractional[j][k]);
      const apart = Math.hypot(...times(step.map((x) => x - rint(x)), lattice));
      if (apart < SHORTEST_DISTANCE) {
        throw new Refusal(
          "overlapping_sites",
          `atoms ${j + 1} (${species[j]}) and ${i + 1} (${species[i]}) are ` +
            `${apart.toFixed(4)} A apart, expected at least ${SHORTEST_DISTANCE} A`,
        );
      }
    }
  }
}

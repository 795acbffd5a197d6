/* Laws of solids whose modes are shared among Debye and Einstein solids.
 *
 * The formulas are those of cloud_jax/physics (Ashcroft & Mermin, Solid State Physics,
 * chapter 23); x = theta / T, and all quantities are per mol of atoms.
 */

export const R = 8.31446261815324; // J/(mol K)
const COLD = 8; // theta / T; above, the integral to infinity less a short series
const LARGEST_LOG = 4; // a magnitude is at most e^4 times its typical value
const DEBYE = 9 / 8; // U / (R theta) at T = 0
const EINSTEIN = 3 / 2;
const TERMS = [1, 2, 3, 4];
const [FREQUENCIES, WEIGHTS] = gaussLegendre(14);

/* Share of the modes, solid, theta: of each law, of its variables. */
const PARTS = {
  debye: (v) => [[1, "debye", v.theta]],
  einstein: (v) => [[1, "einstein", v.theta]],
  debye_einstein: (v) => [
    [v.debye_fraction, "debye", v.theta_debye],
    [1 - v.debye_fraction, "einstein", v.theta_einstein],
  ],
  two_debye: (v) => [
    [v.low_fraction, "debye", v.theta_low],
    [1 - v.low_fraction, "debye", v.theta_high],
  ],
  debye_two_einstein: (v) => [
    [v.debye_fraction, "debye", v.theta_debye],
    [(1 - v.debye_fraction) * v.low_fraction, "einstein", v.theta_low],
    [(1 - v.debye_fraction) * (1 - v.low_fraction), "einstein", v.theta_high],
  ],
};

/** Return nodes and weights on 0..1 of the integral of 3 s^2 f(s). */
function gaussLegendre(n) {
  const nodes = [];
  const weights = [];
  for (let i = 0; i < n; i++) {
    let x = Math.cos((Math.PI * (i + 0.75)) / (n + 0.5));
    let slope;
    for (let step = 0; step < 100; step++) {
      let [previous, value] = [1, x];
      for (let k = 2; k <= n; k++) {
        [previous, value] = [value, ((2 * k - 1) * x * value - (k - 1) * previous) / k];
      }
      slope = (n * (x * value - previous)) / (x * x - 1);
      x -= value / slope;
      if (Math.abs(value / slope) < 1e-16) break;
    }
    const s = (x + 1) / 2;
    nodes.push(s);
    weights.push((3 * s * s) / ((1 - x * x) * slope * slope));
  }
  return [nodes, weights];
}

/** Return a law's variables by name, of the outputs [O] of a member. */
export function constrain(law, outputs) {
  const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const range = {
    positive: (x, typical) => typical * softplus(x + Math.log(Math.E - 1)),
    magnitude: (x, typical) => typical * Math.exp(LARGEST_LOG * Math.tanh(x / LARGEST_LOG)),
    fraction: (x, typical) => 1 / (1 + Math.exp(-x - Math.log(typical / (1 - typical)))),
  };
  return Object.fromEntries(
    law.variables.map(({ name, kind, typical }, i) => [name, range[kind](outputs[i], typical)]),
  );
}

/** Return the solids of a law: [share, solid, theta in K], all thetas times a factor. */
export function solidsOf(law, variables, factor) {
  return PARTS[law.name](variables).map(([share, solid, theta]) => [share, solid, theta * factor]);
}

const bose = (x) => (x > 700 ? 0 : x / Math.expm1(x));
const einsteinCapacity = (x) => (x > 700 ? 0 : (x / Math.expm1(-x)) ** 2 * Math.exp(-x));
const logTerm = (x) => (x < 0.7 ? -Math.log(-Math.expm1(-x)) : -Math.log1p(-Math.exp(-x)));

const integral = (f, x) => FREQUENCIES.reduce((sum, s, i) => sum + WEIGHTS[i] * f(s * x), 0);

/** Return D_3(x) = 3 / x^3 times the integral of t^3 / (e^t - 1) from 0 to x. */
function debyeFunction(x) {
  if (x < COLD) return integral(bose, x);
  const [a, b, c, d] = TERMS.map((k) => TERMS.reduce((sum, n) => sum + Math.exp(-n * x) / n ** k, 0));
  const tail = a + (3 * b + (6 * c + (6 * d) / x) / x) / x;
  return Math.PI ** 4 / 5 / x ** 3 - 3 * tail;
}

function debyeCapacity(x) {
  return x < COLD ? 3 * integral(einsteinCapacity, x) : 12 * debyeFunction(x) - 9 * bose(x);
}

/* (U - U(0)) / (R T), -(F - U(0)) / (R T) and C_v / R of each solid. */
const SOLIDS = {
  debye: {
    zero: DEBYE,
    thermal: (x) => 3 * debyeFunction(x),
    free: (x) => debyeFunction(x) + 3 * logTerm(x),
    capacity: debyeCapacity,
  },
  einstein: {
    zero: EINSTEIN,
    thermal: (x) => 3 * bose(x),
    free: (x) => 3 * logTerm(x),
    capacity: (x) => 3 * einsteinCapacity(x),
  },
};

/** Return the properties of solids at a temperature [K], J and J/K per mol of atoms.
 *
 * The Debye temperature, which takes longer, is apart: debyeTemperatureOf.
 */
export function evaluate(solids, kelvin) {
  const sum = (f) => R * solids.reduce((total, [share, solid, theta]) => total + share * f(SOLIDS[solid], theta), 0);
  const ground = sum((solid, theta) => solid.zero * theta);
  const at = (f) => (kelvin > 0 ? sum((solid, theta) => f(solid, theta / kelvin)) : 0);
  const thermal = at((solid, x) => solid.thermal(x));
  const free = at((solid, x) => solid.free(x));
  const [enthalpy, gibbs] = [kelvin * thermal, -kelvin * free];
  return {
    heat_capacity: at((solid, x) => solid.capacity(x)),
    entropy: thermal + free,
    enthalpy,
    gibbs_energy: gibbs,
    internal_energy: ground + enthalpy,
    helmholtz: ground + gibbs,
    zero_point_energy: ground,
  };
}

/** Return the theta [K] of the Debye solid with the heat capacity of the solids.
 *
 * Where it is constant, near absolute zero and near 3 R, C_v has no digits for it.
 */
export function debyeTemperatureOf(solids, kelvin) {
  const ground = evaluate(solids, kelvin).zero_point_energy;
  const theta = Math.max(ground / (DEBYE * R), 1e-9);
  const hottest = (1e3 * 2 ** -52) ** -0.25 * theta;
  const safe = Math.min(Math.max(kelvin, 1e-6 * theta), hottest);
  const capacity = solids.reduce((sum, [share, name, own]) => sum + share * SOLIDS[name].capacity(own / safe), 0);
  return debyeTemperature(R * capacity, safe);
}

/** Return the theta [K] of the Debye solid with a heat capacity [J/(K mol of atoms)].
 *
 * By bisection in ln x: C_v falls with x = theta / T everywhere.
 */
export function debyeTemperature(capacity, kelvin) {
  const goal = capacity / R;
  if (goal < 1e-30) return Infinity;
  if (goal >= 3 * (1 - 32 * 2 ** -52)) return 0;
  let [low, high] = [Math.log(1e-9), Math.log(1e12)];
  for (let i = 0; i < 64; i++) {
    const middle = (low + high) / 2;
    if (debyeCapacity(Math.exp(middle)) > goal) low = middle;
    else high = middle;
  }
  return kelvin * Math.exp((low + high) / 2);
}

/** Return the heat capacity of a Debye solid [J/(K mol of atoms)]. */
export const debyeHeatCapacity = (theta, kelvin) => R * debyeCapacity(theta / kelvin);

/* Outputs of all members to properties, with spread and interval.
 *
 * The rules are those of cloud_jax/inference (properties.py, intervals.py) and
 * cloud_jax/models/novelty.py.
 */

import {
  constrain, debyeHeatCapacity, debyeTemperature, debyeTemperatureOf, evaluate, solidsOf,
} from "./law.js";

const COLDEST_K = 1e-3; // ln T of T = 0
const N_NEAREST = 3;
/* The properties whose quantiles a property takes; by default its own. */
const SOURCES = {
  debye_temperature: ["heat_capacity"],
  gibbs_energy: ["entropy", "enthalpy"],
  helmholtz: ["entropy", "internal_energy"],
};
const CONSTANT = "zero_point_energy";
const NO_AMOUNT = "debye_temperature";

/** Return a [CLS] state [D] along the axes of the training rows, each as wide as another. */
export function placeOf(state, weights) {
  const [mean, axes] = ["mean", "axes"].map((name) => weights[`novelty/${name}`]);
  const [width, nAxes] = axes.shape;
  const place = Array(nAxes).fill(0);
  for (let d = 0; d < width; d++) {
    for (let k = 0; k < nAxes; k++) {
      place[k] += (state[d] - mean.data[d]) * axes.data[d * nAxes + k];
    }
  }
  return place;
}

/** Return the mean distance of a place [K] from its nearest training rows. */
export function distanceOf(place, weights) {
  const states = weights["novelty/states"];
  const distances = [];
  for (let start = 0; start < states.data.length; start += place.length) {
    distances.push(Math.hypot(...place.map((x, k) => x - states.data[start + k])));
  }
  const nearest = distances.sort((a, b) => a - b).slice(0, N_NEAREST);
  return nearest.reduce((a, b) => a + b) / nearest.length;
}

/** Return |ln s| of each property at temperatures [T]; NaN where there is no calibration.
 *
 * An interval reaches from the property at theta / s to that at theta s.
 */
function logWidths(model, distance, kelvin) {
  const quantiles = model.calibration?.targets ?? {};
  const points = {};
  for (const { name, property, temperature_k: at } of model.targets) {
    if (!(name in quantiles)) continue;
    const known = (points[property] ??= new Map());
    const key = Math.max(at ?? 0, COLDEST_K);
    known.set(key, Math.max(quantiles[name].quantile, known.get(key) ?? 0));
  }
  if (Object.keys(points).length > 1) delete points.debye_temperature; // another model's labels
  const own = Object.fromEntries(
    Object.entries(points).map(([property, at]) => [property, kelvin.map((t) => interpolate(at, t))]),
  );
  const most = (lists) => kelvin.map((_, i) => Math.max(...lists.map((list) => list[i])));
  const all = Object.values(own);
  const widest = all.length ? most(all) : kelvin.map(() => NaN);
  const { near, exponent } = model.calibration?.novelty ?? {};
  const scale = near ? Math.max(distance / near, 1) ** exponent : 1;
  return (property) =>
    most((SOURCES[property] ?? [property]).map((source) => own[source] ?? widest)).map((w) => w * scale);
}

/** Return the value at T of quantiles by temperature, linear in ln T and flat outside. */
function interpolate(at, kelvin) {
  const known = [...at].sort((a, b) => a[0] - b[0]).map(([t, q]) => [Math.log(t), q]);
  const x = Math.log(Math.max(kelvin, COLDEST_K));
  const above = known.findIndex(([t]) => t >= x);
  if (above === 0) return known[0][1];
  if (above < 0) return known.at(-1)[1];
  const [[t0, q0], [t1, q1]] = known.slice(above - 1, above + 1);
  return q0 + ((q1 - q0) * (x - t0)) / (t1 - t0);
}

/** Return the rows of all properties at temperatures [K], as `cloud-jax predict` has them.
 *
 * @param outputs of the members [M][O].
 * @param distance from the training rows.
 * @param crystal with its composition.
 * @param kelvin temperatures, at least 0.
 * @param model of the page.
 */
export function predictProperties(outputs, distance, crystal, kelvin, model) {
  const variables = outputs.map((numbers) => constrain(model.law, numbers));
  const width = logWidths(model, distance, kelvin);
  const cold = logWidths(model, distance, [0])(CONSTANT)[0];
  const known = new Map();
  const ofMembers = (log, of) => variables.map((own) => of(solidsOf(model.law, own, Math.exp(log))));
  const curves = (t, log, property) => {
    if (property === NO_AMOUNT) return ofMembers(log, (solids) => debyeTemperatureOf(solids, t));
    const key = `${t} ${log}`; // several properties have one width
    if (!known.has(key)) known.set(key, ofMembers(log, (solids) => evaluate(solids, t)));
    return known.get(key).map((values) => values[property]);
  };
  const formulaAtoms = crystal.composition.reduce((sum, [, count]) => sum + count, 0);
  return Object.entries(model.units).flatMap(([property, unit]) => {
    const widths = property === CONSTANT ? kelvin.map(() => cold) : width(property);
    const inKilo = unit === "J/mol";
    const factor = property === NO_AMOUNT ? 1 : formulaAtoms / (inKilo ? 1000 : 1);
    const temperatures = property === CONSTANT ? [null] : kelvin;
    return temperatures.map((t, i) => {
      const at = (log) => curves(t ?? kelvin[i], log, property);
      const mean = (values) =>
        property === NO_AMOUNT ? meanTheta(values, kelvin[i]) : average(values);
      const log = widths[i];
      const ends = Number.isFinite(log) ? [0, -log, log].map((one) => mean(at(one))) : [NaN];
      return {
        property,
        temperature_k: t,
        value: mean(at(0)) * factor,
        unit: inKilo ? "kJ/mol" : unit,
        basis: property === NO_AMOUNT ? "" : "formula",
        spread: spread(at(0)) * factor,
        lower: Math.min(...ends) * factor,
        upper: Math.max(...ends) * factor,
      };
    });
  });
}

const average = (values) => values.reduce((a, b) => a + b) / values.length;

/** Return the standard deviation over members; NaN where there is only one. */
function spread(values) {
  const middle = average(values);
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  return values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : NaN;
}

/** Return the Debye temperature that gives the mean heat capacity of the members. */
function meanTheta(thetas, kelvin) {
  const middle = average(thetas);
  const inside = Math.min(Math.max(kelvin, middle / 100), middle * 10);
  return debyeTemperature(average(thetas.map((theta) => debyeHeatCapacity(theta, inside))), inside);
}

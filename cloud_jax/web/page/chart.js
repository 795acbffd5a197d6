// One property against temperature: line, interval, measured points, a cursor.

import { draw, make, number } from "./dom.js";

const WIDTH = 420, HEIGHT = 250;
const LEFT = 50, RIGHT = 22, TOP = 14, BOTTOM = 38;

/** Return about n round values that cover an interval. */
export function ticks(low, high, n) {
  const raw = (high - low) / n || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) {
    found.push(Number((i * step).toPrecision(10)));
  }
  return found;
}

/** Return the smallest and the largest value that the vertical axis shows. */
function range(curve) {
  const values = [...curve.value, ...curve.lower, ...curve.upper];
  if (curve.measured) values.push(...curve.measured.value);
  const known = values.filter((v) => v !== null);
  let low = Math.min(...known), high = Math.max(...known);
  if (curve.limit && high > 0.8 * curve.limit) high = Math.max(high, curve.limit);
  if (low > 0 && curve.property !== "debye_temperature") low = 0;
  const room = 0.06 * (high - low || 1);
  return [low < 0 ? low - room : low, high + room];
}

/** Return the points of a curve as a path; null values break nothing. */
function path(x, y, values, kelvin) {
  const points = kelvin.map((t, i) => [t, values[i]]).filter(([, v]) => v !== null);
  return points.map(([t, v]) => `${x(t).toFixed(2)},${y(v).toFixed(2)}`);
}

/** Draw a curve; return the figure and a function that moves its cursor. */
export function chart(curve, onMove) {
  const kelvin = curve.temperature_k;
  const [first, last] = [kelvin[0], kelvin[kelvin.length - 1]];
  const [low, high] = range(curve);
  const x = (t) => LEFT + ((t - first) / (last - first || 1)) * (WIDTH - LEFT - RIGHT);
  const y = (v) =>
    HEIGHT - BOTTOM - ((v - low) / (high - low || 1)) * (HEIGHT - TOP - BOTTOM);
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
    class: "cj-chart", "aria-label": describe(curve) });
  svg.append(...axes(curve, x, y, [first, last], [low, high]));
  const upper = path(x, y, curve.upper, kelvin);
  const lower = path(x, y, curve.lower, kelvin).reverse();
  if (upper.length) {
    svg.append(draw("polygon", { class: "cj-band", points: [...upper, ...lower].join(" ") }));
  }
  svg.append(draw("polyline", { class: "cj-line",
    points: path(x, y, curve.value, kelvin).join(" ") }));
  if (curve.measured) svg.append(...measured(curve.measured, x, y));
  const rule = draw("line", { class: "cj-cursor", y1: TOP, y2: HEIGHT - BOTTOM });
  const dot = draw("circle", { class: "cj-dot", r: 4 });
  svg.append(rule, dot);
  const value = make("output", { class: "cj-value" });
  const bounds = make("span", { class: "cj-bounds" });
  const figure = make("figure", { class: "cj-figure" },
    make("figcaption", {}, make("span", { class: "cj-title" }, curve.title),
      make("span", { class: "cj-reading" }, value, " ",
        make("span", { class: "cj-unit" }, curve.unit), bounds)),
    svg);
  const follow = (event) => {
    const box = svg.getBoundingClientRect();
    const t = first + ((((event.clientX - box.left) / box.width) * WIDTH - LEFT)
      / (WIDTH - LEFT - RIGHT)) * (last - first);
    onMove(nearest(kelvin, t));
  };
  svg.addEventListener("pointermove", follow);
  svg.addEventListener("pointerdown", follow);
  const moveTo = (i) => {
    rule.setAttribute("x1", x(kelvin[i]));
    rule.setAttribute("x2", x(kelvin[i]));
    dot.setAttribute("cx", x(kelvin[i]));
    dot.setAttribute("cy", y(curve.value[i]));
    value.textContent = number(curve.value[i]);
    bounds.textContent = curve.lower[i] === null ? ""
      : ` ${number(curve.lower[i])} to ${number(curve.upper[i])}`;
  };
  return { figure, svg, moveTo };
}

/** Return the index of the temperature that is nearest to t. */
export function nearest(kelvin, t) {
  let best = 0;
  kelvin.forEach((k, i) => {
    if (Math.abs(k - t) < Math.abs(kelvin[best] - t)) best = i;
  });
  return best;
}

/** Say a chart in a sentence. */
function describe(curve) {
  const kelvin = curve.temperature_k, end = kelvin.length - 1;
  return `${curve.title}: ${number(curve.value[0])} ${curve.unit} at ${kelvin[0]} K, `
    + `${number(curve.value[end])} at ${kelvin[end]} K`
    + (curve.measured ? "; measured points are drawn" : "");
}

function axes(curve, x, y, [first, last], [low, high]) {
  const parts = [];
  for (const v of ticks(low, high, 5)) {
    parts.push(draw("line", { class: "cj-grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(v), y2: y(v) }),
      draw("text", { class: "cj-tick", x: LEFT - 7, y: y(v) + 3.5, "text-anchor": "end" },
        Number(v.toPrecision(6)).toLocaleString("en").replace("-", "−")));
  }
  for (const t of ticks(first, last, 5)) {
    parts.push(draw("text", { class: "cj-tick", x: x(t), y: HEIGHT - BOTTOM + 16,
      "text-anchor": "middle" }, t.toLocaleString("en")));
  }
  parts.push(draw("line", { class: "cj-axis", x1: LEFT, x2: WIDTH - RIGHT,
    y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM }));
  parts.push(draw("text", { class: "cj-tick", x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6,
    "text-anchor": "middle" }, "temperature (K)"));
  if (curve.limit && curve.limit <= high) {
    parts.push(draw("line", { class: "cj-limit", x1: LEFT, x2: WIDTH - RIGHT,
      y1: y(curve.limit), y2: y(curve.limit) }),
    draw("text", { class: "cj-tick", x: LEFT + 6, y: y(curve.limit) - 4 }, "Dulong-Petit"));
  }
  return parts;
}

function measured(points, x, y) {
  return points.temperature_k.map((t, i) =>
    draw("circle", { class: "cj-point", cx: x(t), cy: y(points.value[i]), r: 3.4 },
      draw("title", {}, `measured Cₚ at ${t} K: ${number(points.value[i])}`)));
}

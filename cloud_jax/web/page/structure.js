// The crystal in 3D, by 3Dmol.js (global $3Dmol), which is loaded beside this file.

import { make } from "./dom.js";

/** Return the parallelepiped's twelve edges as pairs of points. */
function edges(lattice) {
  const corner = (i, j, k) => [0, 1, 2].map((axis) =>
    i * lattice[0][axis] + j * lattice[1][axis] + k * lattice[2][axis]);
  const found = [];
  for (const [i, j] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
    found.push([corner(0, i, j), corner(1, i, j)], [corner(i, 0, j), corner(i, 1, j)],
      [corner(i, j, 0), corner(i, j, 1)]);
  }
  return found;
}

const point = ([x, y, z]) => ({ x, y, z });

/** Return a panel with the cell of a crystal, that turns under the pointer and by keys. */
export function structure(crystal) {
  const cell = crystal.cell;
  const stage = make("div", { class: "cj-stage", tabindex: "0", role: "img",
    "aria-label": `unit cell of ${crystal.formula}; arrow keys turn it, + and - zoom` });
  const note = cell.note || "drag or use the arrow keys to turn; scroll, + and − zoom";
  const panel = make("div", { class: "cj-structure" }, stage,
    make("p", { class: "cj-note" }, note), legend(crystal));
  if (!cell.atoms.length) {
    stage.append(make("p", { class: "cj-empty" }, "no picture of this cell"));
    return panel;
  }
  // Once the element has a size: a viewer of size 0 stays empty.
  const waiting = new ResizeObserver(() => {
    if (!stage.clientWidth || stage.dataset.drawn) return;
    stage.dataset.drawn = "yes";
    waiting.disconnect();
    try {
      show(stage, cell);
    } catch {
      stage.replaceChildren(make("p", { class: "cj-empty" },
        "this browser has no WebGL, which the picture needs"));
    }
  });
  waiting.observe(stage);
  return panel;
}

function legend(crystal) {
  const colours = globalThis.$3Dmol ? $3Dmol.elementColors.Jmol : {};
  const elements = [...new Set(crystal.cell.atoms.map(([element]) => element))];
  return make("ul", { class: "cj-legend" }, ...elements.map((element) => {
    const value = colours[element] === undefined ? 0x999999 : colours[element];
    const dot = make("span", { class: "cj-atom" });
    dot.style.background = `#${value.toString(16).padStart(6, "0")}`;
    return make("li", {}, dot, element);
  }));
}

function show(stage, cell) {
  const viewer = $3Dmol.createViewer(stage, { backgroundAlpha: 0, antialias: true });
  const lines = [String(cell.atoms.length), "cell",
    ...cell.atoms.map(([element, x, y, z]) => `${element} ${x} ${y} ${z}`)];
  viewer.addModel(lines.join("\n"), "xyz");
  viewer.setStyle({}, { sphere: { scale: 0.3, colorscheme: "Jmol" },
    stick: { radius: 0.09, colorscheme: "Jmol" } });
  for (const [start, end] of edges(cell.lattice)) {
    viewer.addCylinder({ start: point(start), end: point(end), radius: 0.03,
      color: "#8a97a3" });
  }
  viewer.zoomTo();
  viewer.rotate(18, "x");
  viewer.rotate(-24, "y");
  viewer.zoom(Math.min(1.1, stage.clientWidth / stage.clientHeight / 1.15));
  viewer.render();
  new ResizeObserver(() => { viewer.resize(); viewer.render(); }).observe(stage);
  const turns = { ArrowLeft: [-10, "y"], ArrowRight: [10, "y"], ArrowUp: [-10, "x"],
    ArrowDown: [10, "x"] };
  stage.addEventListener("keydown", (event) => {
    if (turns[event.key]) viewer.rotate(...turns[event.key]);
    else if (event.key === "+" || event.key === "=") viewer.zoom(1.2);
    else if (event.key === "-") viewer.zoom(1 / 1.2);
    else return;
    event.preventDefault();
    viewer.render();
  });
}

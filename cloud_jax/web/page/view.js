// A crystal on the page. `show(element, answer)` draws what analysis.py says of crystals;
// the answer is plain data (docs/web.md lists its fields), so that any page can show it.

import { chart, nearest } from "./chart.js";
import { formula, groupSymbol, make, number, table } from "./dom.js";
import { csv, fileName, picture, save } from "./download.js";
import { sentence } from "./sentence.js";
import { structure } from "./structure.js";

const SHOWN = ["heat_capacity", "entropy", "enthalpy"];
const ROOM_K = 298.15;

/** Draw an answer: what could not be read, and each crystal under its tab. */
export function show(element, answer) {
  element.replaceChildren();
  if (!answer) return;
  element.append(make("div", { class: "cj" }, problems(answer), crystals(answer)));
}

function problems(answer) {
  if (!answer.problems.length) return null;
  const n = answer.problems.length;
  return make("section", { class: "cj-panel cj-problems", role: "alert" },
    make("h3", {}, n === 1 ? "One file was not read" : `${n} files were not read`),
    make("ul", {}, ...answer.problems.map((problem) =>
      make("li", {}, make("code", {}, problem.id), ` ${problem.message}`))));
}

function crystals(answer) {
  const all = answer.crystals;
  if (!all.length) return null;
  const place = make("div", { class: "cj-place" });
  const choose = (i) => place.replaceChildren(card(all[i], answer));
  choose(0);
  return make("div", {}, all.length > 1 ? chooser(all, choose) : null, place);
}

let choosers = 0; // labels need ids of their own

function chooser(all, choose) {
  const id = `cj-choose-${choosers++}`;
  const select = make("select", { id }, ...all.map((crystal, i) =>
    make("option", { value: i }, `${crystal.id}: ${crystal.formula}`)));
  select.addEventListener("change", () => choose(Number(select.value)));
  const everything = button("CSV of all", () =>
    save("crystals.csv", csv(all), "text/csv"));
  return make("div", { class: "cj-chooser" },
    make("label", { for: id }, `${all.length} crystals`), select, everything);
}

function button(text, onClick, label = text) {
  const made = make("button", { type: "button", class: "cj-button", "aria-label": label }, text);
  made.addEventListener("click", onClick);
  return made;
}

/** Return everything about one crystal. */
function card(crystal, answer) {
  const made = thermodynamics(crystal, answer);
  return make("article", { class: "cj-crystal", "aria-label": crystal.formula },
    header(crystal, made),
    make("div", { class: "cj-grid" },
      make("section", { class: "cj-panel" }, make("h3", {}, "Unit cell"), structure(crystal)),
      make("section", { class: "cj-panel" }, make("h3", {}, "What the model knows of it"),
        verdict(crystal), ...made.numbers, make("h3", {}, "Orbits"), orbits(crystal)),
      made.section,
      sentence(crystal),
      neighbours(crystal)));
}

function header(crystal, made) {
  const group = crystal.space_group;
  const base = fileName(crystal);
  return make("header", { class: "cj-top" },
    make("div", {},
      make("h2", {}, formula(crystal.formula)),
      make("p", {}, groupSymbol(group.symbol), ` · space group ${group.number}, ${group.system}`
        + ` · ${crystal.n_atoms} ${crystal.n_atoms === 1 ? "atom" : "atoms"} in the primitive cell`),
      make("p", { class: "cj-id" }, crystal.id)),
    make("div", { class: "cj-downloads", role: "group", "aria-label": "download" },
      button("CSV", () => save(`${base}.predictions.csv`, csv([crystal]), "text/csv"),
        "download the predictions as CSV"),
      made.png ? button("PNG", async () => save(`${base}.png`, await made.png()),
        "download the curves as PNG") : null,
      button("JSON", () => save(`${base}.json`, JSON.stringify(crystal, null, 1),
        "application/json"), "download everything as JSON")));
}

function verdict(crystal) {
  return make("ul", { class: "cj-verdict" },
    make("li", { class: `cj-${crystal.novelty.level}` }, crystal.novelty.words),
    ...crystal.flags.map((flag) => make("li", { class: `cj-${flag.level}` }, flag.words)));
}

function orbits(crystal) {
  const made = table("orbits of the crystal, as in its sentence",
    ["element", "Wyckoff", "atoms", "in words"],
    crystal.orbits.map((orbit) => [orbit.element, orbit.symbol,
      String(orbit.multiplicity), orbit.words]));
  made.classList.add("cj-orbits");
  return made;
}

function neighbours(crystal) {
  if (!crystal.neighbours.length) return null;
  return make("section", { class: "cj-panel cj-wide" },
    make("h3", {}, "Nearest known crystals"),
    make("p", { class: "cj-note" }, "by the state of [CLS], in widths of "
      + "the training rows; most known crystals have another that is near"),
    table("crystals whose state is nearest", ["crystal", "formula", "distance", ""],
      crystal.neighbours.map((one) => [one.name, formula(one.formula),
        number(one.distance, 2), one.words])));
}

/** Return the section of curves, single numbers, and how to make the picture. */
function thermodynamics(crystal, answer) {
  const numbers = crystal.scalars.length ? [scalars(crystal)] : [];
  if (!crystal.curves.length) return { section: null, numbers, png: null };
  const kelvin = crystal.curves[0].temperature_k;
  const charts = [];
  const slider = make("input", { type: "range", min: 0, max: kelvin.length - 1, step: 1,
    "aria-label": "temperature of the numbers above the curves" });
  const at = make("output", { class: "cj-kelvin" });
  const moveTo = (i) => {
    slider.value = i;
    slider.setAttribute("aria-valuetext", `${kelvin[i]} K`);
    at.textContent = `${Number(kelvin[i].toPrecision(5))} K`;
    charts.forEach((one) => one.moveTo(i));
  };
  charts.push(...crystal.curves.map((curve) => chart(curve, moveTo)));
  slider.addEventListener("input", () => moveTo(Number(slider.value)));
  const isMain = (curve) => SHOWN.includes(curve.property);
  const pick = (keep) => charts.filter((_, i) => keep(crystal.curves[i]));
  const main = pick(isMain).length ? isMain : () => true;
  const section = make("section", { class: "cj-panel cj-wide" },
    make("div", { class: "cj-head" }, make("h3", {}, "Thermodynamics"),
      make("label", { class: "cj-slider" }, at, slider)),
    make("div", { class: "cj-charts" }, ...pick(main).map((one) => one.figure)),
    caption(crystal, answer),
    make("details", {}, make("summary", {}, "Free energies and Debye temperature"),
      make("div", { class: "cj-charts" },
        ...pick((curve) => !main(curve)).map((one) => one.figure))));
  moveTo(nearest(kelvin, ROOM_K));
  const png = () => {
    const style = getComputedStyle(section);
    const drawn = crystal.curves.map((curve, i) => [curve, charts[i]])
      .filter(([curve]) => main(curve))
      .map(([curve, one]) => ({ svg: one.svg, name: `${curve.title} (${curve.unit})` }));
    return picture(`${crystal.formula}, ${crystal.space_group.symbol}`, drawn,
      style.getPropertyValue("--cj-panel") || "#fff", style.color);
  };
  return { section, numbers, png };
}

function caption(crystal, answer) {
  const with_points = crystal.curves.find((curve) => curve.measured);
  return make("p", { class: "cj-note" },
    `${answer.basis_words} Lines are means over ${answer.members} networks`
    + (answer.level ? `; bands held ${Math.round(100 * answer.level)} % of the labelled `
      + "crystals that were kept aside." : "."),
    with_points ? ` Circles are measured Cₚ: ${with_points.measured.source}` : "");
}

function scalars(crystal) {
  return make("dl", { class: "cj-numbers" }, ...crystal.scalars.flatMap((one) => [
    make("dt", {}, one.title),
    make("dd", {}, `${number(one.value[0])} ${one.unit}`,
      one.lower[0] === null ? "" : make("span", { class: "cj-bounds" },
        ` ${number(one.lower[0])} to ${number(one.upper[0])}`))]));
}

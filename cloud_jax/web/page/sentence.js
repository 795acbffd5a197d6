// The sentence of a crystal: tokens shaded by attention, explained one at a time.

import { make, number } from "./dom.js";

/** Return a panel: tokens that a pointer, a finger or the arrow keys explain. */
export function sentence(crystal) {
  const tokens = crystal.tokens;
  const readout = make("p", { class: "cj-words", role: "status" });
  const buttons = tokens.map((token, i) => make("button", { type: "button",
    class: `cj-token cj-${token.role}`, tabindex: i === 0 ? "0" : "-1",
    "aria-label": `${token.text}: ${token.words}` }, token.text));
  let layer = 0;
  const explain = (i) => {
    buttons.forEach((button, j) => button.classList.toggle("cj-here", i === j));
    const share = tokens[i].attention ? tokens[i].attention[layer] : null;
    readout.replaceChildren(make("strong", {}, tokens[i].text), ` ${tokens[i].words}.`,
      share === null ? "" : make("span", { class: "cj-share" },
        ` [CLS] gives it ${number(100 * share, 2)} % of its attention in layer ${layer + 1}.`));
  };
  const shade = () => {
    if (!tokens[0].attention) return;
    const most = Math.max(...tokens.slice(1).map((token) => token.attention[layer]));
    buttons.forEach((button, i) => {
      const share = i === 0 ? 0 : tokens[i].attention[layer] / most;
      button.style.setProperty("--share", share.toFixed(3));
    });
  };
  buttons.forEach((button, i) => {
    button.addEventListener("pointerenter", () => explain(i));
    button.addEventListener("focus", () => explain(i));
  });
  const bar = make("div", { class: "cj-tokens", role: "toolbar",
    "aria-label": "tokens of the sentence: the arrow keys go from one to the next" },
    ...buttons);
  bar.addEventListener("keydown", (event) => move(event, buttons));
  shade();
  explain(Math.min(1, tokens.length - 1));
  return make("section", { class: "cj-panel cj-wide" },
    make("div", { class: "cj-head" }, make("h3", {}, "The sentence that the model reads"),
      layers(crystal, (chosen) => { layer = chosen; shade(); })),
    bar, readout);
}

function move(event, buttons) {
  const at = buttons.indexOf(event.target);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0,
    End: buttons.length - 1 }[event.key];
  if (at < 0 || to === undefined || !buttons[to]) return;
  event.preventDefault();
  buttons[at].tabIndex = -1;
  buttons[to].tabIndex = 0;
  buttons[to].focus();
}

let groups = 0; // radio buttons of one name belong together

function layers(crystal, onChange) {
  const n = crystal.tokens[0].attention ? crystal.tokens[0].attention.length : 0;
  if (n < 2) return null;
  const name = `cj-layer-${groups++}`;
  return make("fieldset", { class: "cj-layers" },
    make("legend", {}, "shaded by the attention of [CLS] in layer"),
    ...[...Array(n).keys()].map((i) => {
      const input = make("input", { type: "radio", name, value: i, checked: i === 0 });
      input.addEventListener("change", () => onChange(i));
      return make("label", {}, input, make("span", {}, String(i + 1)));
    }));
}

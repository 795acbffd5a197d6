// Small helpers: elements without innerHTML, so that no text of a file is ever markup.

/** Return an element with attributes and children; text stays text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Return an SVG element with attributes and children. */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Return a number with so many significant digits, without an exponent where short. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3) return value.toExponential(digits - 1).replace("-", "−");
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return value.toFixed(Math.min(places, 8)).replace("-", "−");
}

/** Return a formula such as SiO2 with its counts as subscripts. */
export function formula(text) {
  const parts = text.split(/(\d+)/).filter((part) => part !== "");
  return make("span", { class: "cj-formula" },
    ...parts.map((part) => (/^\d/.test(part) ? make("sub", {}, part) : part)));
}

/** Return a space-group symbol such as P3_121 or Fm-3m as it is printed. */
export function groupSymbol(text) {
  const parts = text.split(/(_\d|-\d)/).filter((part) => part !== "");
  return make("span", { class: "cj-group" }, ...parts.map((part) => {
    if (/^_\d$/.test(part)) return make("sub", {}, part[1]);
    if (/^-\d$/.test(part)) return make("span", { class: "cj-bar" }, part[1]);
    return part;
  }));
}

/** Return a table with a caption for those who hear it, and a header row. */
export function table(caption, header, rows) {
  return make("div", { class: "cj-scroll", tabindex: "0", role: "region",
    "aria-label": caption },
    make("table", {},
      make("caption", {}, caption),
      make("thead", {}, make("tr", {},
        ...header.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {},
        ...row.map((cell) => make("td", {}, cell)))))));
}

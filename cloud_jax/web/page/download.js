// What a person takes away: CSV as `cloud-jax predict` writes it, JSON, a picture.

const COLUMNS = ["id", "formula", "property", "temperature_k", "value", "unit", "basis",
  "spread", "lower", "upper", "notes"];

/** Return a value as a field of a CSV file. */
function field(value) {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Return the predictions of crystals as CSV, one row per property and temperature. */
export function csv(crystals) {
  const rows = [COLUMNS];
  for (const crystal of crystals) {
    for (const one of [...crystal.curves, ...crystal.scalars]) {
      one.value.forEach((value, i) => rows.push([crystal.id, crystal.formula, one.property,
        one.temperature_k[i], value, one.unit, one.basis, one.spread[i], one.lower[i],
        one.upper[i], crystal.flags.map((flag) => flag.name).join(";")]));
    }
  }
  return rows.map((row) => row.map(field).join(",")).join("\n") + "\n";
}

/** Let the browser save content under a name. */
export function save(name, content, type) {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Return a name for files of a crystal: letters, digits, dots and lines. */
export function fileName(crystal) {
  return crystal.id.replace(/.*\//, "").replace(/[^\w.-]+/g, "_").slice(0, 60) || "crystal";
}

const STYLE = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity",
  "fill-opacity", "font-size", "font-family"];

/** Return a copy of an SVG whose styles stand in its attributes. */
function inlined(svg) {
  const copy = svg.cloneNode(true);
  const [originals, copies] = [svg, copy].map((one) => [...one.querySelectorAll("*")]);
  originals.forEach((original, i) => {
    const style = getComputedStyle(original);
    for (const name of STYLE) copies[i].setAttribute(name, style.getPropertyValue(name));
  });
  copy.querySelectorAll(".cj-cursor, .cj-dot").forEach((mark) => mark.remove());
  return copy;
}

/** Return a PNG of charts side by side under a title, three times as fine as the screen. */
export async function picture(title, charts, background, ink) {
  const [width, height, head, scale] = [420, 250, 46, 3];
  const canvas = document.createElement("canvas");
  canvas.width = scale * width * charts.length;
  canvas.height = scale * (height + head + 22);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.fillStyle = background;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = ink;
  context.font = "600 17px system-ui, sans-serif";
  context.fillText(title, 12, 28);
  context.font = "13px system-ui, sans-serif";
  for (const [i, { svg, name }] of charts.entries()) {
    const copy = inlined(svg);
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", width * scale);
    copy.setAttribute("height", height * scale);
    const text = new XMLSerializer().serializeToString(copy);
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    await image.decode();
    context.fillText(name, i * width + 12, head + 10);
    context.drawImage(image, i * width, head + 18, width, height);
  }
  return new Promise((done) => { canvas.toBlob(done, "image/png"); });
}

/* What happens on the page: files come in, the worker answers, view.js draws. */

import { show } from "../page/view.js";

const MAX_BYTES = 5 * 2 ** 20;
const MAX_FILES = 20;
const TIME_LIMIT_MS = 60_000;
const element = (id) => document.getElementById(id);

/** Return the bytes of a part of this file: base64 of gzip. */
async function unpack(id) {
  const coded = atob(element(id).textContent.trim());
  const bytes = Uint8Array.from(coded, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Return bytes whose even places stand before the odd ones in their order. */
function interleaved(planes) {
  const bytes = new Uint8Array(planes.length);
  const half = Math.ceil(planes.length / 2);
  for (let i = 0; i < planes.length; i++) bytes[i] = planes[(i >> 1) + (i % 2 ? half : 0)];
  return bytes;
}

const loading = (async () => {
  const [data, weights, wasm] = await Promise.all(["data", "weights", "wasm"].map(unpack));
  return {
    data: JSON.parse(new TextDecoder().decode(data)),
    weights: interleaved(weights),
    wasm,
  };
})();

let worker = null;

async function started() {
  if (worker) return worker;
  const parts = await loading;
  const source = new Blob([element("engine").textContent], { type: "text/javascript" });
  worker = new Worker(URL.createObjectURL(source));
  worker.postMessage(parts);
  return worker;
}

/** Return the answer to one text; a search that takes too long ends with its worker. */
async function ask(id, text, kelvin) {
  const engine = await started();
  const answer = await new Promise((resolve) => {
    const fail = (message) => resolve({ id, message, broken: true });
    const why = `it took over ${TIME_LIMIT_MS / 1000} s; run: cloud-jax predict FILE`;
    const timer = setTimeout(() => fail(why), TIME_LIMIT_MS);
    engine.onmessage = ({ data }) => {
      clearTimeout(timer);
      resolve(data);
    };
    engine.onerror = (event) => {
      clearTimeout(timer);
      fail(`the engine did not start: ${event.message ?? "this browser allows no worker"}`);
    };
    engine.postMessage({ id, text, kelvin });
  });
  if (answer.broken) {
    worker.terminate();
    worker = null;
  }
  return answer;
}

let questions = 0;
let before = Promise.resolve();

/** Predict texts, {id, size, read}, and draw what comes of them.
 *
 * The worker answers one question at a time: a new one waits for the crystal at hand, and
 * ends the question before it.
 */
function predict(inputs) {
  const question = ++questions;
  before = before.then(() => answerAll(inputs, () => question === questions)).catch((error) => {
    element("status").textContent = `This page failed (${error.message}): try a newer browser, `
      + "or run cloud-jax predict FILE";
  });
}

/** Return the answer to one input, or why it could not be read. */
async function answerTo(input, kelvin) {
  if (input.size > MAX_BYTES) {
    return { message: `${(input.size / 2 ** 20).toFixed(0)} MB, expected at most 5 MB` };
  }
  let text;
  try {
    text = await input.read();
  } catch {
    return { message: "the browser cannot read it: is it a folder, or was it changed or moved?" };
  }
  return ask(input.id, text, kelvin);
}

async function answerAll(inputs, isLast) {
  const { data } = await loading;
  const answer = {
    crystals: [],
    problems: [],
    members: data.model.members,
    level: data.words.level,
    basis_words: data.words.basis,
  };
  const chosen = inputs.slice(0, MAX_FILES);
  for (const [i, input] of chosen.entries()) {
    if (!isLast()) return;
    element("status").textContent = `Computing ${input.id} (${i + 1} of ${chosen.length})`;
    const found = await answerTo(input, data.temperature_k);
    if (found.crystal) answer.crystals.push(found.crystal);
    else answer.problems.push({ id: input.id, message: found.message });
  }
  for (const input of inputs.slice(MAX_FILES)) {
    answer.problems.push({ id: input.id, message: `not read: more than ${MAX_FILES} files` });
  }
  if (!isLast()) return;
  show(element("answer"), answer);
  const n = answer.crystals.length;
  element("status").textContent = n ? `${n} ${n === 1 ? "crystal" : "crystals"} predicted.` : "";
}

const fromFiles = (files) =>
  predict([...files].map((file) => ({ id: file.name, size: file.size, read: () => file.text() })));

function listen() {
  element("files").addEventListener("change", ({ target }) => {
    if (target.files.length) fromFiles(target.files);
    target.value = ""; // the same file, mended, is a change again
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      element("drop").classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length) fromFiles(event.dataTransfer.files);
    });
  }
  element("predict").addEventListener("click", () => {
    const text = element("text").value;
    predict([{ id: "pasted text", size: text.length, read: () => text }]);
  });
}

/** Add a button for each example. */
function offer(examples) {
  for (const [name, text] of Object.entries(examples)) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "cj-button", textContent: name });
    button.addEventListener("click", () =>
      predict([{ id: name, size: text.length, read: () => text }]));
    element("examples").append(button);
  }
}

function follow(scheme) {
  document.documentElement.classList.toggle("dark", scheme.matches);
}

const dark = matchMedia("(prefers-color-scheme: dark)");
follow(dark);
dark.addEventListener("change", follow);
listen();
loading.then(({ data }) => offer(data.examples));

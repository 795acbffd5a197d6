/* Run the engine of a page without a server in Node.
 *
 *     node scripts/run_page.mjs page.html < requests.jsonl > answers.jsonl
 *
 * A request is {"id", "text", "kelvin"}; its answer {"id", "result"} or {"id", "code",
 * "message"}, with the seconds that it took. It is the engine inside the page that runs, by
 * the messages that the page sends it.
 */

import { readFileSync } from "node:fs";
import { runInThisContext } from "node:vm";
import { gunzipSync } from "node:zlib";

const html = readFileSync(process.argv[2], "utf8");

function part(id) {
  const found = new RegExp(`<script[^>]* id="${id}"[^>]*>([\\s\\S]*?)</script>`).exec(html);
  return found[1].trim();
}

const unpacked = (id) => gunzipSync(Buffer.from(part(id), "base64"));

/** Return the bytes of a file whose even places stand before its odd ones. */
function interleaved(planes) {
  const bytes = new Uint8Array(planes.length);
  const half = Math.ceil(planes.length / 2);
  for (let i = 0; i < planes.length; i++) bytes[i] = planes[(i >> 1) + (i % 2 ? half : 0)];
  return bytes;
}

runInThisContext(part("engine"), { filename: "engine.js" });
const { engine } = globalThis;
const scope = { postMessage: (answer) => (last = answer) };
let last;
engine.serve(scope, engine.moyo);
const start = { data: JSON.parse(unpacked("data")), weights: interleaved(unpacked("weights")), wasm: unpacked("wasm") };
scope.onmessage({ data: start });
for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const started = performance.now();
  scope.onmessage({ data: JSON.parse(line) });
  const seconds = (performance.now() - started) / 1000;
  console.log(JSON.stringify({ ...last, seconds }));
}

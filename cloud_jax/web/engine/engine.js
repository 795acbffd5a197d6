/* From the text of a file to properties: the whole way of one crystal. */

import { Refusal, needsProgram } from "./cell.js";
import { readCif } from "./cif.js";
import { readPoscar } from "./poscar.js";
import { describe } from "./symmetry.js";
import { domainFlags, idsOf, tokensOf } from "./vocabulary.js";
import { readWeights, run } from "./network.js";
import { distanceOf, placeOf, predictProperties } from "./properties.js";

const CIF = /_cell[._]length_a|^[ \t]*data_/im;
const POSCAR_LINES = 8; // the fewest, with one atom

/** Return the cell of a CIF or POSCAR, told apart by what is in it. */
export function readText(text, settings) {
  if (text.startsWith("PK\x03\x04")) throw needsProgram("Found a zip archive");
  if (text.includes("\0")) throw new Refusal("binary", "found a zero byte, expected text");
  const start = text.replace(/^\ufeff/, "").trimStart();
  if (start.startsWith("{") || start.startsWith("[")) throw needsProgram("Found JSON");
  if (CIF.test(text)) return readCif(text, settings);
  if (/^\d+\s*\n.*Lattice=/.test(start)) throw needsProgram("Found an extended XYZ file");
  if (text.split(/\r\n?|\n/).length < POSCAR_LINES) {
    const found = text.trim().slice(0, 40) || "an empty file";
    throw new Refusal("unreadable", `found '${found}', expected a CIF or POSCAR`);
  }
  return readPoscar(text);
}

/** Return a function that predicts: (text, temperatures in K) to a result.
 *
 * @param data of the page: model, tables, settings.
 * @param weights bytes of weights.safetensors.
 * @param moyo module of moyo-wasm.
 * @param wasm its WebAssembly.
 */
export function createEngine(data, weights, moyo, wasm) {
  moyo.initSync({ module: wasm });
  const arrays = readWeights(weights);
  const { model, tables } = data;
  return (text, kelvin) => {
    const cell = readText(text, data.settings);
    const crystal = describe(cell, moyo.analyze_cell, tables, model.symprec);
    const tokens = tokensOf(crystal.sentence);
    const ids = idsOf(tokens, model);
    const { outputs, state, looks } = run(ids, model, arrays);
    const place = arrays["novelty/states"] ? placeOf(state, arrays) : null;
    const distance = place ? distanceOf(place, arrays) : NaN;
    const flags = [...crystal.flags, ...domainFlags(crystal, tokens, ids, model)];
    if (distance > (model.calibration?.novelty?.far ?? Infinity)) {
      flags.push("not_calibrated:few_neighbours");
    }
    const rows = predictProperties(outputs, distance, crystal, kelvin, model);
    return { ...crystal, cell, tokens, looks, place, distance, flags, rows };
  };
}

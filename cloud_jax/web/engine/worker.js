/* The engine in a thread of its own, so that the page can end it when it takes too long. */

import { Refusal } from "./cell.js";
import { createEngine } from "./engine.js";
import { crystalOf } from "./answer.js";

/** Answer messages: first {data, weights, wasm}, then {id, text, kelvin} of each crystal.
 *
 * An answer is {id, result, crystal}, or {id, code, message} of a crystal that is refused;
 * `broken` says that the engine cannot go on.
 */
export function serve(scope, moyo) {
  let predict;
  let data;
  scope.onmessage = ({ data: message }) => {
    if (message.weights) {
      data = message.data;
      predict = createEngine(data, message.weights, moyo, message.wasm);
      return;
    }
    try {
      const result = predict(message.text, message.kelvin);
      const crystal = crystalOf(message.id, result, data);
      scope.postMessage({ id: message.id, result, crystal });
    } catch (error) {
      const broken = !(error instanceof Refusal);
      const code = broken ? "unexpected" : error.code;
      const why = broken
        ? `this page failed on it (${error.message ?? error}); run: cloud-jax predict FILE`
        : error.message;
      scope.postMessage({ id: message.id, code, message: why, broken });
    }
  };
}

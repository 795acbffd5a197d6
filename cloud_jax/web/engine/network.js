/* The network: a BERT encoder (Devlin et al. 2019) and a head, for each member.
 *
 * Numbers are computed in double precision from weights stored in single or half of it.
 * For a sentence of 32 tokens a member takes 14 million multiplications, so that plain
 * JavaScript is fast enough and the page needs no library for it.
 */

const EPSILON = 1e-12; // of LayerNorm

/** Return the arrays of a safetensors file by name: {shape, data: Float32Array}. */
export function readWeights(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = 8 + Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  const arrays = {};
  for (const [name, { dtype, shape, data_offsets: ends }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const part = bytes.slice(start + ends[0], start + ends[1]);
    if (dtype === "F32") arrays[name] = { shape, data: new Float32Array(part.buffer) };
    else if (dtype === "BF16") {
      // A bfloat16 is the upper half of a float32.
      const words = Uint32Array.from(new Uint16Array(part.buffer), (half) => half << 16);
      arrays[name] = { shape, data: new Float32Array(words.buffer) };
    } else throw new Error(`weights.safetensors: ${name} has the type ${dtype}`);
  }
  return arrays;
}

/** Return outputs [M][O] of all members, and of the first one the [CLS] state [D] and what
 * [CLS] attends to in each layer, heads averaged [layers][L].
 *
 * @param ids token ids [L].
 * @param model encoder, head and features of the vocabulary [V][F].
 * @param weights from readWeights.
 */
export function run(ids, model, weights) {
  const outputs = [];
  let state;
  let looks;
  for (let member = 0; member < model.members; member++) {
    const part = (name) => {
      const { shape, data } = weights[name];
      const size = data.length / shape[0];
      return data.subarray(member * size, (member + 1) * size);
    };
    const shares = [];
    const cls = encode(ids, model, part, shares);
    state ??= cls;
    looks ??= shares;
    outputs.push(Array.from(applyHead(cls, model.head, part)));
  }
  return { outputs, state, looks };
}

/** Return the last hidden state [D] at [CLS]; each layer adds its attention to `looks`. */
function encode(ids, model, part, looks) {
  const { width, layers, heads, token_features: nFeatures } = model.encoder;
  const embedding = part("encoder/token_embedding");
  const positions = part("encoder/position_embedding");
  let x = new Float64Array(ids.length * width);
  ids.forEach((id, l) => {
    for (let d = 0; d < width; d++) {
      x[l * width + d] = embedding[id * width + d] + positions[l * width + d];
    }
  });
  if (nFeatures) {
    const features = Float64Array.from(ids.flatMap((id) => model.features[id]));
    add(x, dense(features, part("encoder/feature_kernel"), null, nFeatures));
  }
  x = layerNorm(x, part, "encoder/embedding_norm", width);
  for (let i = 0; i < layers; i++) {
    // Only the state at [CLS] is read, so that the last layer asks for it alone.
    const queries = i === layers - 1 ? 1 : ids.length;
    const own = (name) => part(`encoder/layer_${i}/${name}`);
    x = layer(x, queries, width, heads, own, looks);
  }
  return x;
}

/** Return one post-LayerNorm transformer layer at the first `queries` positions. */
function layer(x, queries, width, heads, part, looks) {
  const mixed = attention(x, queries, width, heads, part, looks);
  const own = x.slice(0, queries * width);
  const y = layerNorm(add(own, mixed), part, "attention_norm", width);
  const hidden = dense(y, part("mlp/in/kernel"), part("mlp/in/bias"), width).map(gelu);
  const out = dense(hidden, part("mlp/out/kernel"), part("mlp/out/bias"), 4 * width);
  return layerNorm(add(out, y), part, "mlp_norm", width);
}

/** Return multi-head attention and its projection, [queries, D]. */
function attention(x, queries, width, heads, part, looks) {
  const n = x.length / width;
  const size = width / heads;
  // The kernel is [D, 3, D]: query, key and value beside each other.
  const qkv = dense(x, part("attention/qkv_kernel"), part("attention/qkv_bias"), width);
  const mixed = new Float64Array(queries * width);
  const ofCls = Array(n).fill(0);
  for (let q = 0; q < queries; q++) {
    for (let h = 0; h < heads; h++) {
      const scores = new Float64Array(n);
      for (let k = 0; k < n; k++) {
        let score = 0;
        for (let d = h * size; d < (h + 1) * size; d++) {
          score += qkv[q * 3 * width + d] * qkv[k * 3 * width + width + d];
        }
        scores[k] = score / Math.sqrt(size);
      }
      const most = Math.max(...scores);
      const shares = scores.map((score) => Math.exp(score - most));
      const total = shares.reduce((a, b) => a + b);
      for (let k = 0; k < n; k++) {
        if (q === 0) ofCls[k] += shares[k] / total / heads;
        for (let d = h * size; d < (h + 1) * size; d++) {
          mixed[q * width + d] += (shares[k] / total) * qkv[k * 3 * width + 2 * width + d];
        }
      }
    }
  }
  looks.push(ofCls);
  return dense(mixed, part("attention/output/kernel"), part("attention/output/bias"), width);
}

/** Return the outputs [O]: Dense and SiLU, as often as the head has layers, then Dense. */
function applyHead(state, head, part) {
  let hidden = state;
  for (let i = 0; i < head.layers; i++) {
    const name = `head/hidden_${i}`;
    hidden = dense(hidden, part(`${name}/kernel`), part(`${name}/bias`), hidden.length);
    hidden = hidden.map((value) => value / (1 + Math.exp(-value)));
  }
  return dense(hidden, part("head/output/kernel"), part("head/output/bias"), hidden.length);
}

/** Return x [L, I] times kernel [I, O], plus a bias [O]. */
function dense(x, kernel, bias, inputs) {
  const outputs = kernel.length / inputs;
  const n = x.length / inputs;
  const y = new Float64Array(n * outputs);
  for (let l = 0; l < n; l++) {
    const row = y.subarray(l * outputs, (l + 1) * outputs);
    if (bias) row.set(bias);
    let i = 0;
    // Four rows of the kernel at once: a sum is read and written a quarter as often.
    for (; i + 3 < inputs; i += 4) {
      const [a, b, c, d] = x.subarray(l * inputs + i, l * inputs + i + 4);
      let [p, q, r, s] = [0, 1, 2, 3].map((k) => (i + k) * outputs);
      for (let o = 0; o < outputs; o++) {
        row[o] += a * kernel[p++] + b * kernel[q++] + c * kernel[r++] + d * kernel[s++];
      }
    }
    for (; i < inputs; i++) {
      for (let o = 0; o < outputs; o++) row[o] += x[l * inputs + i] * kernel[i * outputs + o];
    }
  }
  return y;
}

function add(x, y) {
  for (let i = 0; i < x.length; i++) x[i] += y[i];
  return x;
}

function layerNorm(x, part, name, width) {
  const [scale, bias] = [part(`${name}/scale`), part(`${name}/bias`)];
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    const row = x.subarray(start, start + width);
    const mean = row.reduce((a, b) => a + b) / width;
    const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / width;
    const factor = 1 / Math.sqrt(variance + EPSILON);
    for (let d = 0; d < width; d++) y[start + d] = (row[d] - mean) * factor * scale[d] + bias[d];
  }
  return y;
}

const gelu = (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2));

/** Return the error function to 1e-15.
 *
 * Below 2.5 by its series, whose terms are all positive (Abramowitz & Stegun 7.1.6), above
 * by the continued fraction of erfc (7.1.14).
 */
function erf(x) {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  const front = (2 / Math.sqrt(Math.PI)) * Math.exp(-a * a);
  if (a < 2.5) {
    let term = a;
    let sum = a;
    for (let n = 1; term > 1e-17 * sum; n++) sum += term *= (2 * a * a) / (2 * n + 1);
    return Math.sign(x) * front * sum;
  }
  let fraction = a;
  for (let n = 60; n > 0; n--) fraction = a + n / 2 / fraction;
  return Math.sign(x) * (1 - front / 2 / fraction);
}

/* How new a crystal is to the model, in the words of cloud_jax/inference/explanations.py. */

/** Return {level, words}: whether the model learned from the sentence, and what is near.
 *
 * @param sentence of the crystal.
 * @param distance from the training rows; NaN where the model has none.
 * @param model with `domain.sentences`, hashes of what it learned from, by property.
 * @param words learned, far, near, wider.
 */
export function noveltyOf(sentence, distance, model, words) {
  const learned = Object.entries(model.domain.sentences ?? {}).map(([property, packed]) => [
    property,
    holds(packed, sentence),
  ]);
  const isNew = !learned.some(([, found]) => found);
  const withCapacity = learned.some(([property, found]) => found && property === "heat_capacity");
  const kind = !learned.length ? "unknown" : isNew ? "new" : withCapacity ? "known" : "half";
  const known = words.learned[kind];
  const widening = model.calibration?.novelty;
  if (!widening || !Number.isFinite(distance)) {
    return { level: kind === "unknown" ? "note" : "good", words: known };
  }
  if (distance > widening.far) return { level: "doubt", words: known };
  const times = Math.max(distance / widening.near, 1) ** widening.exponent;
  if (times >= words.wider) {
    return { level: "note", words: `${known} ${words.far.replace("{times}", times.toFixed(1))}` };
  }
  return { level: "good", words: `${known} ${words.near}` };
}

/** Return whether the hash of a sentence is among packed ones: base64 of 8 bytes each. */
function holds(packed, sentence) {
  const bytes = atob(packed);
  const wanted = String.fromCharCode(...sha256(new TextEncoder().encode(sentence)).slice(0, 8));
  for (let at = 0; at < bytes.length; at += 8) {
    if (bytes.startsWith(wanted, at)) return true;
  }
  return false;
}

/** Return the SHA-256 of bytes (FIPS 180-4).
 *
 * Written out, since crypto.subtle is missing where a browser trusts no file of the disk.
 */
export function sha256(bytes) {
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
  const fraction = (x) => ((x - Math.floor(x)) * 2 ** 32) >>> 0;
  const constants = primes.map((p) => fraction(Math.cbrt(p)));
  const hash = primes.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
  const blocks = Math.ceil((bytes.length + 9) / 64);
  const view = new DataView(new ArrayBuffer(64 * blocks));
  bytes.forEach((byte, i) => view.setUint8(i, byte));
  view.setUint8(bytes.length, 0x80);
  view.setUint32(view.byteLength - 4, 8 * bytes.length);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  for (let block = 0; block < blocks; block++) {
    const w = [];
    for (let t = 0; t < 64; t++) {
      if (t < 16) w.push(view.getUint32(64 * block + 4 * t));
      else {
        const [a, b] = [w[t - 15], w[t - 2]];
        const s0 = turn(a, 7) ^ turn(a, 18) ^ (a >>> 3);
        const s1 = turn(b, 17) ^ turn(b, 19) ^ (b >>> 10);
        w.push((w[t - 16] + s0 + w[t - 7] + s1) >>> 0);
      }
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let t = 0; t < 64; t++) {
      const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
      const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
      const t1 = h + s1 + ((e & f) ^ (~e & g)) + constants[t] + w[t];
      const t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) >>> 0, c, b, a, (t1 + t2) >>> 0];
    }
    [a, b, c, d, e, f, g, h].forEach((x, i) => (hash[i] = (hash[i] + x) >>> 0));
  }
  return hash.flatMap((x) => [x >>> 24, (x >>> 16) & 255, (x >>> 8) & 255, x & 255]);
}

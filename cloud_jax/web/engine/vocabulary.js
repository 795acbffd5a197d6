/* Sentences as tokens, and what of a crystal the training rows did not hold. */

import { Refusal, needsProgram } from "./cell.js";

const FEW_ELEMENTAL = 20; // calibration rows of elemental crystals; fewer test no interval
const ROLES = ["element", "wyckoff", "count"];

/** Return role-tagged tokens of a sentence of the canonical dialect, [CLS] to [SEP]. */
export function tokensOf(sentence) {
  const [symmetry, orbits, composition] = sentence.split(" | ").map((part) => part.split(" "));
  const roles = ["inversion", "generators"];
  for (let i = 0; i < Number(symmetry[1]); i++) {
    roles.push("matrix", "translation", "translation", "translation");
  }
  roles.push("origin", "translation", "translation", "translation");
  const pairs = (words, second) => words.map((word, i) => `${i % 2 ? second : "element"}:${word}`);
  return [
    "[CLS]",
    ...symmetry.map((word, i) => `${roles[i]}:${word}`),
    "|",
    ...pairs(orbits, "wyckoff"),
    "|",
    ...pairs(composition, "count"),
    "[SEP]",
  ];
}

/** Return the ids of tokens.
 *
 * @throws Refusal a token that the vocabulary lacks, or more than the model takes.
 */
export function idsOf(tokens, model) {
  if (tokens.length > model.max_tokens) {
    throw new Refusal("too_long", `found ${tokens.length} tokens, expected at most ${model.max_tokens}`);
  }
  return tokens.map((token) => {
    const id = model.tokens.indexOf(token);
    if (id < 0) throw needsProgram(`The model's vocabulary lacks ${token}`);
    return id;
  });
}

/** Return the flags of a crystal that training or calibration did not cover.
 *
 * They are those of cloud_jax/inference/crystals.py.
 */
export function domainFlags(crystal, tokens, ids, model) {
  const domain = model.domain ?? {};
  const flags = [];
  const generators = crystal.sentence.split(" | ")[0];
  if (domain.symmetries && !domain.symmetries.includes(generators)) flags.push("unseen_space_group");
  if (domain.token_ids) {
    const known = new Set(domain.token_ids);
    const outside = ids.map((id, i) => [id, tokens[i]]).sort((a, b) => a[0] - b[0]);
    for (const [id, token] of outside) {
      const role = token.split(":")[0];
      const flag = `unseen_${token}`;
      if (!known.has(id) && ROLES.includes(role) && !flags.includes(flag)) flags.push(flag);
    }
  }
  if (ids.length > (domain.longest ?? Infinity)) flags.push("longer_than_trained");
  const elements = crystal.composition.map(([element]) => element);
  if (elements.length === 1 && (domain.elemental ?? Infinity) < FEW_ELEMENTAL) {
    flags.push("not_calibrated:elemental_crystal");
  }
  if (domain.in_metals && elements.every((element) => model.metals.includes(element))) {
    for (const element of [...elements].sort()) {
      if (!domain.in_metals.includes(element)) flags.push(`not_calibrated:${element}_in_metal`);
    }
  }
  return flags;
}

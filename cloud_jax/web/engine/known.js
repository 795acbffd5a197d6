/* The nearest known crystals, by the state that the encoder gives them. */

const N_NEAREST = 5;

/** Return up to five known crystals, nearest first: name, formula, distance, words.
 *
 * @param place whitened [CLS] state of the crystal [K]; null where the model has no axes.
 * @param sentence of the crystal.
 * @param known rows [name, formula, sentence], their places [n][K], the usual distance from
 *   one to the next, and words for multiples of it.
 */
export function nearestKnown(place, sentence, { rows, places, usual, nearness }) {
  if (!place) return [];
  const distances = places.map((other) => Math.hypot(...other.map((x, k) => x - place[k])));
  const order = rows.map((_, i) => i).sort((i, j) => distances[i] - distances[j]);
  return order.slice(0, N_NEAREST).map((i) => {
    const [name, formula, own] = rows[i];
    const times = distances[i] / usual;
    const near = nearness.find(([most]) => most === null || times <= most)[1];
    const distance = Number(distances[i].toFixed(4));
    return { name, formula, distance, words: own === sentence ? "the same sentence" : near };
  });
}

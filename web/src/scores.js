/** What a network may return to be a classifier. */
export const SCORES = ["logits", "probabilities"];

/** Probabilities of what a network returned, one of `SCORES`. */
export function probabilities(scores, outputs) {
  if (outputs === "probabilities") return Array.from(scores);
  const most = scores.reduce((a, b) => Math.max(a, b));
  const powers = Array.from(scores, (score) => Math.exp(score - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** The most probable classes: [{label, probability}], a class without a name is its number. */
export function topClasses(values, labels, count) {
  return values
    .map((probability, index) => ({ label: labels[index] ?? String(index), probability }))
    .sort((a, b) => b.probability - a.probability)
    .slice(0, count);
}

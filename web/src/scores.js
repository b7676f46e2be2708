import { InputError } from "./errors.js";

/** What a network may return to be a classifier, or to be a segmenter for each pixel. */
export const SCORES = ["logits", "probabilities"];

/** What a network returned as floats: bytes, the probabilities of recipe int8, count in 256ths. */
export const asFloats = (returned) =>
  returned instanceof Uint8Array ? Float32Array.from(returned, (byte) => byte / 256) : returned;

/** Rejects a file that names some of its classes, but not all. */
export function requireLabels(labels, classes) {
  if (labels.length && labels.length !== classes) {
    throw new InputError(`has ${labels.length} labels for ${classes} classes: export it again.`);
  }
}

/** Whether scores are the values of a regression, which are no probabilities. */
export const areValues = (problemType) => problemType === "regression";

/**
 * Scores of what a network returned (keras_poolformer/scores.py has the same rule).
 * @param {ArrayLike<number>} returned Logits or probabilities, as `outputs` says.
 * @param {string} outputs One of `SCORES`.
 * @param {string | null} [problemType] What the logits mean, in transformers' words.
 * @returns {number[]} Probabilities, or the values of a regression.
 */
export function scores(returned, outputs, problemType) {
  const logits = Array.from(asFloats(returned));
  if (outputs === "probabilities" || areValues(problemType)) return logits;
  if (problemType === "multi_label_classification" || logits.length === 1) {
    return logits.map((logit) => 1 / (1 + Math.exp(-logit)));
  }
  const most = logits.reduce((a, b) => Math.max(a, b));
  const powers = logits.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** The classes with the highest scores: [{label, score}], a class without a name is its number. */
export function topClasses(values, labels, count) {
  return values
    .map((score, index) => ({ label: labels[index] ?? String(index), score }))
    .sort((a, b) => b.score - a.score)
    .slice(0, count);
}

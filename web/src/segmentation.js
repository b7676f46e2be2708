// The task of a segmenter's file: a class for each pixel (keras_poolformer/runtime/segmenter.py).

import { InputError } from "./errors.js";
import { labelMap, repeatLabels } from "./label_map.js";
import { asFloats, requireLabels, SCORES } from "./scores.js";

const LABELS = "labels";
const TINY = 2 ** -126; // float32's smallest normal number
const OUTPUTS = [...SCORES, LABELS];

/** Rejects a file by what it says of itself. */
export function requireOutputs({ outputs }) {
  if (OUTPUTS.includes(outputs)) return;
  throw new InputError(`returns ${outputs}; a segmenter returns ${OUTPUTS.join(", ")}.`);
}

/** Rejects a file by what it returns; returns the number of its classes, if it tells. */
export function requireShape(shape, { outputs, labels }) {
  if (shape.length !== (outputs === LABELS ? 3 : 4)) {
    throw new InputError(`must return ${outputs} of each pixel; it returns ${shape.join(" x ")}.`);
  }
  if (outputs === LABELS) return labels.length;
  requireLabels(labels, shape.at(-1));
  return shape.at(-1);
}

/**
 * What the page shows of a network's output: the class of each pixel of the picture, and the
 * classes that are in it with their shares of the pixels, the largest first.
 */
export function answer({ returned, shape, description, pixels, picture }) {
  const map = labelsOf(returned, shape, description.outputs, pixels, picture);
  const colors = description.palette ?? vocPalette();
  const segments = shares(map).map(({ index, score }) => ({
    label: description.labels[index] ?? String(index),
    score,
    color: colors[index], // none for a class that the palette lacks
    index,
  }));
  return { map, segments, width: picture.width, height: picture.height };
}

function labelsOf(returned, [, height, width, classes], outputs, pixels, picture) {
  if (outputs === LABELS) return repeatLabels(returned, { height, width }, picture);
  let logits = asFloats(returned);
  if (outputs === "probabilities") logits = logits.map((value) => Math.log(Math.max(value, TINY)));
  return labelMap({ logits, height, width, classes }, pixels, picture);
}

function shares(map) {
  const counts = new Map();
  for (const label of map) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts]
    .map(([index, count]) => ({ index, score: count / map.length }))
    .sort((a, b) => b.score - a.score || a.index - b.index);
}

/** PASCAL VOC's colors: each class's bits, spread over the channels (images/overlays.py). */
function vocPalette() {
  return Array.from({ length: 256 }, (_, index) =>
    [0, 1, 2].map((channel) =>
      [0, 1, 2].reduce((value, bit) => value | (((index >> (3 * bit + channel)) & 1) << (7 - bit)), 0),
    ),
  );
}

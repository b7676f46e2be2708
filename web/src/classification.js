// The task of a classifier's file: one score for each class.

import { InputError } from "./errors.js";
import { areValues, requireLabels, scores, SCORES } from "./scores.js";

/** Rejects a file by what it says of itself. */
export function requireOutputs({ outputs }) {
  if (SCORES.includes(outputs)) return;
  throw new InputError(`returns ${outputs}; a classifier returns ${SCORES.join(" or ")}.`);
}

/** Rejects a file by what it returns; returns the number of its classes. */
export function requireShape(shape, { labels }) {
  const classes = shape.reduce((product, side) => product * side);
  requireLabels(labels, classes);
  return classes;
}

/** What the page shows of a network's output. */
export function answer({ returned, description }) {
  return {
    scores: scores(returned, description.outputs, description.problem_type),
    areValues: areValues(description.problem_type),
    labels: description.labels,
  };
}

// Everything that takes time, off the page's thread: loading, decoding, resizing, the network.

import { decode } from "./decode.js";
import { readDescription } from "./description.js";
import { InputError } from "./errors.js";
import { ImageTransform } from "./image_transform.js";
import { Model, startLiteRt } from "./model.js";
import { areValues, scores, SCORES } from "./scores.js";

let runtime; // a promise: started once, by the first model
let current; // the loaded model and what it says of itself

const now = () => performance.timeOrigin + performance.now(); // on the page's clock too

async function load({ source, threads, folder }) {
  runtime ??= startLiteRt(folder, threads);
  const [usable, { file, name, arrived }] = await Promise.all([runtime, read(source)]);
  const opened = await open(file, usable).catch((error) => {
    throw error instanceof InputError ? new InputError(`${name} ${error.message}`) : error;
  });
  current?.model.delete();
  current = opened;
  const { recipe, labels } = opened.description;
  const fetched = performance.getEntriesByType("resource").map((entry) => entry.name);
  return { name, bytes: file.length, recipe, classes: labels.length, threads: usable, arrived, fetched };
}

async function open(file, threads) {
  const description = readDescription(file);
  if (!SCORES.includes(description.outputs)) {
    throw new InputError(`returns ${description.outputs}; a classifier returns ${SCORES.join(" or ")}.`);
  }
  if (description.task === "segmentation") {
    throw new InputError("labels each pixel; the page takes classifiers.");
  }
  const transform = new ImageTransform(description.transform);
  const model = await Model.compile(file, threads);
  const { length } = await model.run(model.blank()); // the first call is slower than all others
  const { labels } = description;
  if (labels.length && labels.length !== length) {
    model.delete();
    throw new InputError(`has ${labels.length} labels for ${length} classes: export it again.`);
  }
  return { model, description, transform };
}

async function read(source) {
  if (source instanceof Blob) {
    return { file: new Uint8Array(await source.arrayBuffer()), name: source.name, arrived: now() };
  }
  const name = new URL(source).pathname.split("/").at(-1);
  const response = await fetch(source).catch(() => undefined);
  if (!response?.ok) {
    const cause = response ? `the server answered ${response.status}` : "there is no connection";
    throw new InputError(`${name} could not be loaded: ${cause}.`);
  }
  return { file: new Uint8Array(await response.arrayBuffer()), name, arrived: now() };
}

async function classify({ file }) {
  const { model, description, transform } = current;
  const start = now();
  const pixels = transform.pixels(await decode(file));
  const input = model.takesPixels ? new Uint8Array(pixels.data.buffer) : transform.normalize(pixels);
  const prepared = now();
  const returned = await model.run(input);
  const done = now();
  return {
    pixels,
    scores: scores(returned, description.outputs, description.problem_type),
    areValues: areValues(description.problem_type),
    labels: description.labels,
    milliseconds: { preparing: prepared - start, running: done - prepared },
  };
}

const METHODS = { load, classify };
let queue = Promise.resolve(); // one thing at a time: LiteRT has one input

self.onmessage = ({ data: { id, method, options } }) => {
  queue = queue
    .then(() => METHODS[method](options))
    .then((result) => postMessage({ id, result }))
    .catch((error) => {
      const message = error instanceof InputError ? error.message : `Something went wrong: ${error.message ?? error}`;
      postMessage({ id, error: message });
    });
};

// Everything that takes time, off the page's thread: loading, decoding, resizing, the network.

import * as classification from "./classification.js";
import { decode } from "./decode.js";
import { readDescription } from "./description.js";
import { InputError } from "./errors.js";
import { ImageTransform } from "./image_transform.js";
import { Model, startLiteRt } from "./model.js";
import * as segmentation from "./segmentation.js";

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
  const { classes, task } = opened;
  const { recipe } = opened.description;
  const fetched = performance.getEntriesByType("resource").map((entry) => entry.name);
  const segments = task === segmentation;
  return { name, bytes: file.length, recipe, classes, segments, threads: usable, arrived, fetched };
}

async function open(file, threads) {
  const description = readDescription(file);
  const task = description.task === "segmentation" ? segmentation : classification;
  task.requireOutputs(description);
  const transform = new ImageTransform(description.transform);
  const model = await Model.compile(file, threads);
  try {
    await model.run(model.blank()); // the first call is slower than all others
    const classes = task.requireShape(model.outputShape, description);
    return { model, description, transform, task, classes };
  } catch (error) {
    model.delete();
    throw error;
  }
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

async function run({ file }) {
  const { model, description, transform, task } = current;
  const start = now();
  const picture = await decode(file);
  const pixels = transform.pixels(picture);
  const input = model.takesPixels ? new Uint8Array(pixels.data.buffer) : transform.normalize(pixels);
  const prepared = now();
  const returned = await model.run(input);
  const done = now();
  return {
    pixels,
    ...task.answer({ returned, shape: model.outputShape, description, pixels, picture }),
    milliseconds: { preparing: prepared - start, running: done - prepared },
  };
}

const METHODS = { load, run };
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

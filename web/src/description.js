// What an exported file says of itself: a zip archive behind the flatbuffer, entries stored as
// they are (keras_poolformer/runtime/description.py writes it).

import { InputError } from "./errors.js";

const END_SIZE = 22;
const MAX_COMMENT = 65_535;
const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const STORED = 0;

/**
 * Reads the description of a .tflite file.
 * @param {Uint8Array} file
 * @returns {{recipe: string, outputs: string, transform: object, labels: string[],
 *     problem_type?: string | null}}
 */
export function readDescription(file) {
  if (new TextDecoder().decode(file.subarray(4, 8)) !== "TFL3") {
    throw new InputError("is not a .tflite file.");
  }
  try {
    const texts = readTexts(file);
    const document = JSON.parse(texts.get("keras_poolformer.json"));
    const labels = lines(texts.get("labels.txt"));
    if (document?.transform) return { ...document, labels };
  } catch (error) {
    throw new InputError(`has a corrupt description: ${error.message}`);
  }
  throw new InputError("does not say how images are prepared: export it with keras-poolformer.");
}

/** The lines of a text; nothing else ends one, as in runtime/description.py. */
const lines = (content) => content ? content.replace(/\r?\n$/, "").split(/\r?\n/) : [];

/** {name: text} of the archive; empty if there is none. */
function readTexts(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const texts = new Map([["keras_poolformer.json", "null"]]);
  const end = findEnd(view);
  if (end === undefined) return texts;
  const count = view.getUint16(end + 10, true);
  for (let index = 0, at = view.getUint32(end + 16, true); index < count; index++) {
    if (view.getUint32(at, true) !== ENTRY) throw new Error("its zip directory is corrupt");
    const [nameLength, extra, comment] = [28, 30, 32].map((place) => view.getUint16(at + place, true));
    const name = text(file, at + 46, nameLength);
    if (view.getUint16(at + 10, true) !== STORED) throw new Error(`${name} is compressed`);
    texts.set(name, content(file, view, view.getUint32(at + 42, true), view.getUint32(at + 24, true)));
    at += 46 + nameLength + extra + comment;
  }
  return texts;
}

function findEnd(view) {
  const last = view.byteLength - END_SIZE;
  for (let at = last; at >= Math.max(0, last - MAX_COMMENT); at--) {
    if (view.getUint32(at, true) === END) return at;
  }
  return undefined;
}

function content(file, view, at, size) {
  if (view.getUint32(at, true) !== LOCAL) throw new Error("its zip entries are corrupt");
  const header = 30 + view.getUint16(at + 26, true) + view.getUint16(at + 28, true);
  return text(file, at + header, size);
}

const text = (file, at, size) =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(file.subarray(at, at + size));

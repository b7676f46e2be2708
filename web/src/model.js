// The network on LiteRT.js.

import { loadAndCompile, loadLiteRt, supportsFeature, Tensor } from "@litertjs/core";
import { InputError } from "./errors.js";

const THREADED = "litert_wasm_threaded_internal.js";
const MOST_THREADS = 4; // a network of this size has no work for more

// (func (result v128) (v128.const ...)): what LiteRT.js cannot do without.
const SIMD = Uint8Array.from(
  [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15,
   253, 98, 11],
); // prettier-ignore

/**
 * Loads LiteRT's WebAssembly, once for all models.
 * @param {string} folder URL of the files, with a slash at the end.
 * @param {number} [threads] By default as many as there are cores, up to 4.
 * @returns {Promise<number>} The threads that a model may use.
 */
export async function startLiteRt(folder, threads) {
  requireWebAssembly();
  const wanted = await canThread() ? threads ?? MOST_THREADS : 1;
  const most = Math.max(1, Math.min(wanted, navigator.hardwareConcurrency)); // the pool has no more
  // Emscripten's own hook: in a worker it cannot know where its files are, and it logs
  // everything, news too, as errors.
  self.Module = {
    locateFile: (name) => folder + name,
    mainScriptUrlOrBlob: folder + THREADED,
    printErr: (line) => console[/^(ERROR|FATAL)/.test(line) ? "error" : "debug"](line),
  };
  await loadLiteRt(folder, { threads: most > 1 });
  return most;
}

function requireWebAssembly() {
  if (typeof WebAssembly !== "object") {
    throw new InputError("This browser has no WebAssembly, or it is turned off. Use a newer browser.");
  }
  if (!WebAssembly.validate(SIMD)) {
    throw new InputError("This browser's WebAssembly has no SIMD instructions. Use a newer browser.");
  }
}

async function canThread() {
  return self.crossOriginIsolated && await supportsFeature("threads") && await supportsFeature("relaxedSimd");
}

/** A compiled .tflite file of one image and one output. */
export class Model {
  #compiled;
  #shape;

  /**
   * @param {Uint8Array} file
   * @param {number} threads
   */
  static async compile(file, threads) {
    try {
      const options = { accelerator: "wasm", cpuOptions: { numThreads: threads } };
      return new Model(await loadAndCompile(file, options));
    } catch (error) {
      throw new InputError(`cannot be run: ${reason(error)}`);
    }
  }

  constructor(compiled) {
    const [inputs, outputs] = [compiled.getInputDetails(), compiled.getOutputDetails()];
    if (inputs.length !== 1 || outputs.length !== 1) throw new Error("it must have one input and one output.");
    this.#compiled = compiled;
    this.#shape = Array.from(inputs[0].shape);
    this.outputShape = Array.from(outputs[0].shape); // 1, ...
    this.takesPixels = inputs[0].dtype === "uint8";
  }

  /** What one image without content would be. */
  blank() {
    const length = this.#shape.reduce((product, side) => product * side);
    return this.takesPixels ? new Uint8Array(length) : new Float32Array(length);
  }

  /**
   * Runs the network.
   * @param {Uint8Array | Float32Array} image Pixels or normalized values, as `takesPixels` says.
   * @returns {Promise<Float32Array | Uint8Array>} As the file returns it.
   */
  async run(image) {
    const input = new Tensor(image, this.#shape);
    try {
      const [output] = await this.#compiled.run([input]);
      const values = await output.data();
      output.delete();
      return values;
    } finally {
      input.delete();
    }
  }

  delete() {
    this.#compiled.delete();
  }
}

function reason(error) {
  const message = error.message ?? String(error);
  if (!message.includes("INT8")) return message;
  return "it returns signed bytes, which LiteRT.js does not read; export it with --outputs probabilities.";
}

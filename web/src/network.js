import { InputError } from "./errors.js";

/** The network, which works in a thread of its own. */
export class Network {
  #worker;
  #waiting = new Map();
  #asked = 0;
  #failure;

  /** @param {string} script URL of the worker. */
  constructor(script) {
    this.#worker = new Worker(script);
    this.#worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) reject(new InputError(error));
      else resolve(result);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#failure = new InputError(`The network could not be started. ${event.message ?? ""}`);
      this.#waiting.forEach(({ reject }) => reject(this.#failure));
    };
  }

  /**
   * Loads a model in place of the one before.
   * @param {{source: string | Blob, threads?: number, folder: string}} options URL of the model or
   *     the file itself; URL of LiteRT's WebAssembly.
   */
  load(options) {
    return this.#ask("load", options);
  }

  /**
   * Classifies or segments an image file, as the model does.
   * @param {Blob} file
   */
  run(file) {
    return this.#ask("run", { file });
  }

  #ask(method, options) {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = this.#asked++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, method, options });
    });
  }
}

// The peer: onnxruntime-web's WebAssembly, as its documentation says.

import * as ort from "onnxruntime-web/wasm";
import { answer } from "./answer.js";

const options = new URLSearchParams(location.search);
const size = Number(options.get("size"));

answer(async () => {
  ort.env.wasm.numThreads = Number(options.get("threads"));
  ort.env.wasm.wasmPaths = new URL("onnxruntime/", location.href).href;
  const session = await ort.InferenceSession.create(options.get("file"), {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
  });
  const [input] = session.inputNames;
  const [output] = session.outputNames;
  return async (image) => {
    const results = await session.run({ [input]: new ort.Tensor("float32", image, [1, 3, size, size]) });
    return results[output].data;
  };
});

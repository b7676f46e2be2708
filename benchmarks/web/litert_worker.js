// Ours: the page's own way to run a .tflite file, in a worker as there.

import { Model, startLiteRt } from "../../web/src/model.js";
import { answer } from "./answer.js";

const options = new URLSearchParams(location.search);
const threads = Number(options.get("threads"));

answer(async () => {
  await startLiteRt(new URL("litert/", location.href).href, threads);
  const file = await (await fetch(options.get("file"))).arrayBuffer();
  const model = await Model.compile(new Uint8Array(file), threads);
  return (image) => model.run(image);
});

import { Network } from "./network.js";
import { keepForOffline } from "./offline.js";
import { showSegments, watchOpacity } from "./segments_view.js";
import { watchFiles } from "./sources.js";
import { showClasses, showModel, showPicture, showPixels, showProblem, tell } from "./view.js";

const now = () => performance.timeOrigin + performance.now(); // on the worker's clock too
const here = (path) => new URL(path, document.baseURI).href;
const options = new URLSearchParams(location.search);
const marks = document.documentElement.dataset; // what was measured, for whoever wants to know
const network = new Network(here("worker.js"));

let loaded; // a promise: images that come before the model wait for it
let answered; // the image whose answer is shown
let newest = 0; // an image that comes later makes the answers to earlier ones stale

/** Loads a model in place of the one before, which stays if the new one cannot be used. */
async function load(source) {
  tell("Loading the model …");
  const threads = Number(options.get("threads")) || undefined;
  const loading = network.load({ source, threads, folder: here("litert/") });
  const before = loaded;
  loaded = loading.catch((error) => {
    if (!before) throw error;
    return before.catch(() => Promise.reject(error));
  });
  loaded.catch(() => {}); // whoever waits for it is told
  try {
    const model = await loading;
    showProblem("");
    showModel(model);
    marks.model = model.name;
    tell("The model is ready. Choose an image.");
    if (answered) run(answered);
    return model;
  } catch (error) {
    tell("");
    showProblem(error.message);
    return undefined;
  }
}

/** Classifies or segments an image and shows the answer. */
async function run(file) {
  const turn = ++newest;
  const chosen = now();
  answered = undefined;
  showProblem("");
  showPicture(file);
  tell("Working …");
  try {
    const model = await loaded;
    if (turn !== newest) return;
    const answer = await network.run(file);
    if (turn !== newest) return;
    show(answer);
    answered = file;
    marks.firstResultMs ??= (now() - Math.max(model.arrived, chosen)).toFixed(1);
    marks.results = Number(marks.results ?? 0) + 1;
  } catch (error) {
    if (turn !== newest) return;
    showPicture();
    tell("");
    showProblem(error.message);
  }
}

function show(answer) {
  const { preparing, running } = answer.milliseconds;
  const best = answer.segments ? showSegments(answer) : showClasses(answer);
  showPixels(answer.pixels, preparing);
  tell(`${best}, in ${running.toFixed(1)} ms`);
}

async function takeExample(path) {
  try {
    const content = await (await fetch(path)).blob();
    await run(new File([content], path.split("/").at(-1)));
  } catch {
    showProblem("The example could not be loaded: there is no connection.");
  }
}

watchOpacity();
watchFiles({ onImage: run, onModel: load, onProblem: showProblem });
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => takeExample(button.dataset.example));
}

const source = here(options.get("model") ?? "model.tflite");
const model = await load(source);
if (model) {
  const kept = await keepForOffline([...model.fetched, here("worker.js"), source]);
  marks.offline = kept ? "ready" : "unavailable";
}

import { Classifier } from "./classifier.js";
import { keepForOffline } from "./offline.js";
import { watchFiles } from "./sources.js";
import { showClasses, showModel, showPicture, showPixels, showProblem, tell } from "./view.js";

const here = (path) => new URL(path, document.baseURI).href;
const options = new URLSearchParams(location.search);
const marks = document.documentElement.dataset; // what was measured, for whoever wants to know
const classifier = new Classifier(here("worker.js"));

let loaded; // a promise: images that come before the model wait for it
let newest = 0; // an image that comes later makes the answers to earlier ones stale

function load(source) {
  tell("Loading the model …");
  const threads = Number(options.get("threads")) || undefined;
  const loading = classifier.load({ source, threads, folder: here("litert/") });
  const before = loaded;
  loaded = loading.catch(async (error) => {
    showProblem(error.message);
    tell("");
    return before; // the model before, if there was one, is still there
  });
  loading.then(showLoaded, () => {});
  return loaded;
}

function showLoaded(model) {
  showProblem("");
  showModel(model);
  tell(newest ? "" : "The model is ready: choose an image.");
  marks.model = model.name;
}

async function classify(file) {
  const turn = ++newest;
  const chosen = performance.timeOrigin + performance.now();
  showProblem("");
  showPicture(file);
  tell("Looking …");
  try {
    const model = await loaded;
    if (!model) return;
    const answer = await classifier.classify(file);
    if (turn !== newest) return;
    show(answer);
    const waited = performance.timeOrigin + performance.now() - Math.max(model.arrived, chosen);
    marks.firstResultMs ??= waited.toFixed(1);
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
  const best = showClasses(answer);
  showPixels(answer.pixels, preparing);
  tell(`${best}, found in ${running.toFixed(1)} ms`);
}

async function takeExample(path) {
  const response = await fetch(path);
  const file = new File([await response.blob()], path.split("/").at(-1));
  return classify(file);
}

watchFiles({
  onImage: classify,
  onModel: load,
  onProblem: showProblem,
});
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => takeExample(button.dataset.example));
}

const source = here(options.get("model") ?? "model.tflite");
const model = await load(source);
if (model) {
  const kept = await keepForOffline([...model.fetched, here("worker.js"), source]);
  marks.offline = kept ? "ready" : "unavailable";
}

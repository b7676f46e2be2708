// What the page shows.

import { topClasses } from "./scores.js";

const SHOWN = 5;
export const element = (id) => document.getElementById(id);
export const percent = (part) => `${(100 * part).toFixed(1)} %`;

/** Tells politely: screen readers say it when they are done with what they say. */
export function tell(message) {
  element("status").textContent = message;
}

/** Tells at once; "" takes the message away. */
export function showProblem(message) {
  element("problem").textContent = message;
  element("problem").hidden = !message;
}

/** Shows an image file, or none. */
export function showPicture(file) {
  const preview = element("preview");
  URL.revokeObjectURL(preview.src);
  preview.hidden = !file;
  if (file) preview.src = URL.createObjectURL(file);
  preview.alt = file ? `Your image ${file.name}` : "";
  element("classes").replaceChildren();
  for (const id of ["seen", "segments", "blend"]) element(id).hidden = true;
}

/** Lists the classes with the highest scores; returns the first as text. */
export function showClasses({ scores, labels, areValues }) {
  const best = topClasses(scores, labels, SHOWN);
  const text = areValues ? (value) => value.toPrecision(4) : percent;
  element("classes").replaceChildren(...best.map((entry) => classRow(entry, text, !areValues)));
  return `${best[0].label}, ${text(best[0].score)}`;
}

/** A row of the list: a class with its score, as text and, if it is a part of 1, as a bar. */
export function classRow({ label, score }, text, hasBar) {
  const row = document.createElement("li");
  const name = row.appendChild(document.createElement("span"));
  const part = row.appendChild(document.createElement("span"));
  name.textContent = label;
  part.textContent = text(score);
  part.className = "percent";
  row.dataset.score = score;
  if (hasBar) {
    const bar = row.appendChild(document.createElement("span"));
    bar.className = "bar";
    bar.style.setProperty("--part", score);
  }
  return row;
}

/** Shows what the network is given, and how long that took. */
export function showPixels({ data, width, height }, milliseconds) {
  const canvas = element("pixels");
  Object.assign(canvas, { width, height });
  const rgba = new ImageData(width, height);
  for (let from = 0, to = 0; from < data.length; from += 3, to += 4) {
    rgba.data.set([data[from], data[from + 1], data[from + 2], 255], to);
  }
  canvas.getContext("2d").putImageData(rgba, 0, 0);
  element("given").textContent =
    `Input of the network: ${width} × ${height} pixels, prepared in ${milliseconds.toFixed(1)} ms.`;
  element("seen").hidden = false;
}

/** Shows what was loaded. */
export function showModel({ name, bytes, recipe, classes, segments, threads }) {
  element("answer").textContent = segments ? "Classes in the image" : "Most probable";
  element("model").textContent = [
    name,
    `${(bytes / 1e6).toFixed(1)} MB`,
    recipe,
    `${classes} classes`,
    `${threads} ${threads === 1 ? "thread" : "threads"} in WebAssembly`,
  ].join(" · ");
}

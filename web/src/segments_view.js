// What the page shows of a segmenter's answer: the classes over the image, and a legend.

import { classRow, element, percent } from "./view.js";

/** Draws the classes over the image and lists them; returns the largest as text. */
export function showSegments({ map, segments, width, height }) {
  draw(map, segments, width, height);
  element("classes").replaceChildren(...segments.map(legendRow));
  element("blend").hidden = false;
  const [{ label, score }] = segments;
  const classes = segments.length === 1 ? "1 class" : `${segments.length} classes`;
  return `${classes}, most of the image ${label} (${percent(score)})`;
}

/** Lets the slider set how much of the image the classes cover. */
export function watchOpacity() {
  const slider = element("opacity");
  const follow = () => {
    element("segments").style.opacity = slider.value / 100;
    slider.setAttribute("aria-valuetext", `${slider.value} %`);
  };
  slider.addEventListener("input", follow);
  follow();
}

/** Each pixel in the color of its class; transparent where that has none. */
function draw(map, segments, width, height) {
  const canvas = element("segments");
  Object.assign(canvas, { width, height });
  const colors = new Map(segments.filter(({ color }) => color).map(({ index, color }) => [index, color]));
  const rgba = new ImageData(width, height);
  map.forEach((label, place) => {
    const color = colors.get(label);
    if (color) rgba.data.set([...color, 255], 4 * place);
  });
  canvas.getContext("2d").putImageData(rgba, 0, 0);
  canvas.hidden = false;
}

function legendRow(segment) {
  const row = classRow(segment, percent, true);
  const swatch = document.createElement("span");
  swatch.className = "swatch";
  if (segment.color) swatch.style.backgroundColor = `rgb(${segment.color.join(" ")})`;
  row.firstChild.prepend(swatch);
  return row;
}

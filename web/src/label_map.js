// keras_poolformer/label_maps.py in the browser: from logits to the class of each pixel.

/**
 * Returns the class of the highest logit at each pixel of a picture.
 *
 * The logits are resized twice, bilinearly: to the size of the network's input, then to the
 * picture's. Along a row, the logits of a pixel are means of two or three neighbors, so that most
 * classes cannot win anywhere between these; only the others are computed. The result is the same.
 * @param {{logits: Float32Array, height: number, width: number, classes: number}} output
 * @param {{height: number, width: number}} network What the network saw, in pixels.
 * @param {{height: number, width: number}} picture
 * @returns {Uint8Array | Uint16Array} The latter for more than 256 classes.
 */
export function labelMap({ logits, height, width, classes }, network, picture) {
  const Labels = classes <= 256 ? Uint8Array : Uint16Array;
  const labels = new Labels(picture.height * picture.width);
  const columns = groups(axis(width, network.width, picture.width));
  const line = new Float32Array(width * classes); // the logits of one row of the picture
  axis(height, network.height, picture.height).forEach(({ first, weights }, y) => {
    line.fill(0);
    weights.forEach((weight, row) => {
      const start = (first + row) * line.length;
      for (let place = 0; place < line.length; place++) line[place] += weight * logits[start + place];
    });
    const row = labels.subarray(y * picture.width, (y + 1) * picture.width);
    for (const group of columns) fill(row, line, classes, group);
  });
  return labels;
}

/** Labels at another size: the nearest one of each pixel. */
export function repeatLabels(labels, { height, width }, picture) {
  const nearest = (old, size) =>
    Array.from({ length: size }, (_, place) => Math.trunc((place + 0.5) * (old / size)));
  const columns = nearest(width, picture.width);
  const rows = nearest(height, picture.height);
  const result = new Uint8Array(picture.height * picture.width);
  rows.forEach((row, y) =>
    columns.forEach((column, x) => (result[y * picture.width + x] = labels[row * width + column])),
  );
  return result;
}

/** For each pixel along one axis: the first of its logits, and the weights of these. */
function axis(length, networkLength, pictureLength) {
  const inner = neighbors(length, networkLength);
  return neighbors(networkLength, pictureLength).map((outer) => {
    const first = inner[outer.first].first;
    const last = inner[outer.second].second;
    const weights = new Float64Array(last - first + 1);
    for (const [place, weight] of [[outer.first, 1 - outer.fraction], [outer.second, outer.fraction]]) {
      weights[inner[place].first - first] += weight * (1 - inner[place].fraction);
      weights[inner[place].second - first] += weight * inner[place].fraction;
    }
    return { first, weights };
  });
}

/** The two neighbors of each place after a bilinear resize: PyTorch's align_corners=False. */
function neighbors(old, size) {
  return Array.from({ length: size }, (_, index) => {
    const place = Math.min(Math.max((index + 0.5) * (old / size) - 0.5, 0), old - 1);
    const first = Math.floor(place);
    return { first, second: Math.min(first + 1, old - 1), fraction: place - first };
  });
}

/** Consecutive pixels that have the same logits, with other weights. */
function groups(places) {
  const found = [];
  places.forEach(({ first, weights }, place) => {
    const group = found.at(-1);
    if (group?.first === first && group.length === weights.length) group.weights.push(weights);
    else found.push({ start: place, first, length: weights.length, weights: [weights] });
  });
  return found;
}

/** Labels the pixels of a group of columns, in one row. */
function fill(labels, line, classes, { start, first, length, weights }) {
  const candidates = possible(line, classes, first, length);
  if (candidates.length === 1) {
    labels.fill(candidates[0], start, start + weights.length);
    return;
  }
  for (let column = 0; column < weights.length; column++) {
    labels[start + column] = best(line, classes, first, weights[column], candidates);
  }
}

function best(line, classes, first, weights, candidates) {
  let label = candidates[0];
  let most = -Infinity;
  for (const candidate of candidates) {
    let logit = 0;
    let place = first * classes + candidate;
    for (let cell = 0; cell < weights.length; cell++, place += classes) logit += weights[cell] * line[place];
    if (logit > most) {
      label = candidate;
      most = logit;
    }
  }
  return label;
}

/** The classes that are somewhere as high as one of them is everywhere. */
function possible(line, classes, first, length) {
  const highest = new Float32Array(classes);
  let bound = -Infinity;
  for (let index = 0; index < classes; index++) {
    let low = Infinity;
    let high = -Infinity;
    for (let cell = first; cell < first + length; cell++) {
      const logit = line[cell * classes + index];
      low = Math.min(low, logit);
      high = Math.max(high, logit);
    }
    highest[index] = high;
    bound = Math.max(bound, low);
  }
  const candidates = [];
  for (let index = 0; index < classes; index++) if (highest[index] >= bound) candidates.push(index);
  return candidates;
}

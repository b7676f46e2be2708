// keras_poolformer/images/mmseg.py in the browser: mmsegmentation's resizing, to the bit. OpenCV's bilinear filter
// mixes two neighbors only, with weights of 11 bits, first along the rows.

const LONGEST = 4; // times the length that the shorter side is resized to
const MULTIPLE = 32;
const WEIGHT_ONE = 1 << 11;
const CHANNELS = 3;
const single = Math.fround;

/** Rounds as IEEE 754 does. */
export function roundHalfToEven(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

/**
 * Resizes an image as mmsegmentation's test pipeline does.
 * @param {{data: Uint8Array, width: number, height: number}} image RGB.
 * @param {number | number[]} target Length of the shorter side, or height and width.
 */
export function prepare(image, target) {
  return sizes(target, image.width, image.height).reduce((from, size) => resize(from, ...size), image);
}

/** Width and height after each resizing. */
function sizes(target, width, height) {
  if (Array.isArray(target)) return [[target[1], target[0]]];
  const scale = Math.min((LONGEST * target) / Math.max(width, height), target / Math.min(width, height));
  const scaled = [width, height].map((side) => Math.max(Math.trunc(side * scale + 0.5), 1));
  return [scaled, scaled.map((side) => Math.ceil(side / MULTIPLE) * MULTIPLE)];
}

/** Resizes an image as `cv2.resize` does by default. */
function resize(image, width, height) {
  if (image.width === width && image.height === height) return image;
  if (image.width === 2 * width && image.height === 2 * height) return halved(image, width, height);
  const columns = plan(image.width, width, true);
  const rows = plan(image.height, height, false);
  const mixed = mixColumns(image, columns);
  const data = new Uint8ClampedArray(width * height * CHANNELS);
  const line = width * CHANNELS;
  rows.forEach(({ first, second, firstWeight, secondWeight }, row) => {
    for (let place = 0; place < line; place++) {
      const upper = (mixed[first * line + place] * firstWeight) >> 16;
      const lower = (mixed[second * line + place] * secondWeight) >> 16;
      data[row * line + place] = (upper + lower + 2) >> 2;
    }
  });
  return { data, width, height };
}

function mixColumns({ data, width, height }, columns) {
  const mixed = new Int32Array(height * columns.length * CHANNELS);
  let out = 0;
  for (let row = 0; row < height; row++) {
    for (const { first, second, firstWeight, secondWeight } of columns) {
      const [from, to] = [(row * width + first) * CHANNELS, (row * width + second) * CHANNELS];
      for (let channel = 0; channel < CHANNELS; channel++) {
        mixed[out++] = (data[from + channel] * firstWeight + data[to + channel] * secondWeight) >> 4;
      }
    }
  }
  return mixed;
}

/** Half the size, for which OpenCV takes the mean of four pixels. */
function halved(image, width, height) {
  const data = new Uint8ClampedArray(width * height * CHANNELS);
  const line = image.width * CHANNELS;
  let out = 0;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      for (let channel = 0; channel < CHANNELS; channel++) {
        const at = 2 * row * line + 2 * column * CHANNELS + channel;
        const sum = image.data[at] + image.data[at + CHANNELS] + image.data[at + line] + image.data[at + line + CHANNELS];
        data[out++] = (sum + 2) >> 2;
      }
    }
  }
  return { data, width, height };
}

/**
 * The two neighbors of each output along one axis, and their weights.
 * @param {boolean} stopsAtEdges Whether an output beyond the outermost pixels is that pixel by
 *     itself; else that pixel is mixed with itself, which rounds differently.
 */
function plan(length, resized, stopsAtEdges) {
  const scale = 1 / (resized / length);
  const inside = (place) => Math.min(Math.max(place, 0), length - 1);
  return Array.from({ length: resized }, (_, index) => {
    const place = single((index + 0.5) * scale - 0.5);
    const first = Math.floor(place);
    const atEdge = stopsAtEdges && (first < 0 || first >= length - 1);
    const fraction = atEdge ? 0 : single(place - first);
    return {
      first: inside(first),
      second: inside(first + 1),
      firstWeight: roundHalfToEven(single(1 - fraction) * WEIGHT_ONE),
      secondWeight: roundHalfToEven(fraction * WEIGHT_ONE),
    };
  });
}

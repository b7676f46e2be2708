// Pillow's resize (src/libImaging/Resample.c, version 13) to the bit: antialiased weights in double precision,
// rounded to 22 bits, one pass for the width and one for the height, each rounded to 8 bits.

const PRECISION = 32 - 8 - 2;
const HALF = 1 << (PRECISION - 1);

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

function bicubic(x) {
  const a = -0.5;
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

function hamming(x) {
  x = Math.abs(x);
  if (x === 0) return 1;
  if (x >= 1) return 0;
  x *= Math.PI;
  return (Math.sin(x) / x) * (Math.fround(0.54) + Math.fround(0.46) * Math.cos(x));
}

const FILTERS = {
  bicubic: { support: 2, weight: bicubic },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  hamming: { support: 1, weight: hamming },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

export const INTERPOLATIONS = [...Object.keys(FILTERS), "nearest"];

/**
 * Resizes as `PIL.Image.resize` does.
 * @param {{data: Uint8Array, width: number, height: number}} image RGB, three bytes a pixel.
 * @param {string} interpolation One of `INTERPOLATIONS`.
 */
export function resize(image, width, height, interpolation) {
  if (width === image.width && height === image.height) return image;
  if (interpolation === "nearest") return nearest(image, width, height);
  const filter = FILTERS[interpolation];
  const passes = [
    (from) => (width === from.width ? from : resizeWidth(from, width, filter)),
    (from) => (height === from.height ? from : resizeHeight(from, height, filter)),
  ];
  if (heightComesFirst(image, width, height)) passes.reverse();
  return passes.reduce((from, pass) => pass(from), image);
}

/** Which pass is first matters to the rounding; this is the rule since Pillow 13. */
function heightComesFirst(image, width, height) {
  const removed = image.height - height;
  return removed > 0 && removed > 2 * (image.width - width);
}

/** For each place of the result: where its sources start, and their weights, of one length. */
function weigh(length, resized, { support, weight }) {
  const scale = length / resized;
  const stretch = Math.max(scale, 1);
  const reach = support * stretch;
  const taps = Math.ceil(reach) * 2 + 1;
  const starts = new Int32Array(resized);
  const weights = new Int32Array(resized * taps);
  for (let place = 0; place < resized; place++) {
    const center = (place + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - reach + 0.5));
    const end = Math.min(length, Math.trunc(center + reach + 0.5));
    const values = [];
    let sum = 0;
    for (let source = start; source < end; source++) {
      values.push(weight((source - center + 0.5) * (1 / stretch)));
      sum += values.at(-1);
    }
    starts[place] = start;
    values.forEach((value, tap) => {
      weights[place * taps + tap] = fixedPoint(sum === 0 ? value : value / sum);
    });
  }
  return { starts, weights, taps };
}

const fixedPoint = (value) => Math.trunc(value * (1 << PRECISION) + (value < 0 ? -0.5 : 0.5));

function resizeWidth({ data, width, height }, resized, filter) {
  const { starts, weights, taps } = weigh(width, resized, filter);
  const result = new Uint8ClampedArray(resized * height * 3);
  for (let row = 0, out = 0; row < height; row++) {
    for (let place = 0; place < resized; place++, out += 3) {
      const used = Math.min(taps, width - starts[place]);
      let red = HALF, green = HALF, blue = HALF;
      let source = (row * width + starts[place]) * 3;
      for (let tap = 0; tap < used; tap++, source += 3) {
        const weight = weights[place * taps + tap];
        red = (red + data[source] * weight) | 0;
        green = (green + data[source + 1] * weight) | 0;
        blue = (blue + data[source + 2] * weight) | 0;
      }
      result[out] = red >> PRECISION;
      result[out + 1] = green >> PRECISION;
      result[out + 2] = blue >> PRECISION;
    }
  }
  return { data: result, width: resized, height };
}

function resizeHeight({ data, width, height }, resized, filter) {
  const { starts, weights, taps } = weigh(height, resized, filter);
  const stride = width * 3;
  const result = new Uint8ClampedArray(resized * stride);
  const sums = new Int32Array(stride);
  for (let place = 0; place < resized; place++) {
    const used = Math.min(taps, height - starts[place]);
    sums.fill(HALF);
    for (let tap = 0; tap < used; tap++) {
      const weight = weights[place * taps + tap];
      const source = (starts[place] + tap) * stride;
      for (let byte = 0; byte < stride; byte++) sums[byte] += data[source + byte] * weight;
    }
    for (let byte = 0; byte < stride; byte++) result[place * stride + byte] = sums[byte] >> PRECISION;
  }
  return { data: result, width, height: resized };
}

function nearest({ data, width, height }, wide, high) {
  const columns = nearestPlaces(width, wide);
  const rows = nearestPlaces(height, high);
  const result = new Uint8ClampedArray(wide * high * 3);
  let out = 0;
  for (const row of rows) {
    for (const column of columns) {
      const source = (row * width + column) * 3;
      for (let channel = 0; channel < 3; channel++) result[out++] = data[source + channel];
    }
  }
  return { data: result, width: wide, height: high };
}

/** Pillow adds the step up, and so do its rounding errors. */
function nearestPlaces(length, resized) {
  const step = length / resized;
  let place = step * 0.5;
  return Array.from({ length: resized }, () => {
    const source = Math.trunc(place);
    place += step;
    return source;
  });
}

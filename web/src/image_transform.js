// keras_poolformer/images/transform.py in the browser: the same pixels, the same floats.

import { InputError } from "./errors.js";
import { prepare, roundHalfToEven } from "./opencv_resize.js";
import { INTERPOLATIONS, resize } from "./resample.js";

const MAX_RESIZED_PIXELS = 64_000_000;
const MAX_SIDE = 4096;
const CROP_MODES = ["timm", "hf", "mmseg"];
const FLAGS = ["do_resize", "do_center_crop", "do_rescale", "do_normalize"];
const asPair = (size) => (Array.isArray(size) ? size : [size, size]);

/** Resizes, crops and normalizes as the file's description says. */
export class ImageTransform {
  /**
   * @param {object} options What `ImageTransform.to_dict` of Python wrote.
   * @throws {InputError} An option has a value that Python's class rejects.
   */
  constructor(options) {
    requireUsable(options);
    this.options = options;
  }

  /**
   * Resizes and crops.
   * @param {{data: Uint8Array, width: number, height: number}} image RGB.
   * @returns RGB of the model's size.
   */
  pixels(image) {
    if (this.options.crop_mode === "mmseg") {
      return this.options.do_resize ? prepare(image, this.options.size) : image;
    }
    const [width, height] = this.#resized(image.width, image.height);
    if (width * height > MAX_RESIZED_PIXELS) {
      throw new InputError(
        `The image is too long and narrow: ${image.width} x ${image.height} pixels.`,
      );
    }
    const { do_resize, do_center_crop, interpolation, crop_size, size } = this.options;
    const resized = do_resize ? resize(image, width, height, interpolation) : image;
    if (!do_center_crop) return resized;
    const [high, wide] = asPair(crop_size ?? size);
    return crop(resized, this.#cropStart(width, wide), this.#cropStart(height, high), wide, high);
  }

  /** Rescales and normalizes 8-bit values, in Python's precision, step by step. */
  normalize({ data }) {
    const levels = [0, 1, 2].map((channel) =>
      Float32Array.from({ length: 256 }, (_, level) => this.#normalized(level, channel)),
    );
    return Float32Array.from(data, (level, place) => levels[place % 3][level]);
  }

  #normalized(level, channel) {
    const { do_rescale, do_normalize, crop_mode, rescale_factor, mean, std } = this.options;
    const single = Math.fround;
    let value = level;
    if (do_rescale) {
      const divides = crop_mode === "timm" && rescale_factor === 1 / 255;
      value = single(divides ? level / 255 : level * rescale_factor);
    }
    if (!do_normalize) return value;
    return single(single(value - single(mean[channel])) / single(std[channel]));
  }

  #resized(width, height) {
    const { do_resize, crop_pct, size } = this.options;
    if (!do_resize) return [width, height];
    const [high, wide] = asPair(size).map((side) => Math.floor(side / (crop_pct ?? 1)));
    if (high !== wide || (crop_pct === null && Array.isArray(size))) return [wide, high];
    const longer = Math.trunc((wide * Math.max(width, height)) / Math.min(width, height));
    return width <= height ? [wide, longer] : [longer, wide];
  }

  /** First row or column of the crop; negative where zeros are put before the picture. */
  #cropStart(length, cropped) {
    const half = (length - cropped) / 2;
    if (this.options.crop_mode === "hf") return Math.floor(half);
    return half >= 0 ? roundHalfToEven(half) : Math.ceil(half);
  }
}

/** By equality: a look-up in an object would also find "constructor" and "__proto__". */
function requireUsable(options) {
  const { size, crop_size, crop_pct, interpolation, crop_mode, mean, std, rescale_factor } = options;
  const checks = {
    size: isSize(size),
    crop_size: crop_size == null || isSize(crop_size),
    crop_pct: crop_pct == null || (crop_pct > 0 && crop_pct <= 1),
    interpolation: INTERPOLATIONS.includes(interpolation),
    crop_mode: CROP_MODES.includes(crop_mode),
    mean: isTriple(mean),
    std: isTriple(std) && std.every((value) => value > 0),
    rescale_factor: Number.isFinite(rescale_factor) && rescale_factor > 0,
    ...Object.fromEntries(FLAGS.map((name) => [name, typeof options[name] === "boolean"])),
  };
  if (crop_mode === "mmseg") {
    checks.crop_pct = crop_pct == null;
    checks.interpolation = interpolation === "bilinear";
    checks.do_center_crop = options.do_center_crop === false;
  }
  const wrong = Object.keys(checks).find((name) => !checks[name]);
  if (wrong) {
    const received = JSON.stringify(options[wrong])?.slice(0, 80);
    throw new InputError(`has a corrupt description: its transform's ${wrong} is ${received}.`);
  }
}

function isSize(size) {
  const sides = Array.isArray(size) ? size : [size, size];
  return sides.length === 2 && sides.every((side) => Number.isInteger(side) && side >= 1 && side <= MAX_SIDE);
}

const isTriple = (values) => Array.isArray(values) && values.length === 3 && values.every(Number.isFinite);

function crop({ data, width, height }, left, top, wide, high) {
  const result = new Uint8ClampedArray(wide * high * 3); // black beyond the picture
  const first = Math.max(left, 0);
  const last = Math.min(left + wide, width);
  for (let row = Math.max(top, 0); row < Math.min(top + high, height); row++) {
    const source = data.subarray((row * width + first) * 3, (row * width + last) * 3);
    result.set(source, ((row - top) * wide + first - left) * 3);
  }
  return { data: result, width: wide, height: high };
}

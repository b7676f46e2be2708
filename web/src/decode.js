// A file becomes RGB, upright as its EXIF orientation says: keras_poolformer/image_files.py.

import { InputError } from "./errors.js";

const OPTIONS = {
  imageOrientation: "from-image",
  colorSpaceConversion: "none",
  premultiplyAlpha: "none",
};

/**
 * Decodes an image file.
 * @param {Blob} file
 * @returns {Promise<{data: Uint8Array, width: number, height: number}>} RGB; transparency is
 *     dropped, not blended.
 */
export async function decode(file) {
  const bitmap = await createImageBitmap(file, OPTIONS).catch(() => {
    throw new InputError(`${nameOf(file)} cannot be read as an image. JPEG, PNG and WebP work.`);
  });
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { data: withoutAlpha(context.getImageData(0, 0, width, height).data), width, height };
}

function withoutAlpha(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
  return rgb;
}

const nameOf = (file) => (file.name ? `“${file.name}”` : "This");

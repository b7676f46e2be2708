// A file becomes RGB, upright as its EXIF orientation says: keras_poolformer/images/files.py.

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
  let rgba = readWithCanvas(bitmap);
  if (isTransparent(rgba)) rgba = readWithWebGL(bitmap) ?? rgba;
  bitmap.close();
  return { data: withoutAlpha(rgba), width, height };
}

function readWithCanvas(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
}

/** A canvas multiplies colors with their opacity, and so loses some; a texture keeps them all. */
function readWithWebGL(bitmap) {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return undefined;
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  const texture = gl.getParameter(gl.TEXTURE_BINDING_2D);
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  const rgba = new Uint8Array(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
  gl.getExtension("WEBGL_lose_context")?.loseContext(); // browsers keep few
  return rgba;
}

function isTransparent(rgba) {
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at] !== 255) return true;
  return false;
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

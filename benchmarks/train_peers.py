"""The training step of poolformer_s12 next to timm's model in PyTorch, eager and compiled.

    python -m benchmarks.train_peers

Each side is a process of its own, with the batch in memory: AdamW, label smoothing, no drop path.
The sides alternate. The ratio of each is to timm under torch.compile (inductor) in the layout and
with the optimizer that a user gets without asking; its faster form is a row, too.
"""

import argparse
import contextlib
import dataclasses
import functools
import importlib
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import readme, train_step
from benchmarks.machine import busy_cores, describe_machine
from benchmarks.ratios import estimate, interval_rank, ratio
from keras_poolformer.cli import one_line_errors
from keras_poolformer.support.progress import Progress

VARIANT, SIZE, BATCH, THREADS = "poolformer_s12", 224, 16, 2
CASE = train_step.Case(f"{VARIANT}, {SIZE} pixels", f"{VARIANT}_in1k", BATCH)
SPAWN = multiprocessing.get_context("spawn")
OURS, PEER = "keras-poolformer train", "timm, torch.compile"
TARGET = 0.95
BLOCK = readme.Block("docs/train_peers.json", "docs/training.md", "train_peers")

_take: Any = None  # of this process: takes the steps of a round


def _keras(case, folder):
    return train_step.ours(case, Path(folder))


def _keras_fit(case, folder):
    del folder
    return train_step.keras_own(case)


def _timm(case, folder, compiled=False, tuned=False):
    """Steps of timm's model; tuned is channels last in memory, and the fused AdamW."""
    del folder
    importlib.import_module("conversion")  # makes every build of torchvision importable
    import timm
    import torch

    torch.set_num_threads(THREADS)
    layout = torch.channels_last if tuned else torch.contiguous_format
    model: Any = timm.create_model(VARIANT).train()
    model.to(memory_format=layout)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05, fused=tuned)
    network = torch.compile(model) if compiled else model
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.standard_normal((BATCH, 3, SIZE, SIZE), np.float32))
    images = images.contiguous(memory_format=layout)
    labels = torch.from_numpy(random.integers(0, 1000, BATCH))

    def take():
        for _ in range(case.steps):
            loss = torch.nn.functional.cross_entropy(
                network(images), labels, label_smoothing=train_step.SMOOTHING
            )
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return take


SIDES = {
    OURS: _keras,
    "Keras' own fit": _keras_fit,
    "timm, eager": _timm,
    PEER: functools.partial(_timm, compiled=True),
    "timm, torch.compile, channels last, fused AdamW": functools.partial(
        _timm, compiled=True, tuned=True
    ),
}


def _start(side, case, folder):
    global _take
    _take = SIDES[side](case, folder)
    _take()  # traces, compiles


def _seconds():
    """Seconds that the steps of a round take."""
    start = time.perf_counter()
    _take()
    return time.perf_counter() - start


def measure(sides, rounds, steps):
    """Measures some sides in turn.

    Args:
        sides: Names in `SIDES`.
        rounds: Number of rounds, at least 6.
        steps: Number of steps of each side in a round.

    Returns:
        JSON-ready: "machine", "rounds", "steps", and "times", {side: milliseconds an image of each
        round}.

    Raises:
        InputError: Too few rounds.
    """
    interval_rank(rounds)  # refuses too few before the work
    progress = Progress([*(f"compiling {side}" for side in sides), "measuring"])
    case = dataclasses.replace(CASE, steps=steps)
    times = {side: [] for side in sides}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        pools = {side: stack.enter_context(ProcessPoolExecutor(1, SPAWN)) for side in sides}
        for side, pool in pools.items():
            progress.start()
            pool.submit(_start, side, case, folder).result()
        progress.start()
        others = busy_cores()
        for done in range(rounds):
            for side, pool in pools.items():
                times[side].append(1000 * pool.submit(_seconds).result() / steps / BATCH)
            progress.advance(done + 1, rounds)
    progress.finish()
    return {
        "machine": describe_machine(),
        "busy_cores": others,
        "rounds": rounds,
        "steps": steps,
        "times": times,
    }


def table(results):
    """Returns milliseconds an image and ratios to the peer as Markdown."""
    machine, times = results["machine"], results["times"]
    rows = []
    for side, values in times.items():
        quotient = ratio(values, times[PEER])
        interval = f"{quotient.low:.3f} to {quotient.high:.3f}"
        taken = f"{estimate(values).value:.1f}"
        rows.append([side, taken, f"{quotient.value:.3f}", "" if side == PEER else interval])
    packages = machine["packages"]
    versions = [f"{name} {packages[name]}" for name in ("tensorflow-cpu", "torch", "timm")
                if name in packages]  # fmt: skip
    return (
        f"Milliseconds an image of a training step of {VARIANT}, {SIZE} pixels, batch {BATCH}, "
        f"float32, {THREADS} threads each; medians of {results['rounds']} alternating rounds of "
        f"{results['steps']} steps on {machine['cpu']}, {machine['cores']} cores, with "
        f"{', '.join(versions)}.\n\n"
        + readme.markdown_table(
            ["training step", "ms an image", f"of {PEER}", "95 % interval"], rows
        )
        + f"\nTarget, {OURS} at most {TARGET} x {PEER}: {'met' if met(results) else 'not met'}.\n"
    )


def met(results):
    """Whether our step costs at most `TARGET` of the peer's, at the median."""
    return ratio(results["times"][OURS], results["times"][PEER]).value <= TARGET


def run(options):
    """Measures, prints and, if asked to, publishes."""
    results = measure(list(SIDES), options.rounds, options.steps)
    readme.report(results, table(results), [], options.publish and BLOCK)


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train_peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=9, help="at least 6 (9)")
    parser.add_argument("--steps", type=int, default=3, help="of a side in each round (3)")
    parser.add_argument("--publish", action="store_true",
                        help=f"write {BLOCK.record} and the table of docs/training.md")  # fmt: skip
    return one_line_errors("train_peers", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

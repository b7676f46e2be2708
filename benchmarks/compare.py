"""Our exported files and all alternatives side by side, in one run: `make bench`.

    python -m benchmarks.compare --only ours-fp32,floor-fp32 --calls 5

A machine that only runs the files needs no TensorFlow: `--steps build` here, the folder copied,
`--steps measure` there; `--results` prints what was measured.

Every contestant has the same random weights and a process of its own with one thread. After a
check against the Keras model, all of them are called in turn, in rounds; then those that serve
many images run on two cores, each at the batch size it likes best. Prints the tables and the
targets; writes results.json and plot.png. See benchmarks/ratios.py for the intervals.
"""

import argparse
import contextlib
import json
import math
import shutil
import statistics
import sys
from pathlib import Path

from benchmarks import front_page, ratios, readme
from benchmarks.build import GROUPS
from benchmarks.contestants import CONTESTANTS, choose
from benchmarks.job import Job, new_job
from benchmarks.latency import measure_latency
from benchmarks.machine import busy_cores, describe_machine
from benchmarks.processes import Worker, measure, run_to_end
from benchmarks.tables import markdown, print_tables
from benchmarks.targets import check_targets
from keras_poolformer.cli import one_line_errors
from keras_poolformer.config import PoolFormerConfig
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import size_of
from keras_poolformer.support.json_files import read_json
from keras_poolformer.support.progress import Progress
from keras_poolformer.variants import VARIANTS

ROUNDS, CALLS = 9, 20
CORES = 2  # of the throughput
BATCHES = (1, 4, 8, 16, 32)
PROBES = 3  # of every batch size, before the best one is measured
LEAST_CALLS = 3  # in a round, however large the batch
PUBLISHED = "poolformer_s12"  # the variant of the documents' tables


def compare(
    config, size, names=(), rounds=ROUNDS, calls=CALLS, folder="build/bench", variant=None,
    throughput=True, built=False,
):  # fmt: skip
    """Builds, checks and measures contestants.

    Args:
        config: Architecture of the network, with a classifier.
        size: Side of the images in pixels.
        names: Names of the contestants; () for all of them.
        rounds: Number of rounds; each contestant is measured once per round.
        calls: Number of timed calls per round.
        folder: Folder for all files that are made.
        variant: Name of the variant whose targets are checked, or None for none.
        throughput: Whether many images on two cores are measured, too.
        built: Whether the folder has all files already, made by `build`.

    Returns:
        JSON-ready results: "machine", "contestants", "throughput", "targets", ...

    Raises:
        InputError: A contestant fails, or does not compute what the Keras model computes.
        MissingExtraError: A contestant's package is not installed.
    """
    ratios.interval_rank(rounds)  # refuses too few before an hour's work
    chosen = choose(names, config, installed=not built)
    many = [contestant for contestant in chosen if throughput and contestant.throughput]
    groups = [] if built else _groups(chosen)
    progress = Progress(_build_steps(groups) + _measure_steps(chosen, many))

    job = Job.read(Path(folder).resolve()) if built else new_job(config, size, folder)
    _build(job, chosen, groups, progress)
    entries = {contestant.name: (job, contestant) for contestant in chosen}
    errors, latency, busy = measure_latency(entries, rounds, calls, progress)
    batches, many_seconds, busy_later = {}, {}, busy
    if many:
        batches, many_seconds, busy_later = _throughput(job, many, rounds, calls, progress)
    progress.finish()
    sizes = {c.name: [size_of(job.folder / c.file)] for c in chosen}
    measured = {"latency": latency, "throughput": many_seconds, "bytes": sizes}
    results = {
        "machine": describe_machine(),
        "busy_cores": {"latency": busy, "throughput": busy_later},
        "variant": variant,
        "config": job.config.to_dict(),
        "size": size,
        "rounds": rounds,
        "calls": calls,
        "coverage": ratios.coverage(rounds, ratios.interval_rank(rounds)),
        "contestants": _latency_rows(chosen, sizes, errors, latency),
        "throughput": _throughput_rows(batches, many_seconds),
        "targets": check_targets(measured, variant),
    }
    (job.folder / "results.json").write_text(
        json.dumps(results, indent=2), encoding="utf-8", newline="\n"
    )
    return results


def build(config, size, names=(), folder="build/bench"):
    """Builds all files that `compare` measures with `built=True`, on this machine or another."""
    chosen = choose(names, config)
    groups = _groups(chosen)
    progress = Progress(_build_steps(groups))
    _build(new_job(config, size, folder), chosen, groups, progress)
    progress.finish()


def _groups(chosen):
    return [name for name in GROUPS if name in {"tensorflow", *(c.group for c in chosen)}]


def _build_steps(groups):
    return [f"making files: {group}" for group in groups]


def _measure_steps(chosen, many):
    steps = ["checking", f"latency, {len(chosen)} contestants in turn"]
    return steps + (["seeking the best batches", "throughput"] if many else [])


def _build(job, chosen, groups, progress):
    for group in groups:
        progress.start()
        wanted = [contestant.name for contestant in chosen if contestant.group == group]
        run_to_end("benchmarks.build", [group, *wanted], job, group)


def _throughput(job, many, rounds, calls, progress):
    """({name: its best batch}, {name: seconds an image of each round}, cores kept busy)."""
    with contextlib.ExitStack() as stack:
        progress.start()
        workers = [stack.enter_context(Worker(job, contestant, CORES)) for contestant in many]
        batches = {}
        for done, worker in enumerate(workers, start=1):
            batches[worker.name] = _best_batch(worker)
            progress.advance(done, len(workers))
        progress.start()
        busy = busy_cores()
        plan = {
            name: (batch, max(LEAST_CALLS, math.ceil(calls / batch)))
            for name, batch in batches.items()
        }
        return batches, measure(workers, plan, rounds, progress.advance), busy


def _best_batch(worker):
    seconds = {batch: [] for batch in BATCHES}
    for _ in range(PROBES):
        for batch, taken in seconds.items():
            taken.append(worker.time(batch, LEAST_CALLS))
    return min(BATCHES, key=lambda batch: statistics.median(seconds[batch]))


def _latency_rows(chosen, sizes, errors, latency):
    """One row for each contestant; ratios are None where there is nothing to divide by."""
    peers = [c.name for c in chosen if c.kind == "peer"]
    best = min(peers, key=lambda name: statistics.median(latency[name]), default=None)
    return [
        {
            "name": contestant.name,
            "kind": contestant.kind,
            "arithmetic": contestant.arithmetic,
            "bytes": sizes[contestant.name][0],
            "error": errors[contestant.name],
            "ms": _milliseconds(latency[contestant.name]),
            "to_floor": _ratio(latency, contestant.name, contestant.floor),
            "to_best_peer": _ratio(latency, contestant.name, best),
            "best_peer": contestant.name == best,
            "rounds_ms": [1000 * second for second in latency[contestant.name]],
        }
        for contestant in chosen
    ]


def _throughput_rows(batches, throughput):
    peers = [name for name in throughput if CONTESTANTS[name].kind == "peer"]
    best = min(peers, key=lambda name: statistics.median(throughput[name]), default=None)
    return [
        {
            "name": name,
            "batch": batches[name],
            "ms": _milliseconds(seconds),
            "to_best_peer": _ratio(throughput, name, best),
            "best_peer": name == best,
            "rounds_ms": [1000 * second for second in seconds],
        }
        for name, seconds in throughput.items()
    ]


def _milliseconds(seconds):
    return ratios.estimate([1000 * second for second in seconds]).to_dict()


def _ratio(values, name, reference):
    if reference not in values:
        return None
    return ratios.ratio(values[name], values[reference]).to_dict()


def run(options):
    """Compares, prints and draws."""
    if options.publish and options.variant != PUBLISHED:
        raise InputError(
            f"`--publish` writes the tables of {PUBLISHED}. Received: --variant {options.variant}"
        )
    if options.results:
        print_tables(read_json(options.results))
        return
    config = PoolFormerConfig.from_variant(options.variant)
    names = [name for name in options.only.split(",") if name]
    if options.steps == "build":
        build(config, options.size, names, options.output)
        return
    results = compare(
        config, options.size, names, options.rounds, options.calls, options.output,
        options.variant, not options.no_throughput, built=options.steps == "measure",
    )  # fmt: skip
    print_tables(results)
    plot = Path(options.output) / "plot.png"
    try:
        from benchmarks.plot import draw
    except ModuleNotFoundError as error:
        print(f"no plot: {error.name} is not installed, the extra `bench` brings it",
              file=sys.stderr)  # fmt: skip
        return
    draw(results, plot, options.variant)
    print(f"\n{plot} with results.json next to it")
    if options.publish:
        shutil.copy(plot, "docs/benchmark.png")
        shutil.copy(plot.parent / "results.json", "docs/benchmark.json")
        readme.insert("docs/export.md", "bench", markdown(results))
        front_page.write()


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--variant", default=PUBLISHED, choices=VARIANTS)
    parser.add_argument("--size", type=int, default=224, help="side of the images, in pixels")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--calls", type=int, default=CALLS, help="in a round; default: %(default)s")
    parser.add_argument("--only", default="", metavar="NAME,...",
                        help=f"some of {', '.join(CONTESTANTS)}")  # fmt: skip
    parser.add_argument("--output", default="build/bench", help="folder; default: %(default)s")
    parser.add_argument("--steps", default="all", choices=("all", "build", "measure"),
                        help="build files or measure those of --output; default: both")  # fmt: skip
    parser.add_argument("--results", metavar="FILE",
                        help="instead of measuring, print a results.json")  # fmt: skip
    parser.add_argument("--no-throughput", action="store_true", help="measure latency alone")
    parser.add_argument("--publish", action="store_true",
                        help="write docs/benchmark.* and the documents' tables")  # fmt: skip
    return one_line_errors("bench", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

"""What a service waits for and pays: start, four clients at once, CPU time.

    python -m benchmarks.serving build/bench [--publish]

Runs files that `make bench` has built, beside the alternatives that can serve. A start is what
loading the file and the first image take in a process that has imported its library. The clients
are threads of one process, each with one image at a time, which share one classifier on two cores;
CPU time is what all threads of the process take. All contestants in turn, in rounds; every start
is a fresh process.
"""

import argparse
import contextlib
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks import ratios, readme
from benchmarks.contestants import CONTESTANTS
from benchmarks.job import Job
from benchmarks.latency import checked_error
from benchmarks.machine import busy_cores, describe_machine
from benchmarks.plot import COLORS
from benchmarks.processes import Worker
from benchmarks.tables import QUIET, processor
from keras_poolformer.cli import one_line_errors
from keras_poolformer.images.drawing import plot_style
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.progress import Progress

PAGE, RECORD, PICTURE = "docs/export.md", "docs/serving.json", "docs/serving.png"
NAMES = ("ours-fp32", "ours-dynamic_int8", "ours-int8", "litert-torch-fp32", "onnxruntime-fp32")
CORES, CLIENTS = 2, 4
ROUNDS, CALLS = 9, 10  # of each client in a round
COSTS = {
    "start": "start and first image, ms",
    "rate": f"images a second, {CLIENTS} clients",
    "cpu": "CPU seconds for 1,000 images",
}


def measure(folder, names, rounds, calls):
    """Measures contestants whose files are in a job's folder.

    Args:
        folder: Folder that `benchmarks.compare` built.
        names: Names of contestants; those without a file are left out.
        rounds: Number of rounds; each contestant is measured once per round.
        calls: Number of images of each client in a round.

    Returns:
        JSON-ready: "machine", "busy_cores", "size", "rounds", "calls" and "contestants", which is
        {name: {"start", "rate", "cpu"}} with the estimate of each.

    Raises:
        InputError: No file is in the folder, a file cannot be run, or `rounds` is too small.
    """
    ratios.interval_rank(rounds)  # refuses too few before the work
    job = Job.read(Path(folder).resolve())
    chosen = [CONTESTANTS[name] for name in names]
    chosen = [contestant for contestant in chosen if (job.folder / contestant.file).exists()]
    if not chosen:
        raise InputError(f"{folder} has no file of {', '.join(names)}: `make bench` makes them")
    progress = Progress(["starts", f"{CLIENTS} clients at once"])
    busy = busy_cores()
    progress.start()
    starts = _starts(job, chosen, rounds, progress)
    progress.start()
    served = _serve(job, chosen, rounds, calls, progress)
    progress.finish()

    def row(name):
        images = CLIENTS * calls
        seconds, cpu_seconds = zip(*served[name], strict=True)
        return {
            "start": [1000 * start for start in starts[name]],
            "rate": [images / second for second in seconds],
            "cpu": [1000 * second / images for second in cpu_seconds],
        }

    rows = {contestant.name: row(contestant.name) for contestant in chosen}
    return {
        "machine": describe_machine(),
        "busy_cores": busy,
        "size": job.size,
        "rounds": rounds,
        "calls": calls,
        "contestants": {
            name: {cost: ratios.estimate(values).to_dict() for cost, values in costs.items()}
            for name, costs in rows.items()
        },
    }


def _starts(job, chosen, rounds, progress):
    """{name: seconds of each round's fresh process}."""
    seconds = {contestant.name: [] for contestant in chosen}
    for done in range(rounds):
        for contestant in chosen:
            with Worker(job, contestant, 1) as worker:
                seconds[contestant.name].append(worker.start_seconds())
        progress.advance(done + 1, rounds)
    return seconds


def _serve(job, chosen, rounds, calls, progress):
    """{name: (seconds, CPU seconds) of each round}."""
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(job, contestant, CORES)) for contestant in chosen]
        served = {worker.name: [] for worker in workers}
        for worker in workers:
            checked_error(worker)
        for done in range(rounds):
            for worker in workers:
                served[worker.name].append(worker.serve(CLIENTS, calls))
            progress.advance(done + 1, rounds)
        return served


def table(record):
    """What each contestant costs, as Markdown.

    Args:
        record: What `measure` returned.
    """
    rows = [
        [name, *(_with_interval(costs[cost]) for cost in COSTS)]
        for name, costs in record["contestants"].items()
    ]
    return (
        f"{record['size']} pixels, {CLIENTS} clients with one image at a time on {CORES} cores; "
        f"medians of {record['rounds']} rounds, with 95 % intervals, on "
        f"{processor(record['machine'])}.\n\n"
        f"{readme.markdown_table(['', *COSTS.values()], rows)}"
    )


def _with_interval(estimate):
    return f"{estimate['value']:.1f} ({estimate['low']:.1f} to {estimate['high']:.1f})"


def draw(record, path):
    """Draws a panel of bars for each cost, with the intervals.

    Args:
        record: What `measure` returned.
        path: PNG file to write.
    """
    with mpl.rc_context(plot_style()):
        figure = Figure(figsize=(12, 3.2), layout="constrained")
        canvas = FigureCanvasAgg(figure)
        names = list(record["contestants"])
        colors = [COLORS[CONTESTANTS[name].kind] for name in names]
        for axes, (cost, title) in zip(
            figure.subplots(1, len(COSTS), sharey=True), COSTS.items(), strict=True
        ):
            found = [record["contestants"][name][cost] for name in names]
            values = [estimate["value"] for estimate in found]
            below = [estimate["value"] - estimate["low"] for estimate in found]
            above = [estimate["high"] - estimate["value"] for estimate in found]
            axes.barh(names, values, xerr=(below, above), color=colors, height=0.6)
            axes.set_title(title)
            axes.invert_yaxis()
        canvas.print_png(path)


def run(options):
    """Measures, prints, and publishes if that is asked for."""
    record = measure(options.folder, NAMES, options.rounds, options.calls)
    print(table(record))
    if (record["busy_cores"] or 0) > QUIET:
        print(f"NOT QUIET: others kept {record['busy_cores']:.2f} cores busy", file=sys.stderr)
    if options.publish:
        readme.write_record(RECORD, record)
        draw(record, PICTURE)
        readme.insert(PAGE, "serving", table(record))


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", help="what `make bench` built")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--calls", type=int, default=CALLS, help="of a client in a round")
    parser.add_argument("--publish", action="store_true", help=f"write {RECORD} and {PAGE}")
    return one_line_errors("serving", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

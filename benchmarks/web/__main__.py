"""Our files on LiteRT.js next to the same network on onnxruntime-web: `make bench-web`.

All contestants live in one page of one Chromium, each in a worker of its own, with the same
random weights. After a check against the Keras model they are called in turn, in rounds. Ratios
are medians over rounds, with the interval that benchmarks/ratios.py tells of.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from benchmarks import ratios, readme
from benchmarks.job import new_job, relative_error
from benchmarks.latency import MOST_ERROR
from benchmarks.machine import busy_cores, describe_machine
from benchmarks.processes import measure, run_to_end
from benchmarks.web.contestants import CONTESTANTS, PAIRS, BrowserWorker
from benchmarks.web.first_results import first_results
from benchmarks.web.site import make_site, versions
from benchmarks.web.tables import markdown
from keras_poolformer import sources
from keras_poolformer.cli import one_line_errors
from keras_poolformer.config import PoolFormerConfig
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import replacing
from keras_poolformer.support.progress import Progress
from web.chromium import launched
from web.serve import serving

RECORD, DOCUMENT = Path("docs/web_benchmark.json"), Path("docs/web.md")
ROUNDS, CALLS = 15, 15
TINY = "poolformer_tiny_cifar10"


def compare(folder, rounds, calls):
    """Builds, checks and measures all contestants on both networks.

    Args:
        folder: Folder for all files that are made.
        rounds: Number of rounds; each contestant is measured once per round.
        calls: Number of timed calls per round.

    Returns:
        JSON-ready results: "machine", "versions", "networks", "first_result_ms", ...
    """
    ratios.interval_rank(rounds)  # refuses too few before the work
    networks = {"poolformer_s12": (PoolFormerConfig.from_variant("poolformer_s12"), 224),
                TINY: (_tiny_config(), 64)}  # fmt: skip
    progress = Progress([f"{step} {name}" for name in networks for step in ("making", "measuring")]
                        + ["measuring the page"])  # fmt: skip
    site = make_site(Path(folder))
    results = {"machine": describe_machine(), "busy_cores": busy_cores(), "rounds": rounds,
               "calls": calls, "coverage": ratios.coverage(rounds, ratios.interval_rank(rounds)),
               "networks": []}  # fmt: skip
    with launched() as browser, serving(site) as address:
        results["versions"] = {"chromium": browser.version} | versions()
        for name, (config, size) in networks.items():
            job = new_job(config, size, site / name)
            progress.start()
            _build(job)
            progress.start()
            page = browser.new_page()
            page.goto(address + "benchmark.html")
            seconds, errors = _measure(page, job, rounds, calls, progress.advance)
            page.close()
            results["networks"].append(_network(name, job, seconds, errors))
    progress.start()
    results["first_result_ms"] = first_results()
    progress.finish()
    return results


def _tiny_config():
    return sources.resolve(TINY).read().config


def _build(job):
    """The files of all contestants, by the benchmark that runs without a browser."""
    names = {contestant.built for contestant in CONTESTANTS}
    for group, prefix in (("tensorflow", "ours"), ("onnxruntime", "onnxruntime")):
        wanted = sorted(name for name in names if name.startswith(prefix))
        run_to_end("benchmarks.build", [group, *wanted], job, group)


def _measure(page, job, rounds, calls, advance):
    """({name: seconds of each round}, {name: relative L2 distance from Keras})."""
    expected, errors = np.load(job.expected), {}
    workers = [BrowserWorker(page, job, contestant) for contestant in CONTESTANTS]
    for worker, contestant in zip(workers, CONTESTANTS, strict=True):
        error, most = relative_error(worker.check(), expected), MOST_ERROR[contestant.arithmetic]
        if not error <= most:
            raise InputError(
                f"{worker.name} must be within {most:g} of the Keras model. Received: {error:.2g}"
            )
        errors[worker.name] = error
    plan = {worker.name: (1, calls) for worker in workers}
    return measure(workers, plan, rounds, advance), errors


def _network(name, job, seconds, errors):
    """What was measured on one network, as JSON takes it."""
    milliseconds = {key: [1000 * second for second in values] for key, values in seconds.items()}
    rows = [
        {
            "name": contestant.name,
            "bytes": (job.folder / contestant.file).stat().st_size,
            "error": errors[contestant.name],
            "ms": ratios.estimate(milliseconds[contestant.name]).to_dict(),
            "rounds_ms": milliseconds[contestant.name],
        }
        for contestant in CONTESTANTS
    ]
    pairs = [
        {
            "ours": ours.name,
            "peer": peer.name,
            "ratio": ratios.ratio(seconds[ours.name], seconds[peer.name]).to_dict(),
        }
        for ours, peer in PAIRS
    ]
    return {"name": name, "size": job.size, "contestants": rows, "pairs": pairs}


def run(options):
    """Measures, prints and, if asked to, publishes."""
    results = compare(options.output, options.rounds, options.calls)
    print(markdown(results))
    slower = [pair for network in results["networks"] for pair in network["pairs"]
              if pair["ratio"]["low"] > 1]  # fmt: skip
    for pair in slower:
        print(f"{pair['ours']} is slower than {pair['peer']}: {pair['ratio']['value']:.2f}")
    print(f"ours is never slower than onnxruntime-web: {'not met' if slower else 'met'}")
    print(f"other programs kept {results['busy_cores']:.2f} cores busy")
    if options.publish:
        with replacing(RECORD, overwrite=True) as written:
            written.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8", newline="\n")
        readme.insert(DOCUMENT, "web-bench", markdown(results))


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.web",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--calls", type=int, default=CALLS, help="in a round; default: %(default)s")
    parser.add_argument("--output", default="build/bench-web", help="folder; default: %(default)s")
    parser.add_argument("--publish", action="store_true",
                        help=f"also write {RECORD} and the table of {DOCUMENT}")  # fmt: skip
    return one_line_errors("bench-web", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

"""File size and latency of networks in each recipe, all called in turn in one run."""

from pathlib import Path

from benchmarks import ratios
from benchmarks.contestants import CONTESTANTS
from benchmarks.job import new_job
from benchmarks.latency import measure_latency
from benchmarks.machine import describe_machine
from benchmarks.processes import run_to_end
from keras_poolformer.runtime.benchmark.memory import peak_memory
from keras_poolformer.support.files import size_of
from keras_poolformer.support.progress import Progress

RECIPES = ("fp32", "fp16", "dynamic_int8", "int8")


def measure_networks(networks, rounds, calls, folder, recipes=RECIPES):
    """Exports networks with random weights, checks them against Keras, and measures them.

    Args:
        networks: {name: (architecture, side of the images in pixels)}.
        rounds: Number of rounds; each file is measured once per round.
        calls: Number of timed calls per round.
        folder: Folder for all files that are made.
        recipes: Names of the export recipes.

    Returns:
        JSON-ready: "machine", "busy_cores", "rounds", "calls" and "variants", which is {name:
        {recipe: {"bytes", "peak_memory_bytes", "error", "ms"}}}.

    Raises:
        InputError: A file fails, or does not compute what its Keras model computes.
    """
    ratios.interval_rank(rounds)  # refuses too few before the work
    steps = [*(f"making files: {name}" for name in networks), "checking"]
    progress = Progress([*steps, f"latency, {len(networks) * len(recipes)} files in turn"])
    ours = {recipe: CONTESTANTS[f"ours-{recipe}"] for recipe in recipes}
    jobs = {}
    for name, (config, size) in networks.items():
        progress.start()
        jobs[name] = job = new_job(config, size, Path(folder) / name)
        files = [contestant.name for contestant in ours.values()]
        run_to_end("benchmarks.build", ["tensorflow", *files], job, "tensorflow")
    entries = {
        _key(name, recipe): (job, contestant)
        for name, job in jobs.items()
        for recipe, contestant in ours.items()
    }
    errors, seconds, busy = measure_latency(entries, rounds, calls, progress)
    progress.finish()

    def row(name, recipe):
        key = _key(name, recipe)
        job, contestant = entries[key]
        return {
            "bytes": size_of(job.folder / contestant.file),
            "peak_memory_bytes": peak_memory(job.folder / contestant.file),
            "error": errors[key],
            "ms": ratios.estimate([1000 * second for second in seconds[key]]).to_dict(),
        }

    return {
        "machine": describe_machine(),
        "busy_cores": busy,
        "rounds": rounds,
        "calls": calls,
        "variants": {name: {recipe: row(name, recipe) for recipe in recipes} for name in networks},
    }


def _key(name, recipe):
    return f"{name} {recipe}"

"""Contestants' processes: started, asked, measured in turn."""

import contextlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.support.errors import InputError

ROOT = Path(__file__).parents[1]


def environment(folder, threads):
    """Variables that make every library use `threads` threads of the CPU and keep quiet."""
    return os.environ | {
        "CUDA_VISIBLE_DEVICES": "",
        "KERAS_BACKEND": "tensorflow",
        "OMP_NUM_THREADS": str(threads),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
    }


def run_to_end(module, arguments, job, log):
    """Runs `python -m module FOLDER arguments...`.

    Raises:
        InputError: The process failed; the message ends with the last line of its log.
    """
    with _log(job, log).open("w", encoding="utf-8", newline="\n") as stream:
        done = subprocess.run(
            [sys.executable, "-m", module, str(job.folder), *arguments],
            cwd=ROOT,
            env=environment(job.folder, os.cpu_count()),
            stdout=stream,
            stderr=stream,
        )
    if done.returncode:
        raise _failure(log, _log(job, log))


class Worker:
    """A contestant's process.

    Args:
        job: Job that the contestant's files belong to.
        contestant: Contestant to run.
        threads: Number of threads it may use.
        name: Name of the worker; by default the contestant's.
    """

    def __init__(self, job, contestant, threads, name=None):
        self.name = name or contestant.name
        self.job, self.contestant = job, contestant
        self._log = _log(job, f"{contestant.name}-{threads}")
        with self._log.open("w", encoding="utf-8", newline="\n") as stream:
            self._process: Any = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", str(job.folder), contestant.name,
                 str(threads)],
                cwd=ROOT,
                env=environment(job.folder, threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._process.kill()
        self._process.wait()

    def check(self):
        """Returns its logits for the job's images: (N, num_classes)."""
        return np.array(self._ask(check=True)["logits"])

    def time(self, batch, calls):
        """Returns the median seconds that one image took, over some calls."""
        return float(np.median(self._ask(batch=batch, calls=calls)["seconds"])) / batch

    def start_seconds(self):
        """Returns the seconds from the imported library to the first image's logits."""
        return self._ask(start=True)["seconds"]

    def serve(self, clients, calls):
        """Returns seconds, and CPU seconds, of clients that each call with one image at a time."""
        reply = self._ask(clients=clients, calls=calls)
        return reply["seconds"], reply["cpu_seconds"]

    def _ask(self, **command):
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            reply = self._process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            raise _failure(self.name, self._log)
        return json.loads(reply)


def measure(workers, plan, rounds, progress):
    """Measures workers in turn, in another order each round.

    Args:
        workers: Workers to measure in turn.
        plan: {name: (batch, calls in each round)}.
        rounds: Number of rounds.
        progress: Called with (measurements done, total).

    Returns:
        {name: median seconds an image of each round}.
    """
    seconds = {worker.name: [] for worker in workers}
    shuffler, done = random.Random(0), 0
    for _ in range(rounds):
        for worker in shuffler.sample(workers, len(workers)):
            seconds[worker.name].append(worker.time(*plan[worker.name]))
            done += 1
            progress(done, rounds * len(workers))
    return seconds


def _log(job, name):
    folder = job.folder / "logs"
    folder.mkdir(exist_ok=True)
    return folder / f"{name}.txt"


def _failure(name, log):
    text = log.read_text(encoding="utf-8", errors="replace").strip()
    lines = text.splitlines() or ["it said nothing"]
    return InputError(f"{name} failed: {lines[-1].strip()} (more in {log})")

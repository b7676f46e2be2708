"""CPU time of whole processes, in environments like a user's, with the sources of any commit."""

import os
import random
import subprocess
import sys
import tempfile

from benchmarks.processes import ROOT
from keras_poolformer.support.errors import InputError


def cpu_seconds(command, folder, variables):
    """Runs a process to its end; returns the CPU time that it took, user and system, in seconds.

    Args:
        command: Program and its arguments.
        folder: Working directory.
        variables: Environment variables of the process.

    Raises:
        InputError: It failed; the message ends with the last line on its stderr.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=folder, env=variables, stdout=subprocess.DEVNULL, stderr=log
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise InputError(f"{' '.join(map(str, command))} failed: {lines[-1]}")
    return usage.ru_utime + usage.ru_stime


def variables_for(sources=None):
    """Environment variables of a user: only `sources` may come before what is installed."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "KERAS_", "TF_"))
    }
    return inherited | ({"PYTHONPATH": str(sources)} if sources else {})


def measure(processes, rounds, progress):
    """Runs every process once a round.

    Args:
        processes: {name: function that runs it and returns its CPU seconds}.
        rounds: Number of rounds.
        progress: Called with (processes run, total).

    Returns:
        {name: CPU seconds of each round}.
    """
    seconds = {name: [] for name in processes}
    shuffler, done = random.Random(0), 0
    for _ in range(rounds):
        for name in shuffler.sample(list(processes), len(processes)):
            seconds[name].append(processes[name]())
            done += 1
            progress(done, rounds * len(processes))
    return seconds


def check_out(revision, folder):
    """Writes the sources of a revision, compiled as pip compiles them; returns its full hash."""
    done = subprocess.run(
        ["git", "rev-parse", "--verify", f"{revision}^{{commit}}"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise InputError(f"--before must be a revision of the repository. Received: {revision}")
    folder.mkdir()
    archive = subprocess.run(
        ["git", "archive", revision], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    subprocess.run(["tar", "x"], cwd=folder, input=archive.stdout, check=True)
    subprocess.run([sys.executable, "-m", "compileall", "-q", "keras_poolformer"],
                   cwd=folder, env=variables_for(), check=True)  # fmt: skip
    return done.stdout.strip()


def install(extra, folder, sources):
    """Makes an environment with what an extra of the sources brings, unless there is one."""
    if (folder / "bin/keras-poolformer").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run(
        [folder / "bin/pip", "install", "--quiet", f"{sources}[{extra}]"],
        env=variables_for() | {"PIP_CONSTRAINT": str(ROOT / "constraints.txt")},
        check=True,
    )

"""Many damaged files for every reader: python -m tests.fuzz [--cases N] [--seed N] [TARGET ...].

Each target runs in a process of its own, so that a crash of a native library ends that target
alone. What broke a limit is kept in build/fuzz/TARGET.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.targets import TARGETS

OUTPUT = Path("build/fuzz")


def main() -> int:
    """Runs the targets and prints a table; returns 1 where one broke a limit."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", metavar="TARGET", nargs="*", help=", ".join(TARGETS))
    parser.add_argument("--cases", type=int, default=2_000, help="files over all targets")
    parser.add_argument("--seed", type=int, default=0, help="seed of the damage")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return _run_here(options.targets[0], options.cases, options.seed)
    chosen = options.targets or list(TARGETS)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    print(f"{'reader':20} {'cases':>7} {'read':>7} {'refused':>8} {'seconds':>8}", flush=True)
    shares = sum(TARGETS[name].share for name in chosen)
    broken = [
        name
        for name in chosen
        if not _run(name, max(10, options.cases * TARGETS[name].share // shares), options.seed)
    ]
    if broken:
        print(f"\nbroke a limit: {', '.join(broken)}; see {OUTPUT}/TARGET and TARGET.log")
    return 1 if broken else 0


def _run(name, cases, seed):
    """Runs one target in a process of its own and prints its line."""
    command = [sys.executable, "-m", "tests.fuzz", "--one", f"--cases={cases}", f"--seed={seed}"]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    start, log = time.monotonic(), OUTPUT / f"{name}.log"
    with log.open("w", encoding="utf-8", newline="\n") as errors:
        done = subprocess.run(
            [*command, name], stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        )
    seconds = time.monotonic() - start
    if done.returncode:
        last_lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
        problem = f"signal {-done.returncode}" if done.returncode < 0 else last_lines[-1][:90]
        print(f"{name:20} {problem}", flush=True)
        return False
    read, refused = done.stdout.split()[-2:]
    print(f"{name:20} {int(read) + int(refused):7,} {int(read):7,} {int(refused):8,} "
          f"{seconds:8.0f}", flush=True)  # fmt: skip
    return True


def _run_here(name, cases, seed):
    from tests.fuzz.runner import run_target

    outcomes = run_target(name, cases, seed, OUTPUT.absolute())
    print(outcomes["read"], outcomes["refused"])
    return 0


if __name__ == "__main__":
    sys.exit(main())

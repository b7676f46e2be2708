"""Executes the notebooks, two at a time: `python -m notebooks` (or `make notebooks`).

Writes executed copies and HTML pages, and fails on any error, and on anything on stderr that a
reader would frown at. `--strip` takes outputs out of the notebooks instead, as git wants them.
"""

import argparse
import importlib.util
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory

from keras_poolformer.cli import one_line_errors
from keras_poolformer.support.errors import InputError
from notebooks.running import complaints, execute, write_pages
from notebooks.stripping import read_notebook, strip

FOLDER = Path(__file__).parent
AT_A_TIME = 2  # each imports TensorFlow, which is one core's work
# Packages that the environment of the others lacks: `make test-hub` has KerasHub.
NEEDS = {"07_detect_with_keras_hub.ipynb": "keras_hub"}


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m notebooks", description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="some of them; by default all")
    parser.add_argument("--output", type=Path, default=Path("build/notebooks"), help="folder")
    parser.add_argument("--strip", action="store_true", help="take outputs out, run nothing")
    return one_line_errors("notebooks", run, parser.parse_args(arguments))


def run(options):
    """Strips or executes the notebooks."""
    paths = options.notebooks or sorted(FOLDER.glob("*.ipynb"))
    if not options.notebooks and not options.strip:
        paths = [path for path in paths if _can_be_run(path)]
    for path in paths:
        if not path.is_file():
            raise InputError(f"a notebook must be a file. Received: {path}")
    if options.strip:
        for path in paths:
            path.write_text(strip(read_notebook(path)), "utf-8", newline="\n")
        return
    _execute_all(paths, options.output)


def _can_be_run(path):
    """Whether what a notebook needs is installed; says so if not."""
    package = NEEDS.get(path.name)
    if package is None or importlib.util.find_spec(package):
        return True
    print(f"{path.name}: skipped, because {package} is not installed", flush=True)
    return False


def _execute_all(paths, output):
    output.mkdir(parents=True, exist_ok=True)
    failed = []
    # Notebooks write into folders for temporary files, which vanish with this one.
    with TemporaryDirectory() as scratch, ThreadPoolExecutor(AT_A_TIME) as pool:
        environment = os.environ | {"TMPDIR": scratch}
        jobs = [pool.submit(_execute_one, path, output, environment) for path in paths]
        for done, job in enumerate(as_completed(jobs), start=1):
            path, seconds, found = job.result()
            verdict = "FAILED" if found else "done"
            print(f"[{done}/{len(paths)}] {path.name}: {verdict} in {seconds:.0f} s", flush=True)
            print(*found, sep="\n", end="\n" if found else "", file=sys.stderr, flush=True)
            failed += [path.name] if found else []
    if failed:
        raise InputError(f"notebooks must run without a complaint. Failed: {', '.join(failed)}")


def _execute_one(path, output, environment):
    """(path, seconds, complaints) of a notebook; its executed copy and page are written."""
    start = time.monotonic()
    notebook = execute(read_notebook(path), FOLDER, environment)
    write_pages(notebook, output / path.name)
    return path, time.monotonic() - start, complaints(notebook)


if __name__ == "__main__":
    sys.exit(main())

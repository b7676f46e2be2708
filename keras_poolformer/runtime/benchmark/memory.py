"""Measures how much memory a .tflite file takes, in a process of its own.

`python -m keras_poolformer.runtime.benchmark.memory FILE` is that process.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from keras_poolformer.runtime.benchmark.inputs import random_image
from keras_poolformer.runtime.interpreters import import_litert
from keras_poolformer.runtime.tflite_model import TFLiteModel
from keras_poolformer.support.errors import InputError

CALLS = 3


def peak_memory(path: str | os.PathLike[str]) -> int | None:
    """Returns the peak of additional resident memory that running a .tflite file takes.

    A fresh process imports LiteRT, reads its peak of resident memory, loads the file as
    `TFLiteModel` does, with one thread, runs it on noise three times and reads the peak again. The
    difference contains the file's bytes, the weights as XNNPACK packs them, the activations, and
    the pages of LiteRT's own code that are touched for the first time.

    Args:
        path: File to run.

    Returns:
        Bytes; None where a process cannot find out its own peak (Windows).

    Raises:
        InputError: The file cannot be run, even if LiteRT crashes on it.
        MissingExtraError: ai-edge-litert is not installed.
    """
    import_litert()
    search_path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__, str(path)],
        env=os.environ | {"PYTHONPATH": search_path},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode < 0:
        raise InputError(
            f"{path} cannot be run: its process was killed by signal {-done.returncode}"
        )
    if done.returncode:
        last_line = (done.stderr.splitlines() or [f"status {done.returncode}"])[-1]
        raise InputError(f"{path} cannot be run: {last_line}")
    result = json.loads(done.stdout)
    if "error" in result:
        raise InputError(result["error"])
    return result["peak_memory_bytes"]


def _measure(path: str) -> dict[str, Any]:
    import_litert()
    before = _peak_resident()
    try:
        model = TFLiteModel(path)
        image = random_image(model)
    except InputError as error:
        return {"error": str(error)}
    for _ in range(CALLS):
        model.run(image[None])
    after = _peak_resident()
    if before is None or after is None:
        return {"peak_memory_bytes": None}
    return {"peak_memory_bytes": after - before}


def _peak_resident() -> int | None:
    """The most bytes that were resident in this process; None if the system does not say."""
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Not ru_maxrss: on Linux a new program inherits it from the process that started it.
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    peak = re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(encoding="utf-8"), re.MULTILINE)
    return int(peak[1]) * 1024 if peak else None


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1])))

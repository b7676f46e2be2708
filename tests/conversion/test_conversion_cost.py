"""What converting and exporting the largest variant costs; `make test-slow` prints it."""

import re
import subprocess
import sys
import time

import pytest

from keras_poolformer import PoolFormerConfig, PoolFormerImageClassifier
from keras_poolformer.shipped import ASSETS

torch = pytest.importorskip("torch")
oracles = pytest.importorskip("conversion.oracles")

# Prints its own peak: ru_maxrss would be that of the process that started it, if larger.
RUN = """
import sys
from pathlib import Path
from keras_poolformer.cli import main
status = main()
print(Path("/proc/self/status").read_text())
sys.exit(status)
"""


@pytest.mark.slow
def test_converting_m48_stays_within_3_gb(tmp_path):
    config = PoolFormerConfig.from_variant("poolformer_m48")
    state = oracles.build_oracle(config, "hf").module.state_dict()
    path = tmp_path / "poolformer_m48.pth.tar"
    torch.save({oracles.sail_name(name): tensor for name, tensor in state.items()}, path)
    arguments = ["convert", path, "-o", tmp_path / "poolformer_m48.keras"]
    assert cost(arguments, "converting poolformer_m48") < 3


@pytest.mark.slow
def test_int8_of_m48_stays_within_6_gb(tmp_path):
    keras_file, photos = tmp_path / "poolformer_m48.keras", tmp_path / "photos"
    PoolFormerImageClassifier.from_variant("poolformer_m48").save(keras_file)
    photos.mkdir()
    for index, photo in enumerate(3 * sorted((ASSETS / "photos").iterdir())):
        (photos / f"{index}{photo.suffix}").write_bytes(photo.read_bytes())
    options = ["--recipe", "int8", "--calibration", photos, "-o", tmp_path / "int8.tflite"]
    assert cost(["export", keras_file, *options], "int8 of poolformer_m48, 93 images,") < 6


def cost(arguments, what):
    """Runs the command line; prints what it took and returns its memory in GB."""
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    gigabytes = int(re.search(r"VmHWM:\s+(\d+) kB", done.stdout)[1]) * 1024 / 1e9
    print(f"{what} took {time.perf_counter() - start:.0f} s and {gigabytes:.2f} GB")
    return gigabytes

"""The ranges of setup.cfg beside versions that a machine has already and must keep."""

import re
import subprocess
import sys

import pytest

from tests.helpers import ROOT

FOLDER = ROOT / "tests" / "constraints"
EXTRAS = "keras,tensorflow-cpu,runtime,train"
# What is held for others, which have it preinstalled; no dependency of ours.
FOREIGN = {"jax", "jaxlib", "torch", "torchvision"}


def _name(text):
    return text.lower().replace("_", "-")


def _held(path):
    """{package: version} of a file of constraints."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE)
    return {_name(package): version for package, version in found}


def _chosen(output):
    """{package: version} of what pip would install."""
    words = re.search("^Would install (.*)$", output, re.MULTILINE)[1].split()
    return {_name(package): version for package, version in (word.rsplit("-", 1) for word in words)}


# numpy 2.0 has no wheels for Python 3.13.
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Colab's runtime 2026.01 has Python 3.12")
@pytest.mark.slow
def test_pip_keeps_what_colab_has():
    """Installs nothing, but downloads 350 MB unless pip has cached them."""
    path = FOLDER / "colab_2026.01.txt"
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    done = subprocess.run(
        [*command, "--constraint", path, f"{ROOT}[{EXTRAS}]"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    held, chosen = _held(path), _chosen(done.stdout)
    assert held.keys() - chosen.keys() == FOREIGN
    assert {package: chosen[package] for package in held.keys() - FOREIGN} == {
        package: version for package, version in held.items() if package not in FOREIGN
    }

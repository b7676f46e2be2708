"""What `make dist` built, installed as a reader of README.md installs it."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.helpers import ROOT



class Environment:
    """A fresh virtual environment, and an empty folder far from the sources to work in."""

    def __init__(self, folder):
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)

    def run(self, program, *arguments, **variables):
        """Runs one of its programs; returns the `CompletedProcess`."""
        inherited = {key: text for key, text in os.environ.items() if not key.startswith("PYTHON")}
        return subprocess.run(
            [self.folder / "venv" / "bin" / program, *map(str, arguments)],
            cwd=self.folder,
            env=inherited | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    def install(self, requirement, distribution):
        """Runs `pip install REQUIREMENT`, which finds this distribution as if in an index."""
        offered = self.folder / "offered"
        offered.mkdir()
        shutil.copy(distribution, offered)
        found = f"{os.environ.get('PIP_FIND_LINKS', '')} {offered}"
        done = self.run(
            "pip",
            *("install", "--quiet", "--no-compile", requirement),
            PIP_FIND_LINKS=found.strip(),
            PIP_CONSTRAINT=str(ROOT / "constraints.txt"),
        )
        assert done.returncode == 0, done.stderr

    def poolformer(self, *arguments):
        """Runs `keras-poolformer` where it must succeed; returns what it prints."""
        done = self.run("keras-poolformer", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def wheel():
    """The wheel."""
    return _only("*.whl")


@pytest.fixture(scope="session")
def sdist():
    """The source distribution."""
    return _only("*.tar.gz")


def _only(pattern):
    files = sorted((ROOT / "dist").glob(pattern))
    assert len(files) == 1, f"dist/ must hold one {pattern}: run `make dist`. Received: {files}"
    return files[0]


@pytest.fixture(scope="session")
def installed(tmp_path_factory, capfd_disabled):
    """installed(requirement, distribution): an `Environment` with it."""

    def installed(requirement, distribution):
        start = time.perf_counter()
        environment = Environment(tmp_path_factory.mktemp("installed"))
        environment.install(requirement, distribution)
        with capfd_disabled():
            seconds = time.perf_counter() - start
            print(f"\npip install '{requirement}' from {distribution.name}: {seconds:.0f} s")
        return environment

    return installed


@pytest.fixture(scope="session")
def capfd_disabled(pytestconfig):
    """A context in which what is printed is seen at once."""
    return pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled

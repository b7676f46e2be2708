"""The same seed gives the same losses, wherever the batch is worked through."""

import numpy as np
import pytest

from tests.training import runs

pytestmark = pytest.mark.slow  # a process or two for each run, of half a minute

SETTINGS = ["drop_path_rate=0.2", "dropout_rate=0.1", "mixup=0.8", "cutmix=1.0"]
TOLERANCE = 1e-5  # measured: 1.2e-7 over 24 steps


@pytest.fixture(scope="module")
def one_device(photo_folders, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("one")
    status, _, error = runs.finish(runs.start(photo_folders, workdir, SETTINGS))
    assert status == 0, error
    return runs.losses(workdir)


@pytest.mark.parametrize("replicas", [2, 4])
def test_mirrored(replicas, one_device, photo_folders, tmp_path):
    options = ["--strategy", "mirrored", "--replicas", str(replicas)]
    status, _, error = runs.finish(runs.start(photo_folders, tmp_path, SETTINGS, options))
    assert status == 0, error
    compare(runs.losses(tmp_path), one_device, f"{replicas} replicas")


def test_accumulated(one_device, photo_folders, tmp_path):
    settings = [*SETTINGS, "accumulate_steps=2"]
    status, _, error = runs.finish(runs.start(photo_folders, tmp_path, settings))
    assert status == 0, error
    compare(runs.losses(tmp_path), one_device, "two parts")


@pytest.mark.parametrize("options", [[], ["--strategy", "mirrored", "--replicas=2"]])
def test_compiled(options, one_device, photo_folders, tmp_path):
    settings = [*SETTINGS, "jit_compile=true"]
    status, _, error = runs.finish(runs.start(photo_folders, tmp_path, settings, options))
    assert status == 0, error
    compare(runs.losses(tmp_path), one_device, f"by XLA, {options}")


def test_two_workers(one_device, photo_folders, tmp_path):
    options = ["--strategy", "multiworker"]
    workers = [
        runs.start(photo_folders, tmp_path, SETTINGS, options, config) for config in runs.cluster(2)
    ]
    ends = [runs.finish(worker) for worker in workers]
    assert [status for status, *_ in ends] == [0, 0], ends
    compare(runs.losses(tmp_path), one_device, "two workers")


def compare(found, wanted, what):
    assert len(found) == len(wanted) == 24
    worst = np.abs(found / wanted - 1).max()
    print(f"{what}: losses differ by at most {worst:.1e}")
    assert worst < TOLERANCE

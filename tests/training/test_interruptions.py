"""Whatever ends a run, the same command goes on, and the result is that of one run."""

import signal
import time

import numpy as np
import pytest

from tests.training import runs

pytestmark = pytest.mark.slow  # minutes of exports and trainings

SETTINGS = [*runs.EVERYTHING_RANDOM, "save_every=2"]


@pytest.fixture(scope="module")
def uninterrupted(photo_folders, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    status, _, error = runs.finish(runs.start(photo_folders, workdir, SETTINGS))
    assert status == 0, error
    return workdir


def assert_same(workdir, uninterrupted):
    for name in ("log.csv", "evaluations.csv", "result.json"):
        assert (workdir / name).read_text(encoding="utf-8") == (uninterrupted / name).read_text(
            encoding="utf-8"
        ), name
    found, wanted = runs.weights(workdir), runs.weights(uninterrupted)
    assert found.keys() == wanted.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, wanted[name], name)


def wait_for_rows(process, workdir, rows):
    """Waits until the log has so many rows; returns False if the run ended before."""
    while process.poll() is None:
        log = workdir / "log.csv"
        if log.exists() and log.read_text(encoding="utf-8").count("\n") > rows:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.slow
def test_killed_at_random_moments(photo_folders, uninterrupted, tmp_path):
    random, kills = np.random.default_rng(7), 0
    for rows in (1, 6, 11, 17, 22):
        process = runs.start(photo_folders, tmp_path, SETTINGS)
        if wait_for_rows(process, tmp_path, rows):
            time.sleep(random.uniform(0, 0.3))
            kills += process.poll() is None
            process.kill()
        runs.finish(process)
    status, _, error = runs.finish(runs.start(photo_folders, tmp_path, SETTINGS))
    assert (status, kills) == (0, 5), error
    assert_same(tmp_path, uninterrupted)


@pytest.mark.slow
def test_killed_while_a_checkpoint_is_written(photo_folders, uninterrupted, tmp_path):
    """As soon as the files of a new checkpoint begin to appear."""
    process = runs.start(photo_folders, tmp_path, SETTINGS)
    folder = tmp_path / "checkpoints" / "last"
    while process.poll() is None and not list(folder.glob("*-6.*")):
        pass
    process.kill()
    runs.finish(process)
    assert not (tmp_path / "model.keras").exists()
    status, _, error = runs.finish(runs.start(photo_folders, tmp_path, SETTINGS))
    assert status == 0, error
    assert_same(tmp_path, uninterrupted)


SIGNALS = [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_saves_and_ends(number, photo_folders, uninterrupted, tmp_path):
    """In a folder whose name TensorFlow takes for a pattern, as sweeps name theirs."""
    settings = [*runs.EVERYTHING_RANDOM, "save_every=1000"]
    tmp_path = tmp_path / "lr=[1e-3]"
    process = runs.start(photo_folders, tmp_path, settings)
    assert wait_for_rows(process, tmp_path, 8)
    process.send_signal(number)
    status, _, last_line = runs.finish(process)
    assert status == 0
    assert "stopped after step" in last_line
    done = len(runs.losses(tmp_path))
    assert 8 <= done < 24
    assert (tmp_path / "checkpoints" / "last" / f"ckpt-{done}.index").exists()
    assert not (tmp_path / "model.keras").exists()
    status, _, error = runs.finish(runs.start(photo_folders, tmp_path, settings))
    assert status == 0, error
    assert_same(tmp_path, uninterrupted)


def test_lamb_resumes_with_its_moments(photo_folders, tmp_path):
    settings = [*SETTINGS, "optimizer=lamb", "schedule=constant"]
    for name, steps in (("whole", (12,)), ("parts", (6, 12))):  # an evaluation follows each
        for last in steps:
            options = ["--max-steps", str(last)]
            run = runs.start(photo_folders, tmp_path / name, settings, options)
            status, _, error = runs.finish(run)
            assert status == 0, error
    assert_same(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_others(photo_folders, tmp_path):
    options = ["--strategy", "multiworker"]
    settings = ["epochs=200", "save_every=2", "drop_path_rate=0"]
    first, second = (
        runs.start(photo_folders, tmp_path, settings, [*options, "--max-steps", "400"], config)
        for config in runs.cluster(2)
    )
    assert wait_for_rows(first, tmp_path, 8)
    second.kill()
    runs.finish(second)
    status, _, last_line = runs.finish(first)
    assert status == 2
    assert "another worker has ended" in last_line
    done = len(runs.losses(tmp_path))
    workers = [
        runs.start(
            photo_folders, tmp_path, settings, [*options, "--max-steps", str(done + 10)], config
        )
        for config in runs.cluster(2)
    ]
    assert [runs.finish(worker)[0] for worker in workers] == [0, 0]
    assert len(runs.losses(tmp_path)) == done + 10

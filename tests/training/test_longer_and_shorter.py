"""Runs that end early, that are extended, and that go on after damage."""

import json

import pytest

from keras_poolformer.cli import main
from tests.training import runs

UNMOVED = ["learning_rate=0", "warmup_learning_rate=0", "min_learning_rate=0"]


@pytest.fixture
def train(photo_folders, tmp_path, capfd):
    """train(settings, options): runs in this process; (status, lines of stderr, result.json)."""

    def train(*settings, options=()):
        capfd.readouterr()
        status = main(runs.arguments(photo_folders, tmp_path, settings, options))
        lines = capfd.readouterr().err.strip().splitlines()
        path = tmp_path / "result.json"
        return status, lines, json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    return train


@pytest.mark.slow
def test_early_stopping_and_extension(train, tmp_path):
    """The weights never change, so the first evaluation stays the best one."""
    status, lines, result = train(*UNMOVED, "patience=2")
    assert status == 0, lines
    assert (status, result["step"], result["stopped_early"]) == (0, 18, True)
    assert [line.split(",")[:2] for line in lines if line.startswith("epoch ")] == [
        [f"epoch {n}/4", f" step {6 * n}/24"] for n in (1, 2, 3)
    ]
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["patience"] == 2
    # Not the end of the schedule: it cannot be extended, but be gone on with.
    status, lines, _ = train(*UNMOVED, "patience=2", "epochs=6")
    assert status == 2 and "holds a run with epochs=4" in lines[-1]
    status, _, result = train(*UNMOVED)
    assert (status, result["step"], "stopped_early" in result) == (0, 24, False)
    for path in (tmp_path / "checkpoints" / "best").iterdir():
        path.unlink()
    (tmp_path / "best.keras").unlink()
    status, lines, result = train(*UNMOVED, "epochs=5")
    assert (status, result["step"]) == (0, 30)
    assert any(line.startswith("extending a finished run from 4 to 5 epochs") for line in lines)
    assert any(line.startswith("best.keras was not written: ") for line in lines)
    assert len(runs.losses(tmp_path)) == 30
    description = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert description["extensions"] == [{"step": 24, "epochs": 4}]
    assert description["epochs"] == 5
    status, lines, _ = train(*UNMOVED)
    assert status == 2 and lines[-1].endswith("Received: 4")


@pytest.mark.slow
def test_damage_does_not_end_a_run(train, tmp_path):
    """In a folder as a power cut leaves it."""
    status, lines, _ = train("save_every=2", options=["--max-steps", "4"])
    assert status == 0, lines
    before = runs.losses(tmp_path)
    (data,) = (tmp_path / "checkpoints" / "last").glob("ckpt-4.data*")
    data.write_bytes(b"")
    (tmp_path / "checkpoints" / "last" / "checkpoint").touch()
    with (tmp_path / "log.csv").open("ab") as file:
        file.write(b"\0" * 512 + b"\n")
    status, lines, _ = train("save_every=2", options=["--max-steps", "4"])
    assert status == 0, lines
    assert any(line.startswith("resuming from step 2: ") for line in lines)
    assert list(runs.losses(tmp_path)) == list(before)

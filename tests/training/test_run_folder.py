"""The folder of a run: checkpoints, tables, events for TensorBoard, and the lock."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import tensorflow as tf

from keras_poolformer import PoolFormerConfig
from keras_poolformer.support.errors import InputError
from keras_poolformer.training import finishing
from keras_poolformer.training.checkpoint_files import CheckpointFiles
from keras_poolformer.training.checkpoints import Checkpoints
from keras_poolformer.training.reports import Reports
from keras_poolformer.training.results import Evaluation
from keras_poolformer.training.run import Run
from keras_poolformer.training.run_lock import locked
from keras_poolformer.training.tables import (
    EVALUATION_FIELDS,
    STEP_FIELDS,
    Table,
    last_evaluation,
    read_table,
)

# ---------------------------------------------------------------------------------------
# Checkpoints


@pytest.mark.parametrize("name", ["plain", "lr=[1e-3]", "a*b", "what?", "{x,y}", "back\\slash"])
def test_checkpoints_in_folders_of_any_name(name, tmp_path):
    value = tf.Variable(0.0)
    checkpoint = tf.train.Checkpoint(value=value)
    files = CheckpointFiles(tmp_path / name, kept=2)
    assert files.steps() == []
    for step in (2, 4, 10):
        value.assign(step)
        files.write(checkpoint, step)
    assert files.steps() == [4, 10]
    assert len(list((tmp_path / name).iterdir())) == 4
    for step in (4, 10):
        files.read(checkpoint, step)
        assert value.numpy() == step


def test_addresses_with_characters_of_patterns_are_refused():
    with pytest.raises(InputError, match=r"must not contain any of .* Received: gs://b/lr=\[1\]"):
        CheckpointFiles("gs://b/lr=[1]", kept=2)
    files = CheckpointFiles("ram://checkpoints", kept=1)
    checkpoint = tf.train.Checkpoint(value=tf.Variable(3.0))
    for step in (1, 2):
        files.write(checkpoint, step)
    assert files.steps() == [2]
    files.read(checkpoint, 2)


@pytest.fixture
def checkpoints(tmp_path):
    """Opens the checkpoints of a folder: (`Checkpoints`, the model's only variable)."""

    def checkpoints():
        value = tf.Variable([0.0] * 100)
        model = SimpleNamespace(variables=[value])
        optimizer = SimpleNamespace(variables=[tf.Variable(0.0)])
        return Checkpoints(tmp_path / "checkpoints", model, optimizer), value

    return checkpoints


def cut(path):
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("damage", [cut, os.remove, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("suffix", ["data-00000-of-00001", "index"])
def test_the_checkpoint_before_a_corrupt_one(suffix, damage, checkpoints, tmp_path, capfd):
    saved, value = checkpoints()
    for step in (2, 4):
        value.assign([step] * 100)
        saved.save(step)
    last = tmp_path / "checkpoints" / "last"
    damage(last / f"ckpt-4.{suffix}")
    # A state file of TensorFlow's own, as earlier versions wrote it, decides nothing.
    (last / "checkpoint").write_bytes(b"\xff\x00")
    restored, value = checkpoints()
    assert restored.restore() == 2
    assert value.numpy()[0] == 2
    if not (damage is os.remove and suffix == "index"):
        line = capfd.readouterr().err
        assert line.startswith(f"resuming from step 2: {last}/ckpt-4 must be an intact checkpoint")
        assert line.count("\n") == 1
    restored.save(3)
    assert [path.name for path in last.glob("*.index")].count("ckpt-4.index") == 0
    assert checkpoints()[0].restore() == 3


def test_no_checkpoint_that_can_be_read(checkpoints, tmp_path):
    saved, _ = checkpoints()
    for step in (2, 4):
        saved.save(step)
    for path in (tmp_path / "checkpoints" / "last").glob("*.index"):
        cut(path)
    with pytest.raises(InputError, match=r"ckpt-4 must be an intact .* Delete .* to start again"):
        checkpoints()[0].restore()


def test_the_best_checkpoint_is_missing(checkpoints, tmp_path):
    saved, _ = checkpoints()
    saved.save_if_best(2, 50.0)
    for path in (tmp_path / "checkpoints" / "best").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"best evaluation's checkpoint .*best/ckpt-2 is missing"):
        saved.restore_best()


# ---------------------------------------------------------------------------------------
# Tables


GOOD = "step,loss,accuracy,learning_rate\n1,2.5,0.1,0.001\n2,2.25,0.2,0.001\n"


@pytest.mark.parametrize(
    ("content", "steps"),
    [
        (GOOD.encode(), [1, 2]),
        (GOOD.encode() + b"3,2.0,0.3", [1, 2]),  # cut short
        (GOOD.encode() + b"\0" * 4096, [1, 2]),  # after a power cut
        (GOOD.encode() + b"\0" * 4096 + b"\n", [1, 2]),
        (GOOD.encode() + b"\xff\xfe\n3,2.0,0.3,1e-3\n", [1, 2, 3]),
        (GOOD.encode() + b"3,strange\n", [1, 2]),
        (GOOD.encode() + b"3,,0.3,1e-3\n", [1, 2]),
        (b"st\0p,loss\n1,2.5,0.1,0.001\n", [1]),
        (b"\0" * 100, []),
        (b"", []),
    ],
)
def test_damaged_logs(content, steps, tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    assert [row["step"] for row in read_table(path, STEP_FIELDS)] == steps
    Table(path, STEP_FIELDS, last_step=1).append([(2, 1.5, 0.5, 1e-3)])
    assert path.read_text(encoding="utf-8").splitlines()[0] == ",".join(STEP_FIELDS)
    assert [row["step"] for row in read_table(path, STEP_FIELDS)] == [*steps[:1], 2]


def test_a_damaged_log_is_kept_beside_the_new_one(tmp_path, capfd):
    path = tmp_path / "log.csv"
    path.write_bytes(GOOD.encode() + b"garbage\n")
    Table(path, STEP_FIELDS, last_step=2)
    assert path.read_text(encoding="utf-8") == GOOD
    assert (tmp_path / "log.csv.corrupt").read_bytes() == GOOD.encode() + b"garbage\n"
    assert capfd.readouterr().err == f"{path} has 1 corrupt lines, kept in log.csv.corrupt\n"


def test_the_last_evaluation_that_is_whole(tmp_path):
    header = ",".join(EVALUATION_FIELDS)
    (tmp_path / "evaluations.csv").write_text(
        f"{header}\n6,1,2.0,40,\n12,2,,50,90\n", encoding="utf-8", newline="\n"
    )
    assert last_evaluation(tmp_path) == Evaluation(loss=2.0, top1=40.0)


# ---------------------------------------------------------------------------------------
# TensorBoard


def steps(first, last):
    return [(step, 1.0 / step, 0.5, 1e-3) for step in range(first, last + 1)]


def test_tensorboard_shows_each_step_once(tmp_path):
    """As TensorBoard itself reads the events of a run that was killed at step 5, saved at 3."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, end in ((0, 5), (3, 6)):
        for path in tmp_path.glob("tensorboard/*"):  # and with the tail that a power cut may leave
            with path.open("ab") as file:
                file.write(bytes(100))
        reports = Reports(tmp_path, 6, start, 1, 8)
        reports.steps(steps(start + 1, end))
        reports.end_epoch(end, Evaluation(loss=1.0, top1=50.0))
        reports.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"), {"tensors": 0})
    events.Reload()
    assert [event.step for event in events.Tensors("train/loss")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events.Tensors("evaluation/top1")] == [6]
    assert [row["step"] for row in read_table(tmp_path / "log.csv", STEP_FIELDS)] == list(
        range(1, 7)
    )


def test_events_that_cannot_be_written(tmp_path):
    (tmp_path / "tensorboard").write_text("a file", encoding="utf-8", newline="\n")
    with pytest.raises(InputError, match=r"tensorboard cannot be written: "):
        Reports(tmp_path, 6, 0, 1, 8)


def test_a_line_an_epoch(tmp_path, capfd):
    """Without a terminal there is no bar, and still a line that says how it goes."""
    reports = Reports(tmp_path, 12, 0, 2, 8)
    for epoch, result in enumerate((Evaluation(loss=1.25, top1=62.5), None)):
        reports.start_epoch(epoch)
        reports.steps([(6 * epoch + n, 2.0 + n % 2, 0.25, 1e-3) for n in range(1, 7)])
        reports.end_epoch(6 * epoch + 6, result)
    reports.close()
    first, second = capfd.readouterr().err.splitlines()
    assert first.startswith(
        "epoch 1/2, step 6/12, loss 2.5000, accuracy 25.0%, evaluation loss 1.2500, top-1 62.50 %, "
        "learning rate 1.00e-03, "
    )
    assert first.endswith(" images/s")
    assert second.startswith("epoch 2/2, step 12/12, loss 2.5000, accuracy 25.0%, learning rate")


def test_a_long_epoch_is_not_silent(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("keras_poolformer.training.reports._SILENT_SECONDS", 0)
    reports = Reports(tmp_path, 12, 0, 1, 8)
    for step in (1, 2, 3):
        reports.steps([(step, 2.0, 0.25, 1e-3)])
    reports.close()
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(", ")[1] for line in lines] == ["step 1/12", "step 2/12"]


# ---------------------------------------------------------------------------------------
# One training at a time, and signals


def test_one_training_at_a_time(tmp_path):
    message = f"in use by another training .process {os.getpid()} "
    with (
        locked(tmp_path, tmp_path, "gs://nowhere"),
        pytest.raises(InputError, match=message),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        pass


def test_the_lock_of_a_dead_process_is_no_obstacle(tmp_path):
    code = (
        "import sys, time\nfrom keras_poolformer.training.run_lock import locked\n"
        "with locked(sys.argv[1]):\n    print('locked', flush=True)\n    time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(InputError, match=f"process {process.pid} on "), locked(tmp_path):
        pass
    process.kill()
    process.communicate()
    assert (
        (tmp_path / "run.lock").read_text(encoding="utf-8").startswith(f"process {process.pid} on ")
    )
    with locked(tmp_path):
        assert (
            (tmp_path / "run.lock")
            .read_text(encoding="utf-8")
            .startswith(f"process {os.getpid()} on ")
        )


# ---------------------------------------------------------------------------------------
# The end


FULL = "No space left"


def test_the_best_model_of_a_shorter_run_goes(tmp_path, monkeypatch):
    for name in ("best.keras", "best.safetensors"):
        (tmp_path / name).touch()
    monkeypatch.setattr(finishing, "write_model", lambda *arguments: None)
    run = finished_run(tmp_path, evaluation="photos")
    result = finishing.finish(run, None, None, SimpleNamespace(best=(4, 62.5)), 4, chief=True)
    assert result.to_dict() == {"step": 4, "finished": True, "best_top1": 62.5}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.png", "result.json"]


def finished_run(workdir, evaluation):
    recipe = SimpleNamespace(config=PoolFormerConfig())
    return SimpleNamespace(workdir=workdir, last_step=4, evaluation=evaluation, recipe=recipe)


@pytest.mark.parametrize(
    "error", [OSError(28, FULL), tf.errors.ResourceExhaustedError(None, None, FULL)]
)
def test_a_full_disk_at_the_end(error, tmp_path, monkeypatch):
    def write_model(*arguments):
        raise error

    monkeypatch.setattr(finishing, "write_model", write_model)
    run = finished_run(tmp_path, evaluation=None)
    message = f"results cannot be written to {tmp_path}: .*No space left.* rerun the same command"
    with pytest.raises(InputError, match=message):
        finishing.finish(run, None, None, None, 4, chief=True)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------
# What a `Run` takes


@pytest.fixture(scope="module")
def split(photo_folders):
    from keras_poolformer.data.splits.opening import open_splits

    return open_splits(photo_folders)[0]


def test_texts_and_paths_alike(split, tmp_path):
    from keras_poolformer.training.recipes import get_recipe

    run = Run("finetune", split, None, str(tmp_path), init=tmp_path / "x.pth", checkpoints=tmp_path)
    assert run.workdir == tmp_path
    assert run.recipe == get_recipe("finetune")
    assert (run.init, run.checkpoint_folder) == (f"{tmp_path}/x.pth", str(tmp_path))
    assert run.begun is False
    run.claim()
    assert (tmp_path / "run.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": "finetun"}, "Did you mean 'finetune'"),
        ({"recipe": 3}, "`recipe` must be a Recipe or the name of one. Received: 3"),
        ({"training": "photos"}, "`training` must be a Split, as open_splits returns it"),
        ({"evaluation": "photos"}, "`evaluation` must be a Split or None. Received: 'photos'"),
        ({"workdir": None}, "`workdir` must be the path of a folder. Received: None"),
        ({"init": 3}, "`init` must be a preset or a path, or None. Received: 3"),
        ({"checkpoints": 3}, "`checkpoints` must be a path, or None. Received: 3"),
        ({"seed": -1}, "`seed` must be a whole number, 0 to 2147483647. Received: -1"),
        ({"seed": 2**31}, "`seed` must be a whole number"),
        ({"seed": "1"}, "`seed` must be a whole number"),
        ({"max_steps": 0}, "`max_steps` must be a whole number, 1 to"),
    ],
)
def test_other_arguments_are_refused(arguments, message, split, tmp_path):
    values = {"recipe": "finetune", "training": split, "evaluation": None, "workdir": tmp_path}
    with pytest.raises(InputError) as raised:
        Run(**values | arguments)
    assert message in str(raised.value)


def test_patience_needs_an_evaluation(split, tmp_path):
    from keras_poolformer.training.recipes import get_recipe

    recipe = get_recipe("finetune").replace(patience=2)
    with pytest.raises(InputError, match="`patience` needs images to evaluate on"):
        Run(recipe, split, None, tmp_path)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[]", b"\xff\xfe", b"", b"\0\0"])
def test_a_run_that_cannot_be_read(text, split, tmp_path):
    path = tmp_path / "run.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=r"run\.json (is not (valid|usable) JSON|must )"):
        Run("finetune", split, None, tmp_path).claim()

"""What cannot be trained, or not go on, ends with one line that names it."""

import resource
import shutil

import pytest

from keras_poolformer.cli import main
from keras_poolformer.training.run_lock import locked
from tests.training import runs


@pytest.fixture
def train(tmp_path, capfd):
    """Runs `train` in this process; returns (status, last line of stderr)."""

    def train(data, *settings, options=()):
        capfd.readouterr()
        status = main(runs.arguments(data, tmp_path / "run", settings, options))
        lines = capfd.readouterr().err.strip().splitlines()
        return status, lines[-1] if lines else ""

    return train


@pytest.fixture
def refusal(train):
    """The message with which `train` ends."""

    def refusal(data, *settings, options=()):
        status, line = train(data, *settings, options=options)
        assert status == 2, line
        program, _, message = line.partition(": error: ")
        assert program == "keras-poolformer train"
        return message

    return refusal


@pytest.fixture
def broken_folders(photo_folders, tmp_path):
    """Class folders, two images of which are cut off."""
    root = tmp_path / "broken"
    shutil.copytree(photo_folders, root)
    for name in ("photo_0/3.png", "photo_2/7.png"):
        path = root / "train" / name
        path.write_bytes(path.read_bytes()[:500])
    return root


def test_broken_images_are_named_before_the_first_step(broken_folders, refusal, tmp_path):
    message = refusal(broken_folders)
    assert message.startswith(f"2 images of {broken_folders}/train cannot be read: ")
    assert "photo_0/3.png" in message and "photo_2/7.png" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_broken_images_are_named_in_the_midst_of_training(broken_folders, refusal, tmp_path):
    message = refusal(broken_folders, options=["--skip-validation"])
    assert "photo_0/3.png" in message and "photo_2/7.png" in message
    assert not (tmp_path / "run" / "model.keras").exists()


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        (["batch_size=64"], [], "`batch_size` must be at most the 48 images of"),
        (["held_out=48"], [], "1 to 47 can be held out. Received: 48"),
        (["learning_rate=1e30"], [], "the loss became NaN or infinite"),
        (["frozen=backbone"], ["--init", "nowhere.pth"], "nowhere.pth"),
        ([], ["--data-dir", "x"], "--data-dir goes with a tfds data set"),
    ],
)
def test_settings_that_do_not_fit(settings, options, message, photo_folders, refusal):
    assert message in refusal(photo_folders, *settings, options=options)


def test_data_that_are_not_there(tmp_path, refusal):
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in refusal(tmp_path / "empty")


@pytest.mark.slow
def test_another_training_in_the_folder(photo_folders, refusal, tmp_path):
    """It has its row of the log and its checkpoints for itself."""
    (tmp_path / "run").mkdir()
    with locked(tmp_path / "run"):
        message = refusal(photo_folders)
    assert message.startswith(f"{tmp_path}/run is in use by another training (process ")
    assert not (tmp_path / "run" / "log.csv").exists()


@pytest.mark.slow
def test_a_checkpoint_that_is_damaged(photo_folders, train, refusal, tmp_path):
    assert train(photo_folders, options=["--max-steps", "2"])[0] == 0
    last = tmp_path / "run" / "checkpoints" / "last"
    (data,) = last.glob("ckpt-2.data*")
    whole = data.read_bytes()
    for damaged in (whole[:1000], whole[:2000] + b"?" + whole[2001:], None):
        data.unlink() if damaged is None else data.write_bytes(damaged)
        message = refusal(photo_folders)
        assert message.startswith(f"{last}/ckpt-2 must be an intact checkpoint of this model")


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_checkpoint(photo_folders, train, refusal, tmp_path):
    """The kernel refuses files beyond a few kilobytes, which only the checkpoints are."""
    assert train(photo_folders, "save_every=2", options=["--max-steps", "2"])[0] == 0
    last = tmp_path / "run" / "checkpoints" / "last"
    before = {path.name: path.read_bytes() for path in last.glob("ckpt-2.*")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))
    try:
        message = refusal(photo_folders, "save_every=2", options=["--max-steps", "4"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert message.startswith(f"the checkpoint of step 4 cannot be written to {last.parent}: ")
    assert {path.name: path.read_bytes() for path in last.glob("ckpt-2.*")} == before
    status, line = train(photo_folders, "save_every=2", options=["--max-steps", "4"])
    assert status == 0, line
    assert len(runs.losses(tmp_path / "run")) == 4

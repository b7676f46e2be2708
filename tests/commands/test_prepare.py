"""`prepare`: from a folder of images to records, which training opens instead."""

import json
import os
import signal

import pytest
from PIL import Image

from tests.helpers import CIFAR10_PHOTOS


@pytest.fixture
def split_folders(data, tmp_path):
    """ROOT/train and ROOT/test, each with the shipped CIFAR-10 images."""
    root = tmp_path / "root"
    for name in ("train", "test"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(data)
    return root


def test_a_folder_becomes_records(split_folders, out, run):
    from keras_poolformer.data.splits.opening import open_splits

    status, printed, lines = run("prepare", split_folders, "-o", out / "records", "--shards", 3)
    assert (status, lines) == (0, [])
    first, training, evaluation = printed.splitlines()
    assert first == f"{out}/records: 9 classes, described by dataset.json"
    assert training.startswith("train       24 images in 3 files, 0.")
    assert evaluation.startswith("validation  24 images in 3 files, 0.")
    for split in open_splits(out / "records"):
        images = [one["image"] for one in split.stream().map(split.load).as_numpy_iterator()]
        assert sorted(images) == sorted(photo.read_bytes() for photo in CIFAR10_PHOTOS)


def test_the_report_is_the_description(data, out, run):
    status, printed, _ = run("prepare", data, "-o", out / "records", "--json")
    assert status == 0 and printed == (out / "records/dataset.json").read_text(encoding="utf-8")
    assert json.loads(printed)["splits"].keys() == {"train"}


def test_smaller_images(data, out, run, refusal):
    arguments = ("prepare", data, "-o", out / "records", "--short-side", 16, "--quality", 80)
    assert run(*arguments)[1].splitlines()[1] == (
        "larger images resized to a shorter side of 16 pixels, JPEG quality 80"
    )
    described = json.loads((out / "records/dataset.json").read_text(encoding="utf-8"))
    assert described["resized"] == {"max_side": None, "short_side": 16, "quality": 80}
    assert "quality" in refusal("prepare", data, "-o", out / "other", "--quality", 80)


def test_what_exists_is_kept_unless_asked_for(data, out, run, refusal):
    arguments = ("prepare", data, "-o", out / "records")
    assert run(*arguments)[0] == 0
    assert refusal(*arguments).startswith(f"{out}/records exists already")
    assert run(*arguments, "--overwrite", "--shards", 2)[0] == 0
    assert len(list((out / "records").iterdir())) == 3


def test_a_broken_image_leaves_nothing(data, out, refusal):
    photo = next(data.glob("*/*.png"))
    photo.write_bytes(photo.read_bytes()[:99])
    message = refusal("prepare", data, "-o", out / "records")
    assert message.startswith(f"1 image of {data} cannot be read: {photo} (")


def test_ctrl_c_leaves_nothing(data, out, run, monkeypatch):
    """Also where it arrives inside TensorFlow, which then swallows Python's exception."""
    monkeypatch.setattr(
        "keras_poolformer.support.progress.Progress.advance",
        lambda self, done, total: os.kill(os.getpid(), signal.SIGINT) if done == 3 else None,
    )
    status, printed, lines = run("prepare", data, "-o", out / "records")
    assert (status, printed, lines) == (130, "", ["keras-poolformer prepare: interrupted"])
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("data", "the output must be another path than the data"),
        ("missing/records", "is not an existing folder"),
        ("zz://records", "zz://records cannot be written: File system scheme 'zz' not implemented"),
    ],
)
def test_outputs_that_are_refused(output, message, data, tmp_path, refusal):
    path = output if "://" in output else tmp_path / output
    assert message in refusal("prepare", data, "-o", path, "--overwrite")


def test_data_that_are_refused(out, data, refusal):
    assert "Received: no such folder" in refusal("prepare", "./no/such", "-o", out / "x")
    assert "--data-dir goes with" in refusal("prepare", data, "--data-dir", out, "-o", out / "x")


@pytest.fixture
def masked_folder(tmp_path):
    """ROOT/images and ROOT/masks, whose labels are 1 and 2."""
    for folder, mode, colors in (("images", "RGB", ("red", "blue")), ("masks", "L", (1, 2))):
        (tmp_path / "root" / folder).mkdir(parents=True)
        for number, color in enumerate(colors):
            Image.new(mode, (6, 5), color).save(tmp_path / "root" / folder / f"{number}.png")
    return tmp_path / "root"


def test_images_with_masks_become_records(masked_folder, out, run, refusal):
    from keras_poolformer.data.splits.opening import open_masked_splits

    arguments = ("prepare", masked_folder, "-o", out / "records")
    labels = masked_folder / "labels.txt"
    assert f"write them to {labels}" in refusal(*arguments)
    labels.write_text("sky\nsea\n", encoding="utf-8", newline="\n")
    message = refusal(*arguments)
    assert f"{masked_folder}/masks/1.png has 2" in message and "reduce_zero_label" in message
    arguments += ("--reduce-zero-label", "--labels", labels)
    status, printed, _ = run(*arguments)
    assert status == 0 and printed.startswith(f"{out}/records: 2 classes, described by")
    split, _ = open_masked_splits(out / "records")
    assert (split.class_names, split.target.reduce_zero_label) == (("sky", "sea"), True)
    stored = {one["mask"] for one in split.stream().map(split.load).as_numpy_iterator()}
    assert stored == {path.read_bytes() for path in (masked_folder / "masks").iterdir()}
    # Records of records are of masks too.
    assert run("prepare", out / "records", "-o", out / "again")[0] == 0
    assert open_masked_splits(out / "again")[0].target == split.target

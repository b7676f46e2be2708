"""Validation: every broken example is named before training reads it."""

import re
import shutil

import pytest
import tensorflow as tf

from keras_poolformer.data.splits.opening import open_splits
from keras_poolformer.data.splits.validation import name_broken, validate
from keras_poolformer.support.errors import InputError


@pytest.fixture
def broken(tmp_path, photographs, write_folder):
    """Thirty images, of which these are broken: cut, empty, text, gone."""
    jpeg = photographs[0].read_bytes()
    write_folder(tmp_path, {f"{'ab'[n % 2]}/{n:02}.png": n for n in range(30)})
    write_folder(tmp_path, {"a/00.png": jpeg[: len(jpeg) // 2], "a/04.png": b"", "b/05.png": b"x"})
    write_folder(tmp_path, {"a/40.jpg": jpeg})
    splits = open_splits(tmp_path)
    (tmp_path / "b/07.png").unlink()
    return splits[0]


@pytest.mark.first(1)
@pytest.mark.parametrize("kind", ["folder", "tfds", "records"])
def test_what_can_be_read_passes(kind, open_kind):
    for split in open_kind(kind):
        calls = []
        validate(split, lambda *call, calls=calls: calls.append(call))
        assert calls[-1] == (split.num_examples, split.num_examples)
        assert calls == sorted(calls)
        assert name_broken(split) is None


def test_every_broken_file_is_named(broken):
    root = broken.name
    with pytest.raises(InputError) as raised:
        validate(broken)
    message = str(raised.value)
    names = ", ".join(f"{root}/{name}.png" for name in ("a/00", "a/04", "b/05", "b/07"))
    assert message.startswith(f"4 images of {root} cannot be read: {names} (")
    assert "\n" not in message and "{{" not in message and "[Op" not in message
    assert str(name_broken(broken, tf.errors.InvalidArgumentError(None, None, "x"))) == message


@pytest.mark.slow
def test_each_host_reads_its_share(broken):
    found = set()
    for index in range(3):
        try:
            validate(broken, shard=(index, 3))
        except InputError as error:
            found |= set(re.findall(r"[ab]/\d\d", str(error)))
    assert found == {"a/00", "a/04", "b/05", "b/07"}


def test_many_broken_files_are_counted(tmp_path, write_folder):
    write_folder(tmp_path, {f"a/{number:02}.png": b"x" for number in range(50)})
    with pytest.raises(InputError) as raised:
        validate(open_splits(tmp_path)[0])
    assert str(raised.value).startswith(f"50 images of {tmp_path} cannot be read: ")
    named = str(raised.value).count(".png")
    assert 10 < named <= 20  # as many as one line of a terminal's error has room for
    assert f"{named - 1:02}.png and {50 - named} more (" in str(raised.value)


def test_the_reason_is_told(tmp_path, write_folder):
    write_folder(tmp_path, {"a/1.tif": b"II*\x00nothing", "a/2.png": 2})
    with pytest.raises(InputError, match=r"1 image of .*1.tif \(.*cannot be read as an image"):
        validate(open_splits(tmp_path)[0])


@pytest.mark.slow
def test_labels_out_of_range(store_tfds):
    file = tf.io.encode_png(tf.zeros((2, 2, 3), tf.uint8)).numpy()
    pairs = [(file, 0), (file, 2), (file, -1), (b"\x89PNG nothing", 1), (file, -1)]
    training, _ = open_splits("numbers", store_tfds({"train": pairs}))
    with pytest.raises(InputError) as raised:
        validate(training)
    assert str(raised.value).startswith("1 image of numbers train cannot be read: example 3 of")
    assert str(raised.value).endswith(
        "; 2 labels of numbers train must be 0 to 2: example 2 of numbers train has -1, "
        "example 4 of numbers train has -1"
    )
    assert name_broken(training.held_out(2)[1]) is None
    assert "example 3 of numbers train" in str(name_broken(training.held_out(2)[0]))


def test_damaged_files_of_tfds(tfds_of_numbers, tmp_path):
    folder = shutil.copytree(tfds_of_numbers, tmp_path / "copy")
    record = sorted(folder.glob("numbers/1.0.0/*train.tfrecord*"))[3]
    content = bytearray(record.read_bytes())
    content[len(content) // 2] ^= 1
    record.write_bytes(content)
    training, _ = open_splits("numbers", folder)
    with pytest.raises(InputError, match="numbers train cannot be read: corrupted record"):
        validate(training)


@pytest.mark.parametrize("error", [tf.errors.UnavailableError, tf.errors.CancelledError])
def test_errors_of_the_network_are_not_looked_for_in_images(error, broken, monkeypatch):
    monkeypatch.setattr(type(broken), "stream", None)
    assert name_broken(broken, error(None, None, "peer is gone")) is None


def test_progress_reaches_the_end_of_a_share(open_kind):
    calls = []
    validate(open_kind("records")[0], lambda *call: calls.append(call), (1, 2))
    assert calls[-1] == (49, 49)

"""Pipes, devices and directories where a file should be: rejected at once, never waited for."""

import os
import shutil
import signal

import pytest

from keras_poolformer import ImageTransform, PoolFormerImageClassifier
from keras_poolformer.labels import read_labels
from keras_poolformer.runtime.description import read_description
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.json_files import read_json
from keras_poolformer.support.regular_files import open_regular

KINDS = ("pipe", "endless", "directory", "broken link", "link to a pipe")


def put(kind, path):
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "directory":
        path.mkdir()
    else:
        target = path.with_name(f"{path.name}.elsewhere")
        path.symlink_to(target)
        if kind == "link to a pipe":
            os.mkfifo(target)


@pytest.fixture(autouse=True)
def no_waiting():
    """Ends a test that hangs."""

    def give_up(*_):
        raise TimeoutError("the reader waits")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def preset_folder(archive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("special") / "preset"
    PoolFormerImageClassifier.from_preset(archive).save_to_preset(folder)
    return folder


@pytest.fixture
def sources(archive, hub, preset_folder, tmp_path):
    """Sources of every kind, and the file of each that is put in the way."""
    shutil.copytree(preset_folder, tmp_path / "preset")
    shutil.copytree(hub / "labelled", tmp_path / "hf")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text("{}", encoding="utf-8", newline="\n")
    shutil.copy(archive, tmp_path / "run/model.keras")
    return {
        tmp_path / "x.keras": tmp_path / "x.keras",
        tmp_path / "x.safetensors": tmp_path / "x.safetensors",
        tmp_path / "preset": tmp_path / "preset/model.keras",
        tmp_path / "run": tmp_path / "run/model.keras",
        tmp_path / "hf": tmp_path / "hf/config.json",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_no_source_is_waited_for(kind, sources):
    for source, file in sources.items():
        put(kind, file)
        for read in (PoolFormerImageClassifier.from_preset, ImageTransform.from_preset):
            if kind == "broken link" and file.name == "config.json":
                continue  # as if it were not there
            with pytest.raises(InputError) as caught:
                read(source)
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("read", [open_regular, read_json, read_description, read_labels])
def test_no_reader_waits(read, kind, tmp_path):
    put(kind, tmp_path / "x.json")
    if kind == "directory" and read is read_description:
        assert read(tmp_path / "x.json") is None  # of a SavedModel without a description
        return
    with pytest.raises(InputError, match=r"x\.json"):
        read(tmp_path / "x.json")


def test_a_link_to_a_file_is_followed(tmp_path):
    """As in huggingface_hub's cache."""
    (tmp_path / "blob").write_text('{"a": 1}', encoding="utf-8", newline="\n")
    (tmp_path / "x.json").symlink_to("blob")
    assert read_json(tmp_path / "x.json") == {"a": 1}


def test_a_path_that_no_file_can_have():
    for path in ("a\0b", "x" * 5000):
        with pytest.raises(InputError):
            read_json(path)
        with pytest.raises(InputError):
            PoolFormerImageClassifier.from_preset(path)

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from keras_poolformer.checkpoints.writers import TORCH_FOLDER
from keras_poolformer.data.splits.record_description import RECORDS
from keras_poolformer.export.recipes import SAVED_MODEL
from keras_poolformer.sources.preset_folder import PRESET_FOLDER
from keras_poolformer.support import files, renaming
from keras_poolformer.support.errors import InputError, OutputError
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.support.output_folders import OutputFolder
from tests.helpers import posix

FOLDER = OutputFolder("a folder of tests", ("model", "part/*.txt"), markers=("model",))
# A process that is killed while it writes an output: argument 1, with the folder's kind.
WRITER = """
import sys, time
from keras_poolformer.support.files import replacing
with replacing(sys.argv[1], overwrite=True) as written:
    written.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["exchanged in one step", "moved aside"])
def replacement(request, monkeypatch):
    """Both ways to replace an output: not every file system can exchange two paths."""
    if request.param == "moved aside":
        monkeypatch.setattr(files, "swap", lambda *_: False)


@pytest.fixture(params=["linked", "without hard links"])
def links(request, monkeypatch):
    def link(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    if request.param == "without hard links":
        monkeypatch.setattr(renaming.os, "link", link)


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def write(path, content="new", overwrite=False, folder=None):
    with replacing(path, overwrite, folder) as written:
        if folder:
            written.mkdir()
            written = written / "model"
        written.write_text(content, encoding="utf-8", newline="\n")


# ---------------------------------------------------------------------------------------
# Whole or not there


@pytest.mark.usefixtures("links")
def test_a_file_appears_whole(tmp_path):
    with replacing(tmp_path / "out.txt", overwrite=False) as written:
        written.write_text("new", encoding="utf-8", newline="\n")
        assert not (tmp_path / "out.txt").exists()
        assert written.name == "out.txt"
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("folder", [None, FOLDER])
def test_a_failure_leaves_the_old_output(tmp_path, folder):
    write(tmp_path / "out", "old", folder=folder)
    with (
        pytest.raises(OutputError, match="out cannot be written: disk full"),
        replacing(tmp_path / "out", True, folder) as written,
    ):
        written.write_text("half", encoding="utf-8", newline="\n")
        raise OSError(errno.ENOSPC, "disk full")
    assert (tmp_path / "out" / "model" if folder else tmp_path / "out").read_text(
        encoding="utf-8"
    ) == "old"
    assert names(tmp_path) == ["out"]


@pytest.mark.usefixtures("replacement")
@pytest.mark.parametrize("folder", [None, FOLDER])
def test_an_output_is_replaced_on_request(tmp_path, folder):
    for content in ("old", "new"):
        write(tmp_path / "out", content, True, folder)
    assert (tmp_path / "out" / "model" if folder else tmp_path / "out").read_text(
        encoding="utf-8"
    ) == "new"
    with pytest.raises(InputError, match=r"exists already: .* --overwrite"):
        write(tmp_path / "out", "newest", False, folder)
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["old", "new", "replaced", "keras_poolformer.lock", "x" * 255])
def test_any_name_is_an_outputs(name, tmp_path):
    for content in ("old", "new"):
        write(tmp_path / name, content, True, FOLDER)
    assert (tmp_path / name / "model").read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == [name] and names(tmp_path / name) == ["model"]


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_follow_the_umask(umask, tmp_path):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "out", False, SAVED_MODEL) as written:
            written.mkdir()
            for name in ("saved_model.pb", "private"):
                (written / name).touch(0o600 if name == "private" else 0o666)
            (written / "variables").mkdir(0o700)
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in (
        "", "variables", "saved_model.pb", "private")}  # fmt: skip
    folder, file = 0o777 & ~umask, 0o666 & ~umask
    assert modes == {"": folder, "variables": folder, "saved_model.pb": file, "private": file}


# ---------------------------------------------------------------------------------------
# What is never replaced


def foreign_outputs(folder):
    """{kind: path} of what no command may replace by a file."""
    paths = {kind: folder / kind for kind in ("folder", "link", "link to a folder", "pipe")}
    paths["folder"].mkdir()
    (folder / "target").touch()
    (folder / "home").mkdir()
    paths["link"].symlink_to(folder / "target")
    paths["link to a folder"].symlink_to(folder / "home")
    os.mkfifo(paths["pipe"])
    return paths | {"device": Path("/dev/null")}


@posix
@pytest.mark.parametrize("folder", [None, FOLDER])
def test_links_devices_and_folders_stay(tmp_path, folder):
    paths = foreign_outputs(tmp_path)
    (tmp_path / "folder" / "notes.txt").touch()
    before = names(tmp_path)
    for kind, path in paths.items():
        with pytest.raises(InputError, match=rf"{path} cannot be overwritten: only a "):
            write(path, overwrite=True, folder=folder)
        assert os.path.lexists(path), kind
    assert names(tmp_path) == before and names(tmp_path / "folder") == ["notes.txt"]


@pytest.mark.parametrize(
    "added", ["notes.txt", ".git/HEAD", "part/picture.png", "part/deeper/a.txt", ".ssh/"]
)
def test_a_folder_with_anything_else_stays(added, tmp_path):
    write(tmp_path / "out", folder=FOLDER)
    path = tmp_path / "out" / added
    path.parent.mkdir(exist_ok=True, parents=True)
    path.mkdir() if added.endswith("/") else path.touch()
    first = added.split("/")[0]
    with pytest.raises(InputError, match=rf"with nothing else in it. Received: '{first}.*' in it"):
        write(tmp_path / "out", "newer", True, FOLDER)
    assert (tmp_path / "out" / "model").read_text(encoding="utf-8") == "new" and path.exists()


@posix
def test_links_in_a_folder_are_not_ours(tmp_path):
    write(tmp_path / "out", folder=FOLDER)
    (tmp_path / "out" / "part").symlink_to(tmp_path)
    with pytest.raises(InputError, match="Received: 'part' in it"):
        write(tmp_path / "out", folder=FOLDER, overwrite=True)
    assert names(tmp_path / "out") == ["model", "part"]


@pytest.mark.parametrize(
    ("folder", "files", "difference"),
    [
        (PRESET_FOLDER, ["model.keras", "keras_poolformer.json"], ""),
        (PRESET_FOLDER, ["model.keras"], "a folder without keras_poolformer.json"),
        (TORCH_FOLDER, ["model.safetensors", "config.json"], ""),
        (TORCH_FOLDER, ["config.json"], "a folder without model.safetensors"),
        (RECORDS, ["dataset.json", "train-00000-of-00001.tfrecord"], ""),
        (RECORDS, ["train-00000-of-00001.tfrecord"], "a folder without dataset.json"),
        (RECORDS, ["dataset.json", "mine.tfrecord"], "'mine.tfrecord' in it"),
        (SAVED_MODEL, ["saved_model.pb"], "without assets.extra/keras_poolformer.json"),
        (SAVED_MODEL, [], ""),
    ],
)
def test_kinds_of_folders(folder, files, difference, tmp_path):
    for file in files:
        (tmp_path / file).touch()
    found = folder.difference(tmp_path)
    assert found.endswith(difference) if difference else not found


@pytest.mark.usefixtures("replacement")
def test_the_check_is_made_again_at_the_replacement(tmp_path):
    write(tmp_path / "out", "old", folder=FOLDER)
    with (
        pytest.raises(InputError, match=r"Received: 'thesis.tex' in it"),
        replacing(tmp_path / "out", True, FOLDER) as written,
    ):
        written.mkdir()
        (tmp_path / "out" / "thesis.tex").write_text(
            "years of work", encoding="utf-8", newline="\n"
        )
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["model", "thesis.tex"]


@pytest.mark.parametrize("changed", ["between check and exchange", "between check and move"])
def test_what_comes_after_the_last_check_is_put_back(changed, tmp_path, monkeypatch):
    """A file that appears in the moment of the replacement, which no check can foresee."""
    real_swap, calls = renaming.swap, []

    def swap(first, second):
        calls.append(first)
        if len(calls) == 1:
            (tmp_path / "out" / "thesis.tex").write_text(
                "years of work", encoding="utf-8", newline="\n"
            )
        return real_swap(first, second) if changed == "between check and exchange" else False

    write(tmp_path / "out", "old", folder=FOLDER)
    monkeypatch.setattr(files, "swap", swap)
    with pytest.raises(InputError, match="thesis"):
        write(tmp_path / "out", "new", True, FOLDER)
    assert names(tmp_path) == ["out"] and names(tmp_path / "out") == ["model", "thesis.tex"]
    assert (tmp_path / "out" / "model").read_text(encoding="utf-8") == "old"


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("folder", [None, FOLDER])
def test_the_first_of_two_writers_wins(tmp_path, folder):
    with (
        pytest.raises(InputError, match="exists already"),
        replacing(tmp_path / "out", False, folder) as written,
    ):
        written.mkdir() if folder else written.write_text("second", encoding="utf-8", newline="\n")
        write(tmp_path / "out", "first", folder=folder)
    assert (tmp_path / "out" / "model" if folder else tmp_path / "out").read_text(
        encoding="utf-8"
    ) == "first"
    assert names(tmp_path) == ["out"]


def test_places_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for path, message in (
        (tmp_path / "a" / "b", "not an existing folder"),
        (tmp_path / "file" / "b", "not an existing folder"),
        (tmp_path / ("ü" * 300), "File name too long"),
        (tmp_path / "a\0b", "null"),
        ("/", "give the name of the output itself"),
    ):
        with pytest.raises(InputError, match=message):
            refuse_existing(path, overwrite=True)
    monkeypatch.chdir(tmp_path / "..")
    with pytest.raises(InputError, match="give the name of the output itself"):
        refuse_existing("..", overwrite=True, folder=FOLDER)


# ---------------------------------------------------------------------------------------
# Errors of libraries


def test_errors_name_the_output(tmp_path):
    from safetensors import SafetensorError

    with (
        pytest.raises(OutputError, match="x cannot be written: No space left"),
        replacing(tmp_path / "x", overwrite=False),
    ):
        raise SafetensorError("No space left on device (os error 28)")
    with (
        pytest.raises(OutputError, match=r"x cannot be written: No such file or directory$"),
        replacing(tmp_path / "x", overwrite=False) as written,
    ):
        (written / "part").write_text(
            "in a folder that nobody made", encoding="utf-8", newline="\n"
        )
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "x", overwrite=False):
        (tmp_path / "picture.png").read_bytes()  # an error about another file stays itself
    assert names(tmp_path) == []


# ---------------------------------------------------------------------------------------
# Processes that are killed


def killed_writer(path):
    """Runs a process until it writes `path`, and kills it."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout.readline() == b"writing\n"
        process.kill()


def test_what_a_killed_process_left_is_removed(tmp_path):
    path = tmp_path / "out"
    killed_writer(path)
    (left,) = names(tmp_path)
    for foreign in (f".other{left[4:]}", ".out.notes.partial", ".out.abcdefgh"):
        (tmp_path / foreign).mkdir()
        (tmp_path / foreign / "keras_poolformer.lock").touch()
    (tmp_path / ".out.12345678.partial").mkdir()
    (tmp_path / ".out.12345678.partial" / "thesis.tex").touch()
    with replacing(path, overwrite=False) as written:  # whose folder is in use, and stays
        write(path)
        written.write_text("second", encoding="utf-8", newline="\n")
        assert left not in names(tmp_path)
        path.unlink()
    assert path.read_text(encoding="utf-8") == "second"
    assert names(tmp_path) == sorted([
        "out", ".out.12345678.partial", f".other{left[4:]}", ".out.notes.partial", ".out.abcdefgh"
    ])  # fmt: skip


def test_an_output_that_was_moved_aside_is_put_back(tmp_path):
    killed_writer(tmp_path / "out")
    (left,) = tmp_path.iterdir()
    (left / "old").mkdir()
    (left / "old" / "model").write_text("old", encoding="utf-8", newline="\n")
    with pytest.raises(InputError, match="exists already"):
        write(tmp_path / "out")
    assert (tmp_path / "out" / "model").read_text(encoding="utf-8") == "old" and names(
        tmp_path
    ) == ["out"]

import errno

import pytest

from keras_poolformer.errors import InputError
from keras_poolformer.files import replacing


def test_a_file_appears_whole(tmp_path):
    with replacing(tmp_path / "out.txt") as written:
        written.write_text("new")
        assert not (tmp_path / "out.txt").exists()
        assert written.suffix == ".txt"
    assert (tmp_path / "out.txt").read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["out.txt"]


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_failure_leaves_the_old_output(tmp_path, as_folder):
    old = tmp_path / "out"
    if as_folder:
        old.mkdir()
        (old / "inside").write_text("old")
    else:
        old.write_text("old")
    with pytest.raises(OSError, match="full"), replacing(old) as written:
        written.write_text("half")
        raise OSError(errno.ENOSPC, "disk full")
    assert (old / "inside" if as_folder else old).read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_a_folder_replaces_a_folder(tmp_path):
    for content in ("old", "new"):
        with replacing(tmp_path / "out") as written:
            written.mkdir()
            (written / content).touch()
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["new"]


def test_refusals(tmp_path):
    (tmp_path / "out").write_text("old")
    with pytest.raises(InputError, match="exists already"), replacing(tmp_path / "out", False):
        pass
    with pytest.raises(InputError, match="not an existing folder"), replacing(tmp_path / "a" / "b"):
        pass

"""What Windows and macOS lack: the package works without it, tried here by taking it away."""

import ast
import errno
import importlib
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from keras_poolformer.support import file_locks, interruptions, patterns, renaming, staging
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import replacing
from keras_poolformer.support.interruptions import Interrupted, interruptible, stop_requested
from tests.helpers import ROOT, posix


class Msvcrt:
    """Windows' locks: of bytes, which belong to a descriptor."""

    LK_NBLCK = 2

    def __init__(self):
        self.holders = {}

    def locking(self, descriptor, mode, count):
        """Locks bytes of a file from the descriptor's position on, as msvcrt.locking does."""
        assert (mode, count) == (self.LK_NBLCK, 1)
        file = os.fstat(descriptor).st_ino, os.lseek(descriptor, 0, os.SEEK_CUR)
        if self.holders.setdefault(file, descriptor) != descriptor:
            raise PermissionError(errno.EACCES, "Permission denied")


@pytest.fixture
def msvcrt(monkeypatch):
    """`file_locks` as it is on Windows, where fcntl is missing."""
    fake = Msvcrt()
    monkeypatch.setitem(sys.modules, "msvcrt", fake)
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "fcntl", None)
        importlib.reload(file_locks)
    monkeypatch.setattr(staging, "try_lock", file_locks.try_lock)
    yield fake
    importlib.reload(file_locks)


def test_windows_locks_a_byte_that_holds_nothing(msvcrt, tmp_path):
    path = tmp_path / "lock"
    path.write_bytes(b"holder")
    with path.open("r+b") as first, path.open("r+b") as second:
        assert file_locks.try_lock(first.fileno())
        assert file_locks.try_lock(second.fileno()) is False
        assert [position for _, position in msvcrt.holders] == [2**30]
    assert path.read_bytes() == b"holder"


def test_a_run_is_locked_on_windows(msvcrt, monkeypatch, tmp_path):
    from keras_poolformer.training import run_lock

    monkeypatch.setattr(run_lock, "try_lock", file_locks.try_lock)
    with (
        run_lock.locked(tmp_path),
        pytest.raises(InputError, match=f"process {os.getpid()} on "),
        run_lock.locked(tmp_path),
    ):
        pass
    assert msvcrt.holders


@posix
def test_other_failures_to_lock_are_errors(monkeypatch, tmp_path):
    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(file_locks, "fcntl", SimpleNamespace(flock=flock, LOCK_EX=2, LOCK_NB=4))
    with (tmp_path / "lock").open("wb") as file:
        code = errno.ENOLCK
        assert file_locks.try_lock(file.fileno()) is None
        code = errno.EIO
        with pytest.raises(OSError, match="Input/output"):
            file_locks.try_lock(file.fileno())


def test_an_output_is_written_where_open_files_cannot_be_deleted(msvcrt, monkeypatch, tmp_path):
    """As on Windows, where the lock itself can be deleted only once it is released."""
    opened = set()
    real_open, real_close, real_unlink = os.open, os.close, Path.unlink

    def keep(path, *arguments, **options):
        descriptor = real_open(path, *arguments, **options)
        opened.add((str(path), descriptor))
        return descriptor

    def close(descriptor):
        opened.difference_update([entry for entry in opened if entry[1] == descriptor])
        real_close(descriptor)

    def unlink(path, *arguments, **options):
        if any(name == str(path) for name, _ in opened):
            raise PermissionError(errno.EACCES, "in use")
        real_unlink(path, *arguments, **options)

    monkeypatch.setattr(staging.os, "open", keep)
    monkeypatch.setattr(staging.os, "close", close)
    monkeypatch.setattr(Path, "unlink", unlink)
    with replacing(tmp_path / "out.txt", overwrite=False) as written:
        written.write_text("new", encoding="utf-8", newline="\n")
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


@posix
def test_staging_needs_no_flag_of_posix(monkeypatch):
    monkeypatch.delattr(os, "O_NOFOLLOW")
    monkeypatch.delattr(os, "O_CLOEXEC")
    source = Path(staging.__file__).read_text(encoding="utf-8")
    exec(compile(source, staging.__file__, "exec"), {"__name__": staging.__name__})


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_rename_that_refuses_what_exists_needs_no_claim(kind, monkeypatch, tmp_path):
    """Windows' own renaming never overwrites; a folder that claims the path would be in its way."""

    def rename(source, target):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "File exists", str(target))
        source.replace(target)

    monkeypatch.setattr(renaming, "_RENAME_REFUSES_EXISTING", True)
    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.delattr(os, "link")
    for name in ("first", "second"):
        (tmp_path / name).mkdir() if kind == "folder" else (tmp_path / name).touch()
    renaming.move_to_free(tmp_path / "first", tmp_path / "free")
    with pytest.raises(FileExistsError):
        renaming.move_to_free(tmp_path / "second", tmp_path / "free")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["free", "second"]


@posix
def test_signals_that_do_not_exist(monkeypatch):
    monkeypatch.delattr(signal, "SIGHUP")
    with pytest.raises(Interrupted) as caught, interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.number == signal.SIGTERM


@posix
def test_ctrl_break_asks_as_sigterm_does(monkeypatch):
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    with stop_requested() as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.is_set()
    with pytest.raises(Interrupted), interruptible():
        os.kill(os.getpid(), signal.SIGUSR1)
    assert interruptions.received() is None


def test_a_folder_of_patterns_without_links_is_an_error(monkeypatch, tmp_path):
    def symlink_to(*_):
        raise OSError(errno.EPERM, "A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", symlink_to)
    with patterns.without_patterns(tmp_path) as folder:
        assert folder == tmp_path.as_posix()
    with (
        pytest.raises(InputError, match=r"lr=\[1\] must not contain .* required privilege"),
        patterns.without_patterns(tmp_path / "lr=[1]"),
    ):
        pass


# ---------------------------------------------------------------------------------------
# Text

SOURCES = [
    path
    for folder in (
        "keras_poolformer",
        "conversion",
        "benchmarks",
        "docs/site",
        "notebooks",
        "tests",
        "web",
    )
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "node_modules" not in path.parts
]
# Positions of the encoding in calls of `Path`'s methods.
_ENCODING = {"read_text": 0, "write_text": 1, "open": 2}


def _calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            yield getattr(function, "attr", getattr(function, "id", "")), node


def _position(name, call):
    """Position of the encoding among a call's arguments."""
    return 3 if name == "open" and isinstance(call.func, ast.Name) else _ENCODING[name]


def _mode(call):
    """Mode of a call of `open`, as its source has it."""
    named = [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    builtin = isinstance(call.func, ast.Name)
    return ast.unparse([*named, *call.args[builtin : builtin + 1], ast.Constant("r")][0])


def _is_text(name, call):
    """Whether a call opens a file as text: `open` does unless its mode says otherwise."""
    if name != "open":
        return name in _ENCODING
    owner = ast.unparse(getattr(call.func, "value", ast.Constant("")))
    others = owner in {"os", "Image", "tarfile"} or owner.endswith("_archive")
    return not others and "b" not in _mode(call)


def _writes(name, call):
    return name == "write_text" or (name == "open" and _mode(call)[1] in "wax")


def _faults(source):
    """Lines that would read or write text differently on another system."""
    for name, call in _calls(ast.parse(source)):
        if not _is_text(name, call):
            continue
        keywords = {keyword.arg for keyword in call.keywords}
        if "encoding" not in keywords and len(call.args) <= _position(name, call):
            yield call.lineno, f"{name} without an encoding"
        if _writes(name, call) and "newline" not in keywords:
            yield call.lineno, f"{name} without a newline"


def test_text_is_the_same_everywhere():
    """Windows would read and write its own encoding, and end lines in another way."""
    faults = [
        f"{path.relative_to(ROOT)}:{line}: {fault}"
        for path in SOURCES
        for line, fault in _faults(path.read_text(encoding="utf-8"))
    ]
    assert faults == []


@pytest.mark.parametrize(
    "line, faults",
    [
        ('path.read_text(encoding="utf-8")', 0),
        ("path.read_text()", 1),
        ('path.write_text(text, "utf-8")', 1),
        ("path.write_text(text)", 2),
        ('path.open("rb")', 0),
        ('open(path, "w")', 2),
        ('path.open("w", encoding="utf-8", newline="")', 0),
    ],
)
def test_the_check_of_text_finds_faults(line, faults):
    assert len(list(_faults(line))) == faults

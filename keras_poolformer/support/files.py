"""Atomic writes: outputs are complete or absent, and replace only what may be replaced."""

import contextlib
import os
import shutil
import stat
import sys
from collections.abc import Generator
from pathlib import Path

from keras_poolformer.support.errors import InputError, OutputError
from keras_poolformer.support.interruptions import raise_if_interrupted
from keras_poolformer.support.messages import one_line
from keras_poolformer.support.output_folders import OutputFolder
from keras_poolformer.support.renaming import move_to_free, swap
from keras_poolformer.support.staging import OLD, is_staged, staging_folder

# Errors that libraries raise when a file cannot be written, by the module that defines them.
_LIBRARY_ERRORS = {
    "safetensors": "SafetensorError",
    "tensorflow.python.framework.errors_impl": "OpError",
}


def size_of(path: str | os.PathLike[str]) -> int:
    """Returns the size in bytes of a file, or of all files in a directory."""
    path = Path(path)
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def existing_error(path: str | os.PathLike[str]) -> InputError:
    """Returns the error for an output that exists, which says how to overwrite it."""
    return InputError(
        f"{path} exists already: choose another path, or overwrite it with --overwrite "
        f"(overwrite=True in Python)"
    )


def refuse_existing(
    path: str | os.PathLike[str], overwrite: bool, folder: OutputFolder | None = None
) -> None:
    """Checks, before any work is done, that an output can be written.

    Args:
        path: Path of the output.
        overwrite: Whether an existing output may be replaced.
        folder: Kind of folder to write, or None for a file. A file replaces only a regular
            file, a folder only a folder of its kind without other files.

    Raises:
        InputError: The path exists and may not be replaced, or its parent is not a folder.
    """
    place = _absolute(path)
    if _exists(place):
        if not overwrite:
            raise existing_error(path)
        _check_replaceable(place, path, folder)
    elif not place.parent.is_dir():
        raise InputError(f"{path} cannot be written: {place.parent} is not an existing folder")


@contextlib.contextmanager
def replacing(
    path: str | os.PathLike[str], overwrite: bool, folder: OutputFolder | None = None
) -> Generator[Path, None, None]:
    """Yields a path to write to, which becomes `path` only if the block ends without an error.

    Until then the block's file or folder stays in a temporary folder next to `path`, so that a
    crash or a full disk leaves an old `path` untouched. Whether that may be replaced is checked
    again at the moment of the replacement, and of two processes that write the same output
    without `overwrite` one wins. All files get the modes that the umask implies. The temporary
    path has the same name as `path`.

    Args:
        path: Path of the output.
        overwrite: Whether an existing output may be replaced.
        folder: Kind of folder to write, or None for a file. A file replaces only a regular
            file, a folder only a folder of its kind without other files.

    Raises:
        InputError: The path exists and may not be replaced, or its parent is not a folder.
        OutputError: The output cannot be written, as on a full disk.
    """
    refuse_existing(path, overwrite, folder)
    place = _absolute(path)
    with _write_errors_named(path, place), staging_folder(place) as staging:
        written = staging.folder / "new" / place.name
        written.parent.mkdir()
        yield written
        raise_if_interrupted()
        _apply_mode(written, staging.mode)
        if overwrite and _exists(place):
            _replace(written, place, path, folder)
            return
        try:
            move_to_free(written, place)
        except FileExistsError:
            raise existing_error(path) from None


def _absolute(path: str | os.PathLike[str]) -> Path:
    place = Path(path).absolute()  # "." has no name
    if place.name in ("", ".."):
        raise InputError(f"{path} cannot be written: give the name of the output itself")
    return place


def _exists(place: Path) -> bool:
    """Whether a path exists, even as a dangling link; an impossible name is an error."""
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:  # too long, a null byte, no permission
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{one_line(place, 300)} cannot be written: {reason}") from None
    return True


def _check_replaceable(
    found: Path, path: str | os.PathLike[str], folder: OutputFolder | None
) -> None:
    """Raises InputError unless an output `path` of this kind may replace what was found."""
    if folder is None:
        allowed = "only a regular file is replaced"
        problem = "" if stat.S_ISREG(found.lstat().st_mode) else _kind(found)
    else:
        allowed = f"only {folder.kind} is replaced, with nothing else in it"
        problem = _kind(found)
        if problem == "a folder":
            problem = folder.difference(found)
    if problem:
        raise InputError(
            f"{path} cannot be overwritten: {allowed}. Received: {problem}; choose another path"
        )


def _kind(found: Path) -> str:
    mode = found.lstat().st_mode
    if stat.S_ISLNK(mode):
        return "a link"
    if stat.S_ISDIR(mode):
        return "a mount point" if found.is_mount() else "a folder"
    return "a file" if stat.S_ISREG(mode) else "a device, pipe or socket"


def _replace(
    written: Path, place: Path, path: str | os.PathLike[str], folder: OutputFolder | None
) -> None:
    """Replaces an old output, which is checked again once nobody else can change it."""
    _check_replaceable(place, path, folder)
    if swap(written, place):
        try:
            _check_replaceable(written, path, folder)
        except InputError:
            swap(written, place)
            raise
        return
    if folder is None:
        written.replace(place)
        return
    old = written.parents[1] / OLD
    shutil.move(place, old)
    try:
        _check_replaceable(old, path, folder)
        move_to_free(written, place)
    except BaseException:
        if not _exists(place):
            shutil.move(old, place)
        raise


def _apply_mode(written: Path, mode: int) -> None:
    """Gives all files the mode of a fresh one; some libraries make them private."""
    for file in [written, *written.rglob("*")]:
        found = file.lstat().st_mode
        wanted = mode
        if stat.S_ISDIR(found):
            wanted |= (mode & 0o444) >> 2 | found & (stat.S_ISGID | stat.S_ISVTX)
        if not stat.S_ISLNK(found) and stat.S_IMODE(found) != wanted:
            file.chmod(wanted)


@contextlib.contextmanager
def _write_errors_named(path: str | os.PathLike[str], place: Path) -> Generator[None, None, None]:
    """Turns the errors of libraries that cannot write into one that names the output."""
    try:
        yield
    except (InputError, BrokenPipeError):
        raise
    except OSError as error:
        # An error that names another file, or no error of the system, is about something else.
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
        ours = not name or name == str(place) or is_staged(name, place)
        if error.errno is None or not ours:
            raise
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    except Exception as error:
        if not isinstance(error, _library_errors()):
            raise
        raise OutputError(f"{path} cannot be written: {one_line(error, 300)}") from error


def _library_errors() -> tuple[type[Exception], ...]:
    """The errors of those libraries that are imported; others have not raised any."""
    modules = {name: sys.modules.get(name) for name in _LIBRARY_ERRORS}
    return tuple(
        getattr(module, _LIBRARY_ERRORS[name]) for name, module in modules.items() if module
    )

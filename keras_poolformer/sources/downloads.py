"""Resumable downloads of the released weights: a file is complete or absent.

Our own instead of pooch, which restarts an interrupted download from its first byte: these files
have hundreds of megabytes. The sha256 of the first use is recorded beside a file and required
from then on.
"""

import contextlib
import hashlib
import http.client
import json
import os
import re
import time
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from keras_poolformer.sources.http_answers import (
    FailedError,
    TemporaryError,
    check_answer,
    check_size,
    is_note,
    is_rest,
    length_of,
    validator_of,
)
from keras_poolformer.support.errors import InputError, MissingExtraError
from keras_poolformer.support.files import replacing
from keras_poolformer.support.json_files import read_json
from keras_poolformer.support.messages import one_line
from keras_poolformer.support.progress import Progress
from keras_poolformer.support.regular_files import open_regular

ATTEMPTS = 4  # downloads of a file, before giving up
PAUSE = 0.5  # seconds before the second attempt; then twice, then four times as long
TIMEOUT = (10, 20)  # seconds: to connect, and until the next bytes come
NO_HOME = "there is no home directory to keep it in"
_PIECE = 2**16  # bytes
_SHA256 = re.compile(rb"[0-9a-f]{64}")


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids connections; read at each call."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def download(url: str, path: str | os.PathLike[str]) -> None:
    """Downloads a file unless it is there; shows progress on stderr.

    Until the file is complete it is PATH.part, which the next call resumes if the server still
    has the same file. The file's sha256 is written to PATH.sha256; if such a record exists
    already, the file must have that checksum. Two processes at once download it once.

    Args:
        url: Address of the file.
        path: Path to write; its folder is made.

    Raises:
        InputError: The file cannot be downloaded or written, or is not the recorded one.
        MissingExtraError: requests or filelock is not installed.
    """
    path = Path(path)
    if path.exists():
        return
    if offline():
        raise unavailable(url, "HF_HUB_OFFLINE forbids connections", by_hand(path))
    try:
        import filelock
        import requests  # noqa: F401  # pyright: ignore[reportUnusedImport]: before anything is made
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name, "keras") from None
    progress = Progress([f"downloading {url}"])
    progress.start()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{path}.lock"):
            if not path.exists():
                part = _Part(path)
                _fetch(url, part, progress)
                _check_and_record(url, path, part)
                part.become(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise unavailable(
            url,
            f"{error.filename or path} cannot be written: {reason}",
            "set KERAS_HOME to a folder that can be written, with room for it",
        ) from None
    finally:
        progress.finish()


def recorded_sha256(path: Path) -> str | None:
    """Returns the sha256 that was recorded of a downloaded file, or None if none was.

    Raises:
        InputError: The record is corrupt.
    """
    file = _record_file(path)
    if not file.exists():
        return None
    with open_regular(file) as record:
        words = record.read(1000).split()
    if not words or not _SHA256.fullmatch(words[0]):
        raise InputError(f"{file} must begin with a sha256: delete it if you trust {path}")
    return words[0].decode()


def record_sha256(path: Path, sha256: str) -> None:
    """Records the sha256 of a file that was not downloaded here; skipped in a read-only folder."""
    with contextlib.suppress(OSError, InputError):
        _record(path, sha256)


def unavailable(url: str, reason: str, remedy: str = "") -> InputError:
    """Returns the error of a file that cannot be downloaded."""
    return InputError(f"{url} cannot be downloaded: {reason}" + (f"; {remedy}" if remedy else ""))


def by_hand(path: Path) -> str:
    """Returns what a person can do instead."""
    return f"with a browser or another machine, put the file at {path}"


def connection_reason(error: BaseException) -> str:
    """Returns why there is no connection to a server, to follow its name."""
    if "timed out" in str(error).lower():
        return "does not answer in time"
    while cause := error.__cause__ or error.__context__:
        error = cause
    detail = getattr(error, "strerror", None) or one_line(error, 150)
    return f"cannot be reached ({detail})"


class _Part:
    """What was downloaded of a file so far, and a note of which file it belongs to."""

    def __init__(self, path: Path) -> None:
        self.path = Path(f"{path}.part")
        self._note = Path(f"{path}.part.json")
        self.target = path

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> dict[str, Any]:
        """Returns what `begin` noted; nothing if there is no part to resume."""
        try:
            note = read_json(self._note, max_bytes=2**16)
        except InputError:
            return {}
        return note if is_note(note) and self.size else {}

    def begin(self, **note: Any) -> None:
        """Starts afresh, with a note of the file."""
        self.delete()
        with replacing(self._note, overwrite=True) as written:
            written.write_text(json.dumps(note), encoding="utf-8", newline="\n")

    def delete(self) -> None:
        """Deletes what was downloaded."""
        self._note.unlink(missing_ok=True)  # first: a part without a note is not resumed
        self.path.unlink(missing_ok=True)

    def become(self, path: Path) -> None:
        """Moves the complete file to its place."""
        self.path.replace(path)
        self._note.unlink(missing_ok=True)


def _fetch(url: str, part: _Part, progress: Progress) -> None:
    """Tries until the part is complete, or says why that fails."""
    import requests

    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            return _attempt(url, part, progress)
        except FailedError as error:
            reason = str(error)
            if not isinstance(error, TemporaryError):
                break
        except requests.TooManyRedirects:
            reason = "the server redirects without end"
            break
        except requests.exceptions.ChunkedEncodingError:
            reason = f"the connection to {urlsplit(url).netloc} was cut off"
        except (requests.ConnectionError, requests.Timeout) as error:
            reason = f"{urlsplit(url).netloc} {connection_reason(error)}"
        except InputError:
            raise
        except (requests.RequestException, *_malformed_answers()) as error:
            reason = one_line(error, 150)
            break
    if part.note().get("validator"):
        reason += f" ({part.size:,} bytes are kept: rerun the same command to resume)"
    raise unavailable(url, reason, by_hand(part.target))


def _attempt(url: str, part: _Part, progress: Progress) -> None:
    import requests

    note = part.note()
    headers = {"Accept-Encoding": "identity"}
    if note.get("url") != url:
        note = {}
    if note.get("total") == part.size:
        return  # an earlier process ended just before it could say so
    if note.get("validator"):
        headers |= {"Range": f"bytes={part.size}-", "If-Range": note["validator"]}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        rest = response.status_code == 206 and is_rest(response, note, part.size)
        if response.status_code == 416 or (response.status_code == 206 and not rest):
            part.delete()
            raise TemporaryError("the server's file changed while it was downloaded")
        check_answer(response)
        total = note["total"] if rest else length_of(response)
        if not rest:
            part.begin(url=url, validator=validator_of(response), total=total)
        with part.path.open("ab") as file:
            for piece in response.iter_content(_PIECE):
                check_size(file.tell() + len(piece))
                file.write(piece)
                progress.advance(file.tell(), total or 0)
            file.flush()
            os.fsync(file.fileno())
    if total not in (None, part.size):
        raise TemporaryError(f"the connection ended after {part.size:,} of {total:,} bytes")


def _malformed_answers() -> tuple[type[Exception], ...]:
    """What requests lets through from the libraries below it, for instance of odd redirects."""
    import urllib3

    return ValueError, http.client.HTTPException, urllib3.exceptions.HTTPError


def _check_and_record(url: str, path: Path, part: _Part) -> None:
    received = _sha256(part.path)
    recorded = recorded_sha256(path)
    if recorded is None:
        _record(path, received)
    elif received != recorded:
        part.delete()
        raise InputError(
            f"{url}: checksum mismatch: expected the sha256 {recorded}, as when it was first used. "
            f"Received: {received}; if the new file is right, delete {_record_file(path)}"
        )


def _record_file(path: Path) -> Path:
    return Path(f"{path}.sha256")


def _record(path: Path, sha256: str) -> None:
    with replacing(_record_file(path), overwrite=True) as written:  # as `sha256sum -c` reads it
        written.write_text(f"{sha256}  {Path(path).name}\n", encoding="utf-8", newline="\n")


def _sha256(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()

"""Repositories of the Hugging Face hub: "hf://OWNER/NAME" or "hf://OWNER/NAME@REVISION".

huggingface_hub keeps the files in its own cache, shared with other libraries, and resumes what
was cut off. It reads its environment variables (HF_HOME, HF_HUB_CACHE, HF_ENDPOINT,
HF_HUB_OFFLINE, HF_TOKEN) when it is first imported; HF_HUB_OFFLINE is also read here at each call.

Files are downloaded one by one, not by `snapshot_download`: which weights are wanted depends on
which files exist, it would ask a second endpoint for a list of them, and it reports the first
error only after a minute of attempts.
"""

import contextlib
import hashlib
import importlib
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from keras_poolformer.checkpoints.reading.weight_files import DIRECTORY_FILES
from keras_poolformer.sources import preset_folder
from keras_poolformer.sources.downloads import NO_HOME, connection_reason, offline, unavailable
from keras_poolformer.support.errors import InputError, MissingExtraError
from keras_poolformer.support.json_files import read_json
from keras_poolformer.support.messages import one_line, shown
from keras_poolformer.support.progress import Progress

_CONFIG = "config.json"
# A pickle is taken under these names only; nothing else in a repository is ever downloaded.
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors|pytorch_model-\d+-of-\d+\.bin", re.ASCII)


@dataclass(frozen=True)
class Snapshot:
    """One commit of a repository in huggingface_hub's cache.

    Args:
        uri: URI as the user gave it.
        repository: "OWNER/NAME".
        folder: Folder of the commit's files; the JSON files are there, weights may be missing.
    """

    uri: str
    repository: str
    folder: Path

    @property
    def commit(self) -> str:
        """Hash of the commit."""
        return self.folder.name

    @property
    def cache(self) -> Path:
        """Folder with all commits of the repository, which is safe to delete."""
        return self.folder.parents[1]


def open_snapshot(uri: str) -> Snapshot:
    """Finds the commit that a URI stands for, and downloads its JSON files, but no weights.

    Args:
        uri: "hf://OWNER/NAME" or "hf://OWNER/NAME@REVISION", a branch, tag or commit.

    Returns:
        The snapshot; that of the cache if the hub cannot be reached.

    Raises:
        InputError: There is no such repository or revision, it cannot be downloaded, or it has
            no JSON file that describes a model.
        MissingExtraError: huggingface_hub is not installed.
    """
    match = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([^\s@]+))?", uri, re.ASCII)
    if not match:
        raise InputError(f"a hub's address must be hf://OWNER/NAME[@REVISION]. Received: {uri}")
    repository = match[1]
    revision = match[2] or "main"
    hub = _import()
    _require_cache(hub, uri)
    with _one_line_errors(hub, uri, repository, revision, _CONFIG):
        try:
            path = _first_file(hub, repository, revision, _CONFIG)
        except hub.errors.EntryNotFoundError as error:
            if not (offline() or isinstance(error, hub.errors.RemoteEntryNotFoundError)):
                raise
            with contextlib.suppress(hub.errors.HTTPError, OSError):  # the first error says more
                path = _first_file(hub, repository, revision, preset_folder.DESCRIPTION)
                return Snapshot(uri, repository, Path(path).parent)
            raise
    snapshot = Snapshot(uri, repository, Path(path).parent)
    _find(hub, snapshot, "preprocessor_config.json")
    return snapshot


def _require_cache(hub: Any, uri: str) -> None:
    """Rejects a cache in a folder named "~", which stands for a missing home directory."""
    if str(hub.constants.HF_HUB_CACHE).startswith("~"):
        raise unavailable(uri, NO_HOME, "set HF_HOME to a folder")


def _first_file(hub: Any, repository: str, revision: str, name: str) -> str:
    """The path of a repository's file in the cache, which contains the commit."""
    if hub.try_to_load_from_cache(repository, name, revision=revision) is None:
        _ask_once(hub, repository, revision, name)
    return hub.hf_hub_download(
        repository, name, revision=revision, local_files_only=offline(), tqdm_class=_bar(hub)
    )


def fetch_weights(snapshot: Snapshot) -> str | None:
    """Downloads the weights of a snapshot unless they are there; shows progress on stderr.

    It takes model.keras of a repository as the `card` command writes it; else the first that the
    repository has of model.safetensors, its shards, pytorch_model.bin and its shards.

    Args:
        snapshot: The snapshot.

    Returns:
        The sha256 that `read_checkpoint` must find in the snapshot's folder, or None
        if the hub does not say.

    Raises:
        InputError: The repository has no weights, or they cannot be downloaded.
        MissingExtraError: huggingface_hub is not installed.
    """
    hub = _import()
    names = DIRECTORY_FILES
    if preset_folder.is_preset_folder(snapshot.folder):
        names = (preset_folder.WEIGHTS,)
    for name in names:
        if path := _find(hub, snapshot, name, shown=not name.endswith(".json")):
            return (
                _fetch_shards(hub, snapshot, path) if path.suffix == ".json" else _sha256_of(path)
            )
    raise InputError(f"{snapshot.uri} has no weights: looked for {', '.join(names)}")


def _fetch_shards(hub: Any, snapshot: Snapshot, index: Path) -> str | None:
    """Downloads what an index names; returns the sha256 of their checksums, or None."""
    checksums: list[str] = []
    for shard in _shards(index):
        path = _download(hub, snapshot, shard, shown=True)
        checksums.append((path and _sha256_of(path)) or "")
    if not all(checksums):
        return None
    return hashlib.sha256("".join(checksums).encode()).hexdigest()


def _import() -> Any:
    """huggingface_hub, whose types are not known to those who have not installed it."""
    try:
        for module in ("constants", "errors", "utils"):
            importlib.import_module(f"huggingface_hub.{module}")
        return importlib.import_module("huggingface_hub")
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name, "keras") from None


def _ask_once(hub: Any, repository: str, revision: str, name: str) -> None:
    """Raises at once what `hf_hub_download` would raise after a minute of attempts."""
    if not offline():
        url = hub.hf_hub_url(repository, name, revision=revision)
        hub.get_hf_file_metadata(url, timeout=hub.constants.HF_HUB_ETAG_TIMEOUT)


def _find(hub: Any, snapshot: Snapshot, name: str, shown: bool = False) -> Path | None:
    """The path of a file in the cache, or None if the repository does not have it."""
    cached = hub.try_to_load_from_cache(snapshot.repository, name, revision=snapshot.commit)
    if isinstance(cached, str):
        return Path(cached)
    if cached is not None:  # the hub said before that there is no such file
        return None
    return _download(hub, snapshot, name, shown, optional=True)


def _download(
    hub: Any, snapshot: Snapshot, name: str, shown: bool, optional: bool = False
) -> Path | None:
    """The path of a file in the cache, after its download; None if an optional file is missing."""
    repository = snapshot.repository
    commit = snapshot.commit
    with _one_line_errors(hub, snapshot.uri, repository, commit, name):
        try:
            path = hub.hf_hub_download(
                repository,
                name,
                revision=commit,
                local_files_only=offline(),
                tqdm_class=_bar(hub, f"{snapshot.uri} {name}" if shown else None),
            )
        except hub.errors.RemoteEntryNotFoundError:
            if not optional:
                raise
            return None
    return Path(path)


def _shards(index: Path) -> list[str]:
    weight_map = read_json(index).get("weight_map")
    names = cast(dict[str, Any], weight_map).values() if isinstance(weight_map, dict) else ()
    for name in names:
        if not isinstance(name, str) or not _SHARD.fullmatch(name):
            raise InputError(f"{index} names the shard {shown(name)}, which no library writes")
    return sorted(set(names))


def _sha256_of(path: Path) -> str | None:
    """The sha256 that a file of the cache must have: its name there, if it is a large file."""
    name = path.resolve().name
    return name if re.fullmatch("[0-9a-f]{64}", name) else None


def _bar(hub: Any, what: str | None = None) -> type:
    """A class of progress bars for huggingface_hub, which show progress as this package does.

    Args:
        hub: huggingface_hub.
        what: Name of the download, or None to show nothing.
    """

    tqdm: type[Any] = hub.utils.tqdm

    class Bar(tqdm):
        n: float
        total: float | None

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # pyright cannot know a base class that is imported at run time.
            options = {**kwargs, "disable": True}
            super().__init__(*args, **options)  # pyright: ignore[reportUnknownMemberType]
            self.ours = Progress([f"downloading {what}"]) if what else None
            if self.ours:
                self.ours.start()

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if self.ours:
                self.ours.advance(int(self.n), int(self.total or 0))

        def update_transfer(self, n: float) -> None:
            """Shows no second figure beside the bytes written."""

        def set_transfer_postfix_str(self, *args: Any, **kwargs: Any) -> None:
            """Shows no speed."""

        def close(self) -> None:
            if self.ours:
                self.ours.finish()
            self.ours = None

    return Bar


@contextlib.contextmanager
def _one_line_errors(
    hub: Any, uri: str, repository: str, revision: str, name: str
) -> Generator[None]:
    """Turns what huggingface_hub raises into an InputError, and keeps its log quiet."""
    verbosity = hub.utils.logging.get_verbosity()
    hub.utils.logging.set_verbosity_error()
    try:
        yield
    except hub.errors.HFValidationError as error:
        raise InputError(f"{uri} is not a valid address: {one_line(error, 300)}") from None
    except (InputError, MissingExtraError):
        raise
    except Exception as error:  # hostile answers raise more than the library's own errors
        url = hub.hf_hub_url(repository, name, revision=revision)
        reason = _reason(hub, error, repository, revision)
        remedy = f"`hf download {repository} --local-dir DIR` fetches it elsewhere, then give DIR"
        raise unavailable(url, reason, remedy) from None
    finally:
        hub.utils.logging.set_verbosity(verbosity)


def _reason(hub: Any, error: Any, repository: str, revision: str) -> str:
    errors = hub.errors
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__:
        error = error.__cause__
    if isinstance(error, errors.GatedRepoError):
        return "it is gated: ask for access on its page, then `hf auth login`"
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    if isinstance(error, errors.RepositoryNotFoundError) or status == 401:
        return f"there is no repository {repository}, or it is private and requires `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repository} has no revision {revision}"
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"{repository} has no such file"
    if isinstance(error, errors.HfHubHTTPError):
        return one_line(f"HTTP {status} {error.response.reason_phrase}", 300)
    if isinstance(error, errors.OfflineModeIsEnabled | errors.LocalEntryNotFoundError):
        return f"HF_HUB_OFFLINE forbids connections, and {hub.constants.HF_HUB_CACHE} has no copy"
    if isinstance(error, errors.FileMetadataError):
        return f"{hub.constants.ENDPOINT} does not answer as a hub does"
    if isinstance(error, errors.HTTPError):
        return f"{hub.constants.ENDPOINT} {connection_reason(error)}"
    return one_line(error, 300)

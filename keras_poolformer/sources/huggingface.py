"""Repositories of the Hugging Face hub: "hf://OWNER/NAME" or "hf://OWNER/NAME@REVISION".

huggingface_hub keeps the files in its own cache, shared with other libraries. It reads its
environment variables (HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN) when it is
imported first; HF_HUB_OFFLINE is also looked at here, at each call.
"""

import contextlib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

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
        uri: as the user said it.
        repository: "OWNER/NAME".
        folder: Folder of the commit's files; the JSON files are there, weights may not yet be.
    """

    uri: str
    repository: str
    folder: Path

    @property
    def commit(self):
        """The commit's hash."""
        return self.folder.name

    @property
    def cache(self):
        """What holds all commits of the repository, and is safe to delete."""
        return self.folder.parents[1]


def open_snapshot(uri):
    """Finds the commit that a URI means, and downloads its JSON files, but no weights.

    Args:
        uri: "hf://OWNER/NAME" or "hf://OWNER/NAME@REVISION", a branch, tag or commit.

    Returns:
        A `Snapshot`; that of the cache where the hub cannot be reached.

    Raises:
        InputError: there is no such repository or revision, it cannot be had, or it has no
            JSON file that describes a model.
        MissingExtraError: huggingface_hub is not installed.
    """
    match = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([^\s@]+))?", uri, re.ASCII)
    if not match:
        raise InputError(f"a hub's address must be hf://OWNER/NAME[@REVISION]. Received: {uri}")
    repository, revision = match[1], match[2] or "main"
    hub = _import()
    _require_cache(hub, uri)
    with _one_line_errors(hub, uri, repository, revision, _CONFIG):
        try:
            path = _first_file(hub, repository, revision, _CONFIG)
        except hub.errors.EntryNotFoundError as error:
            if not (offline() or isinstance(error, hub.errors.RemoteEntryNotFoundError)):
                raise
            with contextlib.suppress(hub.errors.HTTPError, OSError):  # the first error tells more
                path = _first_file(hub, repository, revision, preset_folder.DESCRIPTION)
                return Snapshot(uri, repository, Path(path).parent)
            raise
    snapshot = Snapshot(uri, repository, Path(path).parent)
    _download(hub, snapshot, "preprocessor_config.json")
    return snapshot


def _require_cache(hub, uri):
    """Rejects a cache in a folder named "~", which stands for a missing home directory."""
    if str(hub.constants.HF_HUB_CACHE).startswith("~"):
        raise unavailable(uri, NO_HOME, "set HF_HOME to a folder")


def _first_file(hub, repository, revision, name):
    """The path of a repository's file in the cache, which tells the commit."""
    if hub.try_to_load_from_cache(repository, name, revision=revision) is None:
        _ask_once(hub, repository, revision, name)
    return hub.hf_hub_download(
        repository, name, revision=revision, local_files_only=offline(), tqdm_class=_bar(hub)
    )


def fetch_weights(snapshot):
    """Downloads the weights of a snapshot unless they are there; says on stderr how far it is.

    It takes model.keras of a repository as the `card` command writes it; else the first that the
    repository has of model.safetensors, its shards, pytorch_model.bin and its shards.

    Returns:
        The sha256 that `read_checkpoint` must find in the snapshot's folder, or None
        where the hub does not tell.

    Raises:
        InputError: the repository has no weights, or they cannot be had.
        MissingExtraError: huggingface_hub is not installed.
    """
    hub, names = _import(), DIRECTORY_FILES
    if preset_folder.is_preset_folder(snapshot.folder):
        names = (preset_folder.WEIGHTS,)
    for name in names:
        path = _download(hub, snapshot, name, shown=not name.endswith(".json"))
        if path is None:
            continue
        if not name.endswith(".json"):
            return _sha256_of(path)
        shards = _shards(path)
        paths = [_download(hub, snapshot, shard, shown=True, optional=False) for shard in shards]
        sums = "".join(_sha256_of(path) or "?" for path in paths)
        return None if "?" in sums else hashlib.sha256(sums.encode()).hexdigest()
    raise InputError(f"{snapshot.uri} has no weights: looked for {', '.join(names)}")


def _import():
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name, "keras") from None
    return huggingface_hub


def _ask_once(hub, repository, revision, name):
    """Raises at once what `hf_hub_download` would raise after a minute of attempts."""
    if not offline():
        url = hub.hf_hub_url(repository, name, revision=revision)
        hub.get_hf_file_metadata(url, timeout=hub.constants.HF_HUB_ETAG_TIMEOUT)


def _download(hub, snapshot, name, shown=False, optional=True):
    """The path of a file in the cache, or None if the repository does not have it."""
    repository, commit = snapshot.repository, snapshot.commit
    known = hub.try_to_load_from_cache(repository, name, revision=commit)
    if isinstance(known, str):
        return Path(known)
    if known is not None and optional:  # known not to be there
        return None
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


def _shards(index):
    promised = read_json(index).get("weight_map")
    names = set(promised.values() if isinstance(promised, dict) else ())
    for name in names:
        if not isinstance(name, str) or not _SHARD.fullmatch(name):
            raise InputError(f"{index} names the shard {shown(name)}, which no library writes")
    return sorted(names)


def _sha256_of(path):
    """The sha256 that a file of the cache must have: its name there, if it is a large one."""
    name = path.resolve().name
    return name if re.fullmatch("[0-9a-f]{64}", name) else None


def _bar(hub, what=None):
    """huggingface_hub's progress bar, as ours, or as none."""

    class Bar(hub.utils.tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs | {"disable": True})
            self.ours = Progress([f"downloading {what}"]) if what else None
            if self.ours:
                self.ours.start()

        def update(self, n=1):
            self.n += n
            if self.ours:
                self.ours.advance(self.n, self.total)

        def update_transfer(self, n):
            """Shows no second figure beside the bytes written."""

        def set_transfer_postfix_str(self, *args, **kwargs):
            """Shows no speed."""

        def close(self):
            if self.ours:
                self.ours.finish()
            self.ours = None

    return Bar


@contextlib.contextmanager
def _one_line_errors(hub, uri, repository, revision, name):
    """Turns what huggingface_hub raises into an InputError, and keeps its log quiet."""
    verbosity = hub.utils.logging.get_verbosity()
    hub.utils.logging.set_verbosity_error()
    try:
        yield
    except hub.errors.HFValidationError as error:
        raise InputError(f"{uri} is no hub's address: {one_line(error, 300)}") from None
    except (InputError, MissingExtraError):
        raise
    except Exception as error:  # hostile answers end in more than the library's own errors
        url = hub.hf_hub_url(repository, name, revision=revision)
        reason = _reason(hub, error, repository, revision)
        remedy = f"`hf download {repository} --local-dir DIR` fetches it elsewhere, then give DIR"
        raise unavailable(url, reason, remedy) from None
    finally:
        hub.utils.logging.set_verbosity(verbosity)


def _reason(hub, error, repository, revision):
    errors = hub.errors
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__:
        error = error.__cause__
    if isinstance(error, errors.GatedRepoError):
        return "it is gated: ask for access on its page, then `hf auth login`"
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    if isinstance(error, errors.RepositoryNotFoundError) or status == 401:
        return f"there is no repository {repository}, or it is private and wants `hf auth login`"
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

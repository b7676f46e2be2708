"""What the tests of downloading share: a web server, and one that answers as the hub does."""

import contextlib
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from keras_poolformer import PoolFormerImageClassifier
from keras_poolformer.sources import downloads
from keras_poolformer.sources.downloads import download
from tests.helpers import error_line

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class File:
    """A file on the web: how a server answers for it.

    Args:
        data: the bytes.
        validators: headers that tell this version from another.
        ranges: whether a part can be asked for.
        checks_if_range: whether a part of another version is refused, as it should be.
        cut: after how many bytes each of the next answers breaks off.
        headers: further ones.
    """

    def __init__(
        self, data, validators=None, ranges=True, checks_if_range=True, cut=(), headers=None
    ):
        self.data, self.ranges, self.checks_if_range = data, ranges, checks_if_range
        self.validators = {"ETag": '"one"'} if validators is None else validators
        self.cut, self.headers = list(cut), headers or {}

    def __call__(self, request):
        first = self._first(request)
        if first is not None and first >= len(self.data):
            return request.answer(416, {"Content-Range": f"bytes */{len(self.data)}"})
        body = self.data[first or 0 :]
        headers = {"Content-Length": str(len(body))} | self.validators | self.headers
        if first is not None:
            place = f"bytes {first}-{len(self.data) - 1}/{len(self.data)}"
            headers["Content-Range"] = place
        cut = self.cut.pop(0) if self.cut and request.command == "GET" else None
        return request.answer(200 if first is None else 206, headers, body[:cut])

    def _first(self, request):
        """The byte from which on is asked for, or None for the whole."""
        wanted = request.headers.get("Range")
        if not wanted or not self.ranges:
            return None
        version = request.headers.get("If-Range")
        if self.checks_if_range and version not in self.validators.values():
            return None
        return int(wanted.removeprefix("bytes=").removesuffix("-"))


class _Request(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        answer = self.server.files.get(self.path)
        if answer is None:
            return self.answer(404, self.server.missing)
        return answer(self)

    do_HEAD = do_GET

    def answer(self, status, headers=None, body=b""):
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

    def log_message(self, *_):
        pass


class Site:
    """A server on this machine.

    Args:
        files: {path: function of the request that answers it}.
        missing: headers of the answer 404.
        requests: (method, path, headers) of each request so far.
    """

    def __init__(self):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Request)
        self._server.files, self._server.missing, self._server.requests = {}, {}, []
        self.files, self.missing = self._server.files, self._server.missing
        self.requests = self._server.requests
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,)).start()

    def asked(self, method="GET"):
        """The paths that were asked for."""
        return [path for command, path, _ in self.requests if command == method]

    def downloaded(self):
        """The names of the files that a hub sent, each of them once."""
        paths = [path for path in self.asked() if path.endswith(".json") or "/cdn/" in path]
        assert len(paths) == len(set(paths))
        return {path.rpartition("/")[2] for path in paths}

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


@pytest.fixture
def web_file():
    """The class `File`."""
    return File


@pytest.fixture(autouse=True)
def online(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE", 0)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "models" / "x.bin"


@pytest.fixture
def fetch(site, path, monkeypatch):
    """Downloads what a `File` holds; returns the headers of the requests."""

    def fetch(answer):
        site.requests.clear()
        site.files["/x"] = answer
        download(f"{site.url}/x", path)
        return [headers for _, _, headers in site.requests]

    return fetch


@pytest.fixture
def whole(path):
    """Whether a download is whole, its checksum recorded, and nothing else left but the lock."""

    def whole(data):
        assert path.read_bytes() == data
        record = path.with_name("x.bin.sha256").read_text(encoding="utf-8")
        assert record == f"{hashlib.sha256(data).hexdigest()}  x.bin\n"
        names = {file.name for file in path.parent.iterdir()} - {"x.bin.lock"}
        return names == {"x.bin", "x.bin.sha256"}

    return whole


# ---------------------------------------------------------------------------------------
# A hub


@pytest.fixture
def commit():
    """The one commit of every repository."""
    return COMMIT


@pytest.fixture
def own_hub(site, monkeypatch, tmp_path):
    """huggingface_hub asks the site, and keeps its cache in the test's folder."""
    constants = pytest.importorskip("huggingface_hub.constants")
    from huggingface_hub import file_download

    monkeypatch.setattr(constants, "ENDPOINT", site.url)
    template = f"{site.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def publish(own_hub, site, web_file):
    """Puts the files of a folder on the hub: small ones there, weights on another host."""

    def publish(folder, repository="sail/tiny", revision="main"):
        site.missing |= {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}
        for file in folder.iterdir():
            data = file.read_bytes()
            for name in (revision, COMMIT):
                path = f"/{repository}/resolve/{name}/{file.name}"
                if file.suffix == ".json":
                    tag = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
                    site.files[path] = web_file(data, tag, headers={"X-Repo-Commit": COMMIT})
                else:
                    site.files[f"/cdn/{file.name}"] = web_file(data)
                    site.files[path] = _elsewhere(site, file.name, data)

    return publish


def _elsewhere(site, name, data):
    headers = {
        "Location": f"{site.url.replace('127.0.0.1', 'localhost')}/cdn/{name}",
        "X-Repo-Commit": COMMIT,
        "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
        "X-Linked-Size": str(len(data)),
    }
    return lambda request: request.answer(302, headers)


@pytest.fixture
def refused(own_hub, capfd):
    """The line with which a source is refused."""

    def refused(uri="hf://sail/tiny", **options):
        message = error_line(PoolFormerImageClassifier.from_preset, uri, **options)
        noise = [line for line in capfd.readouterr().err.splitlines() if line[0] != "["]
        assert noise == []
        return message

    return refused

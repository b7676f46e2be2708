"""Downloads that cannot be: one line, and nothing that looks whole."""

import hashlib
import resource
import socket
import sys
import threading

import numpy as np
import pytest

from keras_poolformer import downloads
from keras_poolformer.downloads import download, known_sha256
from keras_poolformer.errors import InputError, MissingExtraError

DATA = np.random.default_rng(0).bytes(500_000)
OTHER = np.random.default_rng(1).bytes(500_000)
HALF = 250_000


def refusal(fetch, answer, path):
    """The line with which a download is refused; no file may look whole."""
    with pytest.raises(InputError) as caught:
        fetch(answer)
    assert not path.exists() and not path.with_name("x.bin.sha256").exists()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    return str(caught.value)


def test_the_recorded_checksum_holds_for_later_downloads(fetch, web_file, path, whole):
    fetch(web_file(DATA))
    path.unlink()
    with pytest.raises(InputError) as caught:
        fetch(web_file(OTHER))
    sums = [hashlib.sha256(data).hexdigest() for data in (DATA, OTHER)]
    assert all(one in str(caught.value) for one in sums)
    assert f"delete {path}.sha256" in str(caught.value)
    assert not path.exists() and not path.with_name("x.bin.part").exists()
    fetch(web_file(DATA))
    assert whole(DATA)


def test_a_file_that_was_placed_by_hand_is_recorded(path):
    path.parent.mkdir()
    path.write_bytes(DATA)
    assert known_sha256(path) == hashlib.sha256(DATA).hexdigest()
    path.write_bytes(OTHER)
    assert known_sha256(path) == hashlib.sha256(DATA).hexdigest()
    path.with_name("x.bin.sha256").write_text("5")
    with pytest.raises(InputError, match="must begin with a sha256"):
        known_sha256(path)


@pytest.mark.parametrize(("status", "said"), [(404, "Not Found"), (401, "Unauthorized")])
def test_a_refusing_server_is_asked_once(status, said, fetch, path, site):
    message = refusal(fetch, lambda request: request.answer(status), path)
    assert message == (
        f"{site.url}/x cannot be downloaded: HTTP {status} {said}; with a browser or another "
        f"machine, put the file at {path}"
    )
    assert len(site.requests) == 1


UNUSABLE = {
    "HTTP 500 Internal Server Error": lambda request: request.answer(500),
    "the server redirects without end": lambda request: request.answer(302, {"Location": "/x"}),
    "a network that wants a login": lambda request: request.answer(
        200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>"
    ),
    "No connection adapters": lambda request: request.answer(302, {"Location": "file:///etc/x"}),
}


@pytest.mark.parametrize("reason", UNUSABLE)
def test_an_unusable_answer(reason, fetch, path):
    message = refusal(fetch, UNUSABLE[reason], path)
    assert reason in message and f"put the file at {path}" in message


@pytest.mark.parametrize("sent", [0, HALF])
def test_a_slow_server(sent, fetch, path, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", (5, 1))
    monkeypatch.setattr(downloads, "ATTEMPTS", 1)
    given_up = threading.Event()

    def answer(request):
        if sent:
            headers = {"Content-Length": str(len(DATA)), "ETag": '"one"'}
            request.answer(200, headers, DATA[:sent])
        given_up.wait(20)

    message = refusal(fetch, answer, path)
    given_up.set()
    assert "does not answer in time" in message
    assert ("bytes are kept: rerun the same command to resume" in message) == bool(sent)


def test_a_connection_that_is_always_cut_off(fetch, web_file, path, site):
    message = refusal(fetch, web_file(DATA, ranges=False, cut=[HALF] * 9), path)
    assert f"the connection to {site.url.removeprefix('http://')} was cut off (" in message
    assert len(site.requests) == downloads.ATTEMPTS


def test_no_network(path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        with pytest.raises(InputError, match=r"cannot be reached \(Connection refused\); with a"):
            download(url, path)
    with pytest.raises(InputError, match=r"no\.such\.host\.invalid cannot be reached \("):
        download("http://no.such.host.invalid/x", path)


def test_offline(fetch, web_file, path, monkeypatch, site):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE forbids connections; " in refusal(fetch, web_file(DATA), path)
    assert site.requests == []
    path.parent.mkdir()
    path.write_bytes(DATA)
    assert fetch(web_file(OTHER)) == []


def test_a_full_disk(fetch, web_file, path, whole):
    """The kernel refuses to let a file grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, hard))
    try:
        message = refusal(fetch, web_file(DATA), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"{path} cannot be written: File too large" in message
    (headers,) = fetch(web_file(DATA))
    assert headers["Range"] == f"bytes={HALF}-"
    assert whole(DATA)


def test_a_folder_that_is_none(fetch, web_file, path):
    path.parent.write_text("in the way")
    with pytest.raises(InputError, match=r"models cannot be written: File exists"):
        fetch(web_file(DATA))


@pytest.mark.parametrize("package", ["requests", "filelock"])
def test_a_missing_package(package, path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package} .*keras-poolformer\[keras\]"):
        download("http://127.0.0.1/x", path)

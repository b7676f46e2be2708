"""Downloads that cannot be: one line, and nothing that looks whole."""

import contextlib
import gzip
import hashlib
import resource
import socket
import sys
import threading

import numpy as np
import pytest

from keras_poolformer.sources import downloads
from keras_poolformer.sources.downloads import download, record_sha256, recorded_sha256
from keras_poolformer.support.errors import InputError, MissingExtraError
from tests.helpers import error_line

DATA = np.random.default_rng(0).bytes(500_000)
OTHER = np.random.default_rng(1).bytes(500_000)
HALF = 250_000


def refusal(fetch, answer, path):
    """The line with which a download is refused; no file may look whole."""
    message = error_line(fetch, answer)
    assert not path.exists() and not path.with_name("x.bin.sha256").exists()
    return message


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


def test_the_record_of_a_file_that_was_placed_by_hand(path):
    path.parent.mkdir()
    path.write_bytes(DATA)
    assert recorded_sha256(path) is None
    record_sha256(path, hashlib.sha256(DATA).hexdigest())
    assert recorded_sha256(path) == hashlib.sha256(DATA).hexdigest()
    path.with_name("x.bin.sha256").write_text("5", encoding="utf-8", newline="\n")
    with pytest.raises(InputError, match="must begin with a sha256"):
        recorded_sha256(path)


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
    "a network that requires a login": lambda request: request.answer(
        200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>"
    ),
    "No connection adapters": lambda request: request.answer(302, {"Location": "file:///etc/x"}),
}


ODD = (
    "http://[::1", "http://" + "a" * 300 + ".x/", "http://x:99999/", "//", "http://\x80\xff/",
    "http://a..b/", "http://\xe4.invalid/", "ftp://x/", "http://%zz/", "http:///x", "\xff\xfe", "http://",
)  # fmt: skip


@pytest.mark.parametrize("location", ODD)
def test_an_odd_redirect(location, fetch, path, monkeypatch):
    monkeypatch.setattr(downloads, "ATTEMPTS", 1)
    message = refusal(fetch, lambda request: request.answer(302, {"Location": location}), path)
    assert message.isprintable() and f"put the file at {path}" in message


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "9" * 5000},
        {"Content-Length": "-5"},
        {"Content-Length": "\xb2"},
        {"ETag": "a\x80b"},
        {"ETag": "x" * 3000},
        {"Content-Range": f"bytes {'9' * 5000}-5/5"},
    ],
    ids=lambda headers: str(headers)[:30],
)
def test_odd_headers(headers, fetch, path, monkeypatch):
    """They are left aside, or make one line."""
    monkeypatch.setattr(downloads, "ATTEMPTS", 2)
    statuses = [200, 206]

    def answer(request):
        length = {"Content-Length": str(len(DATA)), "ETag": '"one"'}
        request.answer(statuses.pop(0), length | headers, DATA[:HALF])

    refusal(fetch, answer, path)


def test_a_reason_with_control_characters(fetch, path):
    def answer(request):
        request.wfile.write(b"HTTP/1.1 404 No\x1b[31mt\x85\xff Found\r\nContent-Length: 0\r\n\r\n")

    assert refusal(fetch, answer, path).isprintable()


def test_an_encoding_that_was_not_requested(fetch, path, site):
    """It would unpack to a thousand times its size."""
    bomb = gzip.compress(bytes(20_000_000))
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(bomb))}
    message = refusal(fetch, lambda request: request.answer(200, headers, bomb), path)
    assert "the answer is encoded as 'gzip', which was not requested" in message
    assert len(site.requests) == 1 and site.requests[0][2]["Accept-Encoding"] == "identity"
    assert not path.with_name("x.bin.part").exists()


@pytest.mark.parametrize("said", [True, False])
def test_a_file_larger_than_any_checkpoint(said, fetch, path, monkeypatch):
    monkeypatch.setattr("keras_poolformer.sources.http_answers.MAX_BYTES", HALF)
    headers = {"Content-Length": str(len(DATA))} if said else {"Connection": "close"}

    def answer(request):
        request.send_response(200)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        with contextlib.suppress(ConnectionError):
            request.wfile.write(DATA)

    assert "the file has more than 250,000 bytes" in refusal(fetch, answer, path)
    part = path.with_name("x.bin.part")
    assert not part.exists() or part.stat().st_size <= HALF


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
    path.parent.write_text("in the way", encoding="utf-8", newline="\n")
    with pytest.raises(InputError, match=r"models cannot be written: File exists"):
        fetch(web_file(DATA))


@pytest.mark.parametrize("package", ["requests", "filelock"])
def test_a_missing_package(package, path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package} .*keras-poolformer\[keras\]"):
        download("http://127.0.0.1/x", path)

"""Files from a real server: whole and right, or one line and nothing that looks whole."""

import json
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from keras_poolformer.sources.downloads import download
from keras_poolformer.support.errors import InputError

DATA = np.random.default_rng(0).bytes(500_000)
OTHER = np.random.default_rng(1).bytes(500_000)
HALF = 250_000
NESTED = (
    '{"url":' * 100_000,
    '{"url": "URL", "validator": "\\u20ac", "total": 500000}',
    '{"url": "URL", "validator": "a\\r\\nX: y", "total": 500000}',
    '{"url": "URL", "validator": [5], "total": 500000}',
    '{"url": "URL", "validator": "x", "total": 1e400}',
    '{"url": "URL", "validator": "x", "total": ' + "9" * 5000 + "}",
)
CODE = """
import sys
from keras_poolformer.sources.downloads import download
download(*sys.argv[1:])
"""


# ---------------------------------------------------------------------------------------
# Whole in the end


def test_once_and_never_again(fetch, web_file, path, capfd, site, whole):
    (headers,) = fetch(web_file(DATA))
    assert "Range" not in headers
    assert whole(DATA)
    assert capfd.readouterr().err == f"[1/1] downloading {site.url}/x\n"
    assert fetch(web_file(OTHER)) == []
    assert whole(DATA) and capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "validators",
    [
        {"ETag": '"one"'},
        {"Last-Modified": "Mon, 29 Nov 2021 00:00:00 GMT"},
        {"ETag": 'W/"one"', "Last-Modified": "Mon, 29 Nov 2021 00:00:00 GMT"},
    ],
)
def test_a_dropped_connection_is_continued(validators, fetch, web_file, path, whole):
    _, second = fetch(web_file(DATA, validators, cut=[HALF]))
    received = int(second["Range"].removeprefix("bytes=").removesuffix("-"))
    assert HALF - 2**16 <= received <= HALF
    assert second["If-Range"] == list(validators.values())[-1]
    assert whole(DATA)


def test_a_server_that_knows_no_ranges(fetch, web_file, path, whole):
    _, second = fetch(web_file(DATA, ranges=False, cut=[HALF]))
    assert "Range" in second
    assert whole(DATA)


@pytest.mark.parametrize("validators", [{}, {"ETag": 'W/"one"'}])
def test_a_server_that_cannot_tell_versions(validators, fetch, web_file, path, whole):
    _, second = fetch(web_file(DATA, validators, cut=[HALF]))
    assert "Range" not in second
    assert whole(DATA)


@pytest.mark.parametrize("checks_if_range", [True, False])
@pytest.mark.parametrize("size", [500_000, 400_000, 100_000])
def test_a_file_that_changed_between_the_parts(checks_if_range, size, fetch, web_file, path, whole):
    later = web_file(OTHER[:size], {"ETag": '"two"'}, checks_if_range=checks_if_range)
    first = web_file(DATA, cut=[HALF])

    def answer(request):
        (first if first.cut else later)(request)

    fetch(answer)
    assert whole(OTHER[:size])


def test_another_length_is_another_file(fetch, web_file, whole):
    """Even where the server says that nothing changed."""
    first, later = web_file(DATA, cut=[HALF]), web_file(OTHER[:400_000])
    fetch(lambda request: (first if first.cut else later)(request))
    assert whole(OTHER[:400_000])


def test_a_part_of_another_address_is_not_continued(fetch, web_file, path, site, whole):
    with pytest.raises(InputError):
        fetch(web_file(DATA, ranges=False, cut=[HALF] * 9))
    site.files["/y"] = web_file(OTHER)
    download(f"{site.url}/y", path)
    assert whole(OTHER)


def test_a_whole_part_needs_no_request(fetch, web_file, path, site, whole):
    path.parent.mkdir()
    path.with_name("x.bin.part").write_bytes(DATA)
    note = {"url": f"{site.url}/x", "validator": '"one"', "total": len(DATA)}
    path.with_name("x.bin.part.json").write_text(json.dumps(note), encoding="utf-8", newline="\n")
    assert fetch(web_file(DATA)) == []
    assert whole(DATA)


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": 5}', *NESTED, None])
def test_a_part_of_unknown_origin_is_not_continued(note, fetch, web_file, path, site, whole):
    path.parent.mkdir()
    path.with_name("x.bin.part").write_bytes(OTHER[:HALF])
    if note is not None:
        path.with_name("x.bin.part.json").write_text(
            note.replace("URL", f"{site.url}/x"), encoding="utf-8", newline="\n"
        )
    (headers,) = fetch(web_file(DATA))
    assert "Range" not in headers
    assert whole(DATA)


def test_a_server_in_trouble_is_asked_again(fetch, web_file, path, whole):
    file, statuses = web_file(DATA), [503, 429]

    def answer(request):
        request.answer(statuses.pop()) if statuses else file(request)

    assert len(fetch(answer)) == 3
    assert whole(DATA)


def test_a_redirect(fetch, web_file, path, site, whole):
    site.files["/y"] = web_file(DATA, cut=[HALF])
    fetch(lambda request: request.answer(302, {"Location": "/y"}))
    assert site.asked() == ["/x", "/y", "/x", "/y"]
    assert "Range" in site.requests[-1][2]
    assert whole(DATA)


def test_a_killed_process_is_continued(site, web_file, path, fetch, whole):
    """The first process gets half of the file and then waits until it is killed."""
    killed = threading.Event()

    def answer(request):
        request.answer(200, {"Content-Length": str(len(DATA)), "ETag": '"one"'}, DATA[:HALF])
        killed.wait(20)

    site.files["/x"] = answer
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, f"{site.url}/x", str(path)], stderr=subprocess.DEVNULL
    )
    part = path.with_name("x.bin.part")
    while process.poll() is None and not (part.exists() and part.stat().st_size > HALF // 2):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    killed.set()
    assert not path.exists()
    kept = part.stat().st_size
    (headers,) = fetch(web_file(DATA))
    assert headers["Range"] == f"bytes={kept}-"
    assert whole(DATA)


def test_two_processes_at_once(site, web_file, path, whole):
    file = web_file(DATA)

    def answer(request):
        time.sleep(1)
        file(request)

    site.files["/x"] = answer
    command = [sys.executable, "-c", CODE, f"{site.url}/x", str(path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [(process.communicate()[1], process.returncode) for process in processes] == [
        (f"[1/1] downloading {site.url}/x\n", 0)
    ] * 2
    assert len(site.requests) == 1
    assert whole(DATA)

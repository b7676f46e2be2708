"""What a hub may do wrong: one line each, and nothing in the cache that looks whole."""

import hashlib
import json
import shutil
import sys
import threading

import numpy as np
import pytest

from keras_poolformer import PoolFormerImageClassifier
from keras_poolformer.sources import resolve
from keras_poolformer.support.errors import MissingExtraError

pytest.importorskip("torch")

URI = "hf://sail/tiny"
INDEX = "model.safetensors.index.json"


ANSWERS = {
    "HTTP 503 Service Unavailable": (503, {}),
    "HTTP 403 Forbidden": (403, {}),
    "there is no repository sail/tiny, or it is private": (404, {"X-Error-Code": "RepoNotFound"}),
    "there is no repository sail/tiny, or": (401, {}),
    "it is gated: ask for access": (401, {"X-Error-Code": "GatedRepo"}),
    "sail/tiny has no revision main": (404, {"X-Error-Code": "RevisionNotFound"}),
    "sail/tiny has no such file": (404, {"X-Error-Code": "EntryNotFound"}),
    "does not answer as a hub does": (200, {}),
    "cannot be reached (Exceeded ": (302, {"Location": "/sail/tiny/resolve/main/config.json"}),
}


@pytest.mark.parametrize("reason", ANSWERS)
def test_an_unusable_answer(reason, site, refused):
    status, headers = ANSWERS[reason]
    path = "/sail/tiny/resolve/main/config.json"
    site.files[path] = lambda request: request.answer(status, headers)
    message = refused()
    assert message.startswith(f"{site.url}{path} cannot be downloaded: ") and reason in message
    assert message.endswith("then give DIR")


def test_a_slow_server(site, refused, monkeypatch):
    given_up = threading.Event()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_ETAG_TIMEOUT", 0.5)
    site.files["/sail/tiny/resolve/main/config.json"] = lambda request: given_up.wait(20)
    message = refused()
    given_up.set()
    assert f"{site.url} does not answer in time" in message


def test_no_network(site, refused):
    site.close()
    assert f"{site.url} cannot be reached (" in refused()


@pytest.mark.parametrize(
    "uri",
    ["hf://", "hf://sail", "hf://sail/", "hf://a/b/c", "hf://a/b@", "hf://../b", "hf://a--b/c"],
)
def test_no_address(uri, site, refused):
    assert "address" in refused(uri) and uri in refused(uri)
    assert site.requests == []


def test_no_weights(publish, hub, refused, tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "config.json").write_bytes((hub / "labelled/config.json").read_bytes())
    publish(folder)
    assert refused().startswith(f"{URI} has no weights: looked for model.safetensors, model.")


def test_damaged_weights(site, publish, hub, hf, images, refused):
    """The hub says which sha256 they have; deleting what the message names mends it."""
    publish(hub / "labelled")
    file = site.files["/cdn/model.safetensors"]
    right = file.data
    file.data = right[:-1] + bytes([right[-1] ^ 1])
    message = refused()
    assert all(hashlib.sha256(data).hexdigest() in message for data in (right, file.data))
    file.data = right
    folder = resolve(URI).downloaded
    assert message.endswith(f"delete {folder}") and folder.name == "models--sail--tiny"
    assert refused() == message
    shutil.rmtree(folder)
    logits = hf[1]["logits"]
    received = np.asarray(PoolFormerImageClassifier.from_preset(URI)(images))
    np.testing.assert_allclose(received, logits, atol=1e-5)


def test_truncated_weights(site, publish, hub, refused):
    publish(hub / "labelled")
    site.files["/cdn/model.safetensors"].data = b"short"
    assert "Consistency check failed" in refused()
    assert not list(resolve(URI).weights.glob("*.safetensors"))


@pytest.mark.parametrize("shard", ["../x.safetensors", "run.py", "evil.bin", "a/b.bin", 5])
def test_a_hostile_index(shard, site, publish, hub, refused, tmp_path):
    folder = tmp_path / "hostile"
    folder.mkdir()
    (folder / "config.json").write_bytes((hub / "labelled/config.json").read_bytes())
    (folder / INDEX).write_text(
        json.dumps({"weight_map": {"classifier.bias": shard}}), encoding="utf-8", newline="\n"
    )
    publish(folder)
    assert f"names the shard {shard!r}, which no library writes" in refused()
    assert site.downloaded() == {"config.json", INDEX}


def test_a_cache_without_a_home_directory(refused, monkeypatch, site):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "~/.cache/huggingface/hub")
    assert refused().endswith("there is no home directory to keep it in; set HF_HOME to a folder")
    assert site.requests == []


ODD = (
    (302, {"Location": "http://[::1"}),
    (302, {"Location": "http://" + "a" * 300 + ".x/"}),
    (302, {"Location": "http://x:99999/"}),
    (302, {"Location": "\xff\xfe"}),
    (200, {"X-Repo-Commit": "../../x", "ETag": '"a"', "Content-Length": "9" * 5000}),
    (200, {"X-Repo-Commit": "0" * 40, "ETag": '"a"', "Content-Length": "x"}),
)


@pytest.mark.parametrize(("status", "headers"), ODD, ids=range(len(ODD)))
def test_an_odd_answer(status, headers, site, refused):
    path = "/sail/tiny/resolve/main/config.json"
    site.files[path] = lambda request: request.answer(status, headers)
    assert refused().startswith(f"{site.url}{path} cannot be downloaded: ")


def test_a_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"huggingface_hub .*keras-poolformer\[keras\]"):
        resolve(URI)

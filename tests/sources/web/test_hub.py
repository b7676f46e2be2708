"""Repositories of a hub: a server on this machine that answers as huggingface.co does."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from keras_poolformer import ImageTransform, PoolFormerImageClassifier
from keras_poolformer.cli import main
from keras_poolformer.sources import resolve
from keras_poolformer.support.errors import InputError
from keras_poolformer.variants import VARIANTS
from tests.helpers import TOLERANCE, randomized_module, relative_error, run_python

torch = pytest.importorskip("torch")
huggingface_hub = pytest.importorskip("huggingface_hub")
save_file = pytest.importorskip("safetensors.torch").save_file

URI = "hf://sail/tiny"


JSON = {"config.json", "preprocessor_config.json"}
INDEX = "model.safetensors.index.json"


# ---------------------------------------------------------------------------------------
# Loaded, and equal to the PyTorch class


def test_a_repository_of_transformers(site, publish, hub, hf, images, class_names, capfd):
    publish(hub / "labelled")
    model = PoolFormerImageClassifier.from_preset(URI)
    assert relative_error(model(images), hf[1]["logits"]) <= TOLERANCE
    assert model.config.labels == class_names
    assert model.provenance["source"] == URI
    assert model.provenance["transform"] == ImageTransform.from_preset(hub / "labelled").to_dict()
    assert site.downloaded() == {*JSON, "model.safetensors"}
    assert capfd.readouterr().err == f"[1/1] downloading {URI} model.safetensors\n"
    site.requests.clear()
    PoolFormerImageClassifier.from_preset(URI)
    assert (site.downloaded(), capfd.readouterr().err) == (set(), "")


def test_shards(site, publish, hub, hf, images):
    publish(hub / "sharded")
    model = PoolFormerImageClassifier.from_preset(URI)
    assert relative_error(model(images), hf[1]["logits"]) <= TOLERANCE
    shards = {file.name for file in (hub / "sharded").glob("*.safetensors")}
    assert site.downloaded() == {"config.json", INDEX} | shards and len(shards) > 1


def test_a_pickle(site, publish, hub, hf, images):
    publish(hub / "bin")
    model = PoolFormerImageClassifier.from_preset(URI)
    assert relative_error(model(images), hf[1]["logits"]) <= TOLERANCE
    assert site.downloaded() == {"config.json", "pytorch_model.bin"}


@pytest.fixture
def timm_folder(tiny_config, images, tmp_path):
    """A tiny network of timm's as timm saves it, and its logits."""
    from conversion.oracles import build_oracle

    # timm has no convolution between stages of the same width.
    oracle = build_oracle(tiny_config.replace(widths=(8, 16, 24, 32)), "timm")
    randomized_module(oracle.module)
    folder = tmp_path / "timm"
    folder.mkdir()
    save_file(oracle.module.state_dict(), folder / "model.safetensors")
    config = {
        "architecture": "poolformer_s12",
        "num_classes": 3,
        "model_args": {"num_classes": 3},
        "pretrained_cfg": {"input_size": [3, 64, 64], "crop_pct": 0.8},
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8", newline="\n")
    return folder, oracle.run(images)["logits"]


def test_a_repository_of_timm(site, publish, timm_folder, images):
    folder, logits = timm_folder
    publish(folder, "timm/tiny.sail_in1k")
    model = PoolFormerImageClassifier.from_preset("hf://timm/tiny.sail_in1k")
    assert model.config.head == "pool_norm"
    assert relative_error(model(images), logits) <= TOLERANCE
    assert site.downloaded() == {"config.json", "model.safetensors"}


def test_only_what_is_needed(site, publish, hub, hf, images, tmp_path):
    """Safetensors before pickles; code, other pickles and other frameworks never."""
    folder = tmp_path / "full"
    folder.mkdir()
    for file in [*(hub / "labelled").iterdir(), *(hub / "bin").iterdir()]:
        (folder / file.name).write_bytes(file.read_bytes())
    for name in ("modeling.py", "weights.pkl", "tf_model.h5", "training_args.bin", "README.md"):
        (folder / name).write_bytes(b"not asked for")
    publish(folder)
    model = PoolFormerImageClassifier.from_preset(URI)
    assert relative_error(model(images), hf[1]["logits"]) <= TOLERANCE
    assert site.downloaded() == {*JSON, "model.safetensors"}
    assert {path.rpartition("/")[2] for path in site.asked("HEAD")} == site.downloaded()


@pytest.mark.parametrize("revision", ["v1.0", None, "refs/pr/1"])
def test_a_revision(revision, commit, site, publish, hub):
    revision = revision or commit
    publish(hub / "labelled", revision=revision.replace("/", "%2F"))
    source = resolve(f"{URI}@{revision}")
    assert len(source.fetch()) == 64
    assert source.snapshot.commit == commit
    asked = [path for path in site.asked() if "/resolve/" in path]
    assert {path.split("/")[4] for path in asked[:1]} == {revision.replace("/", "%2F")}


def test_a_dropped_connection_is_continued(site, publish, hub, hf, images):
    publish(hub / "labelled")
    site.files["/cdn/model.safetensors"].cut = [20_000]
    model = PoolFormerImageClassifier.from_preset(URI)
    assert relative_error(model(images), hf[1]["logits"]) <= TOLERANCE
    assert site.asked()[-2:] == ["/cdn/model.safetensors"] * 2


# ---------------------------------------------------------------------------------------
# Without weights


def test_what_json_tells_needs_no_weights(site, publish, hub, class_names, tiny_config, capfd):
    publish(hub / "labelled")
    assert resolve(URI).config["labels"] == list(class_names)
    assert ImageTransform.from_preset(URI) == ImageTransform.from_preset(hub / "labelled")
    model = PoolFormerImageClassifier.from_preset(URI, load_weights=False)
    assert model.config == tiny_config.replace(labels=class_names)
    assert main(["summary", URI, "--json"]) == 0
    assert site.downloaded() == JSON
    assert capfd.readouterr().err == f"[1/2] building {URI}\n[2/2] counting\n"


def test_what_the_name_of_a_timm_architecture_tells(site, publish, timm_folder):
    folder, _ = timm_folder
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(
        json.dumps({"architecture": config["architecture"], "num_classes": 7}),
        encoding="utf-8",
        newline="\n",
    )
    publish(folder)
    model = PoolFormerImageClassifier.from_preset(URI, load_weights=False)
    expected = VARIANTS["poolformer_s12"].replace(
        num_classes=7, head="pool_norm", drop_path_rate=0.0
    )
    assert model.config == expected
    assert ImageTransform.from_preset(URI) == ImageTransform(crop_pct=0.875)  # timm's default
    assert site.downloaded() == {"config.json"}


# ---------------------------------------------------------------------------------------
# Offline


def test_offline_with_a_cache(site, publish, hub, hf, images, monkeypatch):
    publish(hub / "labelled")
    PoolFormerImageClassifier.from_preset(URI)
    site.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = PoolFormerImageClassifier.from_preset(URI)
    assert relative_error(model(images), hf[1]["logits"]) <= TOLERANCE
    assert site.requests == []


def test_an_unreachable_hub_with_a_cache(site, publish, hub):
    publish(hub / "bin")
    before = resolve(URI).fetch()
    site.files.clear()
    site.close()
    assert resolve(URI).fetch() == before


def test_offline_without_a_cache(site, publish, hub, refused, monkeypatch):
    publish(hub / "labelled")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = refused()
    assert message.startswith(f"{site.url}/sail/tiny/resolve/main/config.json cannot be downlo")
    assert "HF_HUB_OFFLINE forbids connections, and " in message
    assert message.endswith("`hf download sail/tiny --local-dir DIR` fetches it elsewhere, then "
                            "give DIR")  # fmt: skip
    assert site.requests == []


def test_offline_with_a_cache_of_json_alone(site, publish, hub, refused, monkeypatch):
    publish(hub / "labelled")
    resolve(URI)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "/model.safetensors cannot be downloaded: HF_HUB_OFFLINE forbids" in refused()


# ---------------------------------------------------------------------------------------
# The environment, in processes of their own


@pytest.mark.slow
def test_the_environment_and_two_processes_at_once(commit, site, publish, hub, tmp_path):
    publish(hub / "labelled")
    config = site.files["/sail/tiny/resolve/main/config.json"]
    config.headers["X-HF-Warning"] = "topic; a warning of the hub"  # not for our users
    code = (
        "import os, sys\n"
        "from keras_poolformer.sources import resolve\n"
        "source = resolve('hf://sail/tiny')\n"
        "source.fetch()\n"
        "print(source.weights)\n"
        "assert not {'keras', 'tensorflow', 'torch'} & set(sys.modules)\n"
    )
    environment = os.environ | {"HF_ENDPOINT": site.url, "HF_HOME": str(tmp_path / "home")}
    environment.pop("HF_HUB_CACHE", None)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: run_python("-c", code, env=environment), range(2)))
    folder = tmp_path / "home/hub/models--sail--tiny/snapshots" / commit
    assert [(one.stdout, one.returncode) for one in done] == [(f"{folder}\n", 0)] * 2, done
    shown = "[1/1] downloading hf://sail/tiny model.safetensors\n"
    assert {one.stderr for one in done} <= {shown, ""}
    data = (hub / "labelled/model.safetensors").read_bytes()
    assert (folder / "model.safetensors").read_bytes() == data
    site.requests.clear()
    offline = run_python("-c", code, env=environment | {"HF_HUB_OFFLINE": "1"})
    assert (offline.stdout, offline.stderr) == (f"{folder}\n", "")
    assert site.requests == []


def test_a_repository_of_card(site, publish, hub, images, tmp_path):
    """Its root has no config.json, but model.keras and the description beside it."""
    transform = ImageTransform(size=64, mean=(0.4, 0.5, 0.6))
    model = PoolFormerImageClassifier.from_preset(hub / "labelled")
    model.save_to_preset(tmp_path / "repository", transform)
    publish(tmp_path / "repository")
    assert ImageTransform.from_preset(URI) == transform
    assert site.downloaded() == {"keras_poolformer.json"}
    loaded = PoolFormerImageClassifier.from_preset(URI)
    np.testing.assert_array_equal(loaded(images), model(images))
    assert loaded.transform == transform
    assert site.downloaded() == {"keras_poolformer.json", "model.keras"}


def test_damaged_weights_of_card(site, publish, hub, tmp_path):
    """The hub says which sha256 they have."""
    PoolFormerImageClassifier.from_preset(hub / "labelled").save_to_preset(tmp_path / "repository")
    publish(tmp_path / "repository")
    file = site.files["/cdn/model.keras"]
    file.data = file.data[:-1] + bytes([file.data[-1] ^ 1])
    with pytest.raises(InputError, match="checksum mismatch"):
        PoolFormerImageClassifier.from_preset(URI)

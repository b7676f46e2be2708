"""Models from every kind of source: the libraries' own directories, files, .keras archives."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from keras_poolformer import (
    ImageTransform,
    PoolFormerBackbone,
    PoolFormerConfig,
    PoolFormerImageClassifier,
)
from keras_poolformer.errors import InputError
from keras_poolformer.loading import image_transform
from keras_poolformer.presets import ASSETS

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[1]
TOLERANCE = 2e-6  # relative L2 in float32; measured up to 4e-7
TINY = PoolFormerConfig(depths=(1, 1, 1, 1), widths=(8, 8, 16, 16), num_classes=3)
LABELS = ("cat", "dog", "owl")


def error(received, expected):
    received = keras.ops.convert_to_numpy(received)
    assert received.shape == expected.shape
    return np.linalg.norm(received - expected) / np.linalg.norm(expected)


def randomize(module):
    """Every parameter: fresh layer scales of 1e-5 would hide the blocks."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.2
            noise = scale * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise + 0.5 if parameter.ndim == 1 else noise)
    return module


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((2, 64, 96, 3), np.float32)


@pytest.fixture(scope="module")
def hf(images):
    """transformers' class, and its logits for the images."""
    from conversion.oracles import build_oracle

    oracle = build_oracle(TINY, "hf")
    randomize(oracle.module)
    return oracle.module, oracle.run(images)


@pytest.fixture(scope="module")
def timm_s12(images, tmp_path_factory):
    """timm's own poolformer_s12 with 5 classes, as timm saves it; and its logits."""
    from conversion.torch_imports import declare_torchvision_operators

    declare_torchvision_operators()
    import timm
    from timm.models import save_for_hf

    folder = tmp_path_factory.mktemp("timm")
    module = randomize(timm.create_model("poolformer_s12", num_classes=5)).eval()
    save_for_hf(module, folder / "safe", safe_serialization=True)
    save_for_hf(module, folder / "bin", safe_serialization=False)
    with torch.inference_mode():
        logits = module(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    return folder, logits


@pytest.fixture(scope="module")
def hub(hf, tmp_path_factory):
    """Directories as transformers writes them."""
    from transformers import PoolFormerImageProcessorPil

    module, _ = hf
    folder = tmp_path_factory.mktemp("hub")
    module.save_pretrained(folder / "placeholders")
    module.save_pretrained(folder / "sharded", max_shard_size="12KB")
    module.poolformer.save_pretrained(folder / "bare")
    (folder / "bin").mkdir()
    module.config.save_pretrained(folder / "bin")
    torch.save(module.state_dict(), folder / "bin/pytorch_model.bin")

    module.config.id2label = dict(enumerate(LABELS))
    module.poolformer.save_pretrained(folder / "bare_labelled")
    module.save_pretrained(folder / "labelled")
    processor = PoolFormerImageProcessorPil(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}, crop_pct=0.95
    )
    processor.save_pretrained(folder / "labelled")
    return folder


@pytest.fixture(scope="module")
def archive(hub, tmp_path_factory):
    """The labelled network as a .keras file."""
    path = tmp_path_factory.mktemp("keras") / "x.keras"
    PoolFormerImageClassifier.from_preset(hub / "labelled").save(path)
    return path


# ---------------------------------------------------------------------------------------
# Directories that the real libraries wrote


@pytest.mark.parametrize("name", ["placeholders", "sharded", "bin", "labelled"])
def test_a_classifier_of_transformers(name, hub, hf, images):
    model = PoolFormerImageClassifier.from_preset(hub / name)
    assert error(model(images), hf[1]["logits"]) <= TOLERANCE
    assert model.config == TINY.replace(labels=LABELS if name == "labelled" else None)
    assert model.provenance["layout"] == "hf"
    assert (model.provenance["tensors"], model.provenance["new_tensors"]) == (52, [])


def test_shards_are_more_than_one_file(hub):
    assert len(list((hub / "sharded").glob("*.safetensors"))) > 1


def test_a_missing_shard_is_named(hub, tmp_path):
    for file in (hub / "sharded").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    lost = sorted(tmp_path.glob("*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(InputError, match=lost.name):
        PoolFormerImageClassifier.from_preset(tmp_path)


@pytest.mark.parametrize("name", ["bare", "bare_labelled"])
def test_a_bare_model_of_transformers(name, hub, hf, images):
    """Its config.json goes on speaking of classes, which are no longer there."""
    backbone = PoolFormerBackbone.from_preset(hub / name)
    assert (backbone.config.num_classes, backbone.config.labels) == (0, None)
    assert error(backbone(images), hf[1]["P5"]) <= TOLERANCE
    with pytest.raises(InputError, match=r"lacks norm\.bias, norm\.weight"):
        PoolFormerImageClassifier.from_preset(hub / name)
    model = PoolFormerImageClassifier.from_preset(hub / name, num_classes=3)
    new = ["head/bias", "head/kernel", "head_norm/beta", "head_norm/gamma"]
    assert sorted(model.provenance["new_tensors"]) == new
    assert error(model.backbone(images), hf[1]["P5"]) <= TOLERANCE


@pytest.mark.parametrize("kind", ["safe", "bin"])
def test_a_directory_of_timm(kind, timm_s12, images):
    folder, logits = timm_s12
    model = PoolFormerImageClassifier.from_preset(folder / kind)
    assert error(model(images), logits) <= TOLERANCE
    assert (model.config.head, model.config.num_classes) == ("pool_norm", 5)
    assert model.provenance["layout"] == "timm"
    assert image_transform(model) == ImageTransform(crop_pct=0.9)


def test_the_image_processor_beside_the_weights(hub):
    """Bit for bit what transformers' processor makes of a photograph, with its crop."""
    from transformers import PoolFormerImageProcessorPil

    transform = image_transform(PoolFormerImageClassifier.from_preset(hub / "labelled"))
    assert (transform.crop_mode, transform.size, transform.crop_pct) == ("hf", 64, 0.95)
    assert ImageTransform.from_preset(hub / "labelled") == transform
    processor = PoolFormerImageProcessorPil.from_pretrained(hub / "labelled")
    for photo in sorted((ASSETS / "photos").glob("*.jpg")):
        with Image.open(photo) as image:
            image = image.convert("RGB")
        expected = processor(image, return_tensors="np")["pixel_values"][0]
        np.testing.assert_array_equal(transform(image), expected.transpose(1, 2, 0))


# ---------------------------------------------------------------------------------------
# What may be changed while loading


@pytest.mark.parametrize("source", ["directory", "file", "archive"])
def test_the_other_head(source, hub, hf, archive, images):
    path = {
        "directory": hub / "placeholders",
        "file": hub / "placeholders/model.safetensors",
        "archive": archive,
    }[source]
    model = PoolFormerImageClassifier.from_preset(path, head="pool_norm")
    assert model.config.head == model.provenance["head"] == "pool_norm"
    assert error(model.backbone(images), hf[1]["P5"]) <= TOLERANCE

    pooled = hf[1]["P5"].mean((1, 2))
    normed = (pooled - pooled.mean(-1, keepdims=True)) / np.sqrt(
        pooled.var(-1, keepdims=True) + 1e-6
    )
    state = {name: value.numpy() for name, value in hf[0].state_dict().items()}
    embedding = normed * state["norm.weight"] + state["norm.bias"]
    expected = embedding @ state["classifier.weight"].T + state["classifier.bias"]
    assert error(model(images), expected) <= TOLERANCE


@pytest.mark.parametrize("source", ["directory", "archive"])
def test_other_classes_keep_the_backbone(source, hub, hf, archive, images):
    path = hub / "labelled" if source == "directory" else archive
    model = PoolFormerImageClassifier.from_preset(path, num_classes=7)
    assert model(images).shape == (2, 7)
    assert model.config.labels is None
    assert sorted(model.provenance["new_tensors"]) == ["head/bias", "head/kernel"]
    assert error(model.backbone(images), hf[1]["P5"]) <= TOLERANCE
    original = PoolFormerImageClassifier.from_preset(path)
    np.testing.assert_array_equal(model.embed(images), original.embed(images))
    assert sorted(original.provenance["new_tensors"]) == []

    labelled = PoolFormerImageClassifier.from_preset(path, num_classes=2, labels=("a", "b"))
    assert labelled.config.labels == ("a", "b")
    headless = PoolFormerImageClassifier.from_preset(path, num_classes=0)
    np.testing.assert_array_equal(headless(images), original.embed(images))
    assert headless.provenance["new_tensors"] == []


@pytest.mark.parametrize(
    "source", ["labelled", "placeholders", "bare", "labelled/model.safetensors", "archive"]
)
def test_an_architecture_without_its_weights(source, hub, hf, archive, images):
    path = archive if source == "archive" else hub / source
    model = PoolFormerImageClassifier.from_preset(path, load_weights=False)
    assert model.config.replace(labels=None) == TINY
    assert error(model.backbone(images), hf[1]["P5"]) > 0.1
    assert not (model.provenance or {}).get("tensors")


def test_an_architecture_without_its_weights_needs_no_file():
    model = PoolFormerImageClassifier.from_preset("poolformer_s12", load_weights=False)
    assert model.count_params() == 11_915_176
    assert model.provenance["source"] == "poolformer_s12_in1k"


def test_unknown_fields_know_the_neighbours_words(archive):
    with pytest.raises(InputError, match=r"Did you mean `widths`\?"):
        PoolFormerImageClassifier.from_preset(archive, hidden_sizes=(8, 8, 16, 16))


@pytest.mark.parametrize("source", ["labelled", "labelled/model.safetensors", "archive"])
def test_a_backbone_of_a_classifiers_checkpoint(source, hub, hf, archive, images):
    path = archive if source == "archive" else hub / source
    backbone = PoolFormerBackbone.from_preset(path)
    assert error(backbone(images), hf[1]["P5"]) <= TOLERANCE
    assert backbone.provenance["sha256"]


def test_a_classifier_of_a_backbones_archive(hub, tmp_path):
    PoolFormerBackbone.from_preset(hub / "bare").save(tmp_path / "x.keras")
    with pytest.raises(InputError, match="head_norm/gamma must have shape"):
        PoolFormerImageClassifier.from_preset(tmp_path / "x.keras")


# ---------------------------------------------------------------------------------------
# .keras files

FRESH = """
import json, sys
import numpy as np
{load}
images = np.load(sys.argv[2])
transform = keras_poolformer.loading.image_transform(model).to_dict()
print(json.dumps([type(model).__name__, np.asarray(model(images)).tolist(),
                  model.get_config()["provenance"], transform, list(model.config.labels)]))
"""
WAYS = {
    "keras": """
from keras_poolformer import PoolFormerImageClassifier
import keras, keras_poolformer.loading
model = keras.saving.load_model(sys.argv[1])
""",
    "from_preset": """
import keras_poolformer
model = keras_poolformer.PoolFormerImageClassifier.from_preset(sys.argv[1])
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_an_archive_in_a_fresh_process(way, archive, hub, images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-c", FRESH.format(load=WAYS[way]), archive, tmp_path / "images.npy"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name, logits, provenance, transform, labels = json.loads(done.stdout.splitlines()[-1])
    model = PoolFormerImageClassifier.from_preset(hub / "labelled")
    assert name == "PoolFormerImageClassifier"
    np.testing.assert_array_equal(np.float32(logits), model(images))
    assert provenance == model.get_config()["provenance"]
    weights = (hub / "labelled/model.safetensors").read_bytes()
    assert provenance["sha256"] == hashlib.sha256(weights).hexdigest()
    assert provenance["head"] == "norm_pool"
    assert transform == image_transform(model).to_dict()
    assert transform["crop_mode"] == "hf"
    assert tuple(labels) == LABELS


def test_an_archive_is_the_same_class_and_numbers(archive, hub, images):
    original = PoolFormerImageClassifier.from_preset(hub / "labelled")
    for model in (
        PoolFormerImageClassifier.from_preset(archive),
        PoolFormerImageClassifier.from_preset(str(archive)),
        keras.saving.load_model(archive),
    ):
        assert type(model) is PoolFormerImageClassifier
        assert model.config == original.config
        np.testing.assert_array_equal(model(images), original(images))
    assert ImageTransform.from_preset(archive) == image_transform(original)


def test_an_archive_keeps_its_dtype_policy(hub, tmp_path):
    model = PoolFormerImageClassifier(TINY, dtype="mixed_bfloat16")
    model.save(tmp_path / "x.keras")
    loaded = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras")
    assert loaded.dtype_policy.name == "mixed_bfloat16"


def test_an_archive_without_origin(images, tmp_path):
    model = PoolFormerImageClassifier(TINY)
    model.save(tmp_path / "x.keras")
    loaded = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras")
    assert not loaded.provenance
    np.testing.assert_array_equal(loaded(images), model(images))
    assert ImageTransform.from_preset(tmp_path / "x.keras") == ImageTransform()
    other = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras", num_classes=2)
    assert other.provenance["new_tensors"] == ["head/kernel", "head/bias"]


# ---------------------------------------------------------------------------------------
# .keras files that nobody has checked


def edited(archive, path, edit):
    """Writes a copy of an archive after `edit(config)` has changed its config.json."""
    with zipfile.ZipFile(archive) as original, zipfile.ZipFile(path, "w") as copy:
        for name in original.namelist():
            data = original.read(name)
            if name == "config.json":
                config = json.loads(data)
                edit(config)
                data = json.dumps(config).encode()
            copy.writestr(name, data)
    return path


def refused(path, *classes):
    """The one line with which a .keras file is refused."""
    for model_class in classes or (PoolFormerImageClassifier, PoolFormerBackbone):
        with pytest.raises(InputError) as caught:
            model_class.from_preset(path)
        assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("keep", [0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_archive(keep, archive, tmp_path):
    data = archive.read_bytes()
    (tmp_path / "x.keras").write_bytes(data[: int(len(data) * keep)])
    assert "no readable .keras file" in refused(tmp_path / "x.keras")


def test_an_archive_that_is_none(tmp_path):
    (tmp_path / "x.keras").write_text("no zip")
    assert "no readable .keras file" in refused(tmp_path / "x.keras")
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as file:
        file.writestr("other.txt", "no model")
    assert "saved by this package" in refused(tmp_path / "x.keras")
    (tmp_path / "x.keras").unlink()
    (tmp_path / "x.keras").mkdir()
    assert "directory" in refused(tmp_path / "x.keras")


@pytest.mark.parametrize("part", ["model.weights.h5", "config.json"])
def test_a_damaged_part_of_an_archive(part, archive, tmp_path):
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        info = file.getinfo(part)
    data[info.header_offset + 200 + info.compress_size // 2] ^= 0xFF
    (tmp_path / "x.keras").write_bytes(data)
    refused(tmp_path / "x.keras")


def test_an_archive_without_its_weights(archive, tmp_path):
    with zipfile.ZipFile(archive) as original:
        parts = {name: original.read(name) for name in original.namelist()}
    for weights in (None, b"", b"no hdf5"):
        with zipfile.ZipFile(tmp_path / "x.keras", "w") as file:
            file.writestr("large enough", bytes(100_000))
            file.writestr("config.json", parts["config.json"])
            if weights is not None:
                file.writestr("model.weights.h5", weights)
        assert "weights cannot be read" in refused(tmp_path / "x.keras")


def test_an_archive_of_another_model(tmp_path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(tmp_path / "x.keras")
    assert "saved by this package" in refused(tmp_path / "x.keras")


@pytest.mark.parametrize(
    "described",
    [
        {"module": "os", "class_name": "system", "registered_name": "system", "config": "touch X"},
        {"module": "os", "class_name": "system", "registered_name": None, "config": {}},
        {"module": "builtins", "class_name": "eval", "registered_name": "eval", "config": {}},
        {"module": "hostile_module", "class_name": "Thing", "registered_name": "Thing"},
    ],
)
def test_an_archive_that_names_other_code(described, archive, tmp_path, monkeypatch):
    marker = tmp_path / "X"
    (tmp_path / "hostile_module.py").write_text(f"open({str(marker)!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "system", lambda command: marker.touch())

    def edit(config):
        config.clear()
        config.update(described)

    assert "saved by this package" in refused(edited(archive, tmp_path / "x.keras", edit))
    # The names beside ours are not even looked at.
    hidden = {key: described[key] for key in ("module", "class_name")}
    path = edited(archive, tmp_path / "x.keras", lambda config: config.update(hidden))
    assert type(PoolFormerImageClassifier.from_preset(path)) is PoolFormerImageClassifier
    assert "hostile_module" not in sys.modules and not marker.exists()


def test_code_inside_an_archives_values_stays_text(archive, tmp_path):
    """Keras would deserialise this dictionary into a function."""
    lambda_layer = {"module": "keras.layers", "class_name": "Lambda", "config": {"function": "x"}}
    path = edited(
        archive,
        tmp_path / "x.keras",
        lambda config: config["config"]["config"].update(activation=lambda_layer),
    )
    assert "`activation` must be one of" in refused(path)


HOSTILE = [
    (("config",), None, "saved by this package"),
    (("config",), [], "saved by this package"),
    (("registered_name",), 5, "saved by this package"),
    (("registered_name",), "keras_poolformer>Foo", "Foo"),
    (("registered_name",), "keras_poolformer>Mlp", "Mlp"),
    (("config", "config"), [1], "saved by this package"),
    (("config", "config"), {"foo": 1}, "no field `foo`"),
    (("config", "config", "depths"), 5, "depths"),
    (("config", "config", "depths"), [2, 1, 1, 1], "weights cannot be read"),
    (("config", "config", "depths"), [10**9, 1, 1, 1], "depths"),
    (("config", "config", "widths"), [8, 8, 16, float("nan")], "widths"),
    (("config", "config", "widths"), [8, 8, 16, 24], "weights cannot be read"),
    (("config", "config", "strides"), [-4, 2, 2, 2], "strides"),
    (("config", "config", "activation"), ["gelu"], "activation"),
    (("config", "config", "head"), {}, "head"),
    (("config", "config", "labels"), [1, 2, 3], "labels"),
    (("config", "config", "labels"), ["cat"], "labels"),
    (("config", "config", "use_layer_scale"), "no", "use_layer_scale"),
    (("config", "dtype", "config", "name"), "float31", "dtype"),
    (("config", "dtype", "config", "name"), ["float32"], "dtype"),
    (("config", "dtype"), None, "saved by this package"),
    (("config", "provenance"), "somewhere", "saved by this package"),
]


@pytest.mark.parametrize(("place", "value", "says"), HOSTILE)
def test_an_archive_with_hostile_values(place, value, says, archive, tmp_path):
    def edit(config):
        for key in place[:-1]:
            config = config[key]
        config[place[-1]] = value

    message = refused(edited(archive, tmp_path / "x.keras", edit), PoolFormerImageClassifier)
    assert says in message


def test_an_archive_with_a_hostile_transform(archive, tmp_path):
    for value, says in (([1], "mapping"), ({"size": "x"}, "size"), ({"foo": 1}, "foo")):
        path = edited(
            archive,
            tmp_path / "x.keras",
            lambda config, value=value: config["config"]["provenance"].update(transform=value),
        )
        with pytest.raises(InputError, match=says):
            ImageTransform.from_preset(path)


# ---------------------------------------------------------------------------------------
# Single files


def test_a_file_tells_its_architecture_but_not_its_transform(hf, images, tmp_path):
    save_file(hf[0].state_dict(), tmp_path / "x.safetensors")
    buffer = io.BytesIO()
    torch.save({"model": hf[0].state_dict()}, buffer)
    (tmp_path / "x.bin").write_bytes(buffer.getvalue())
    for name in ("x.safetensors", "x.bin"):
        model = PoolFormerImageClassifier.from_preset(tmp_path / name)
        assert model.config == TINY
        assert error(model(images), hf[1]["logits"]) <= TOLERANCE
        assert model.provenance["source"] == name
        assert ImageTransform.from_preset(tmp_path / name) == ImageTransform()


def test_what_shapes_do_not_tell_can_be_said(hf, tmp_path):
    save_file(hf[0].state_dict(), tmp_path / "x.safetensors")
    model = PoolFormerImageClassifier.from_preset(
        tmp_path / "x.safetensors", pool_size=5, drop_path_rate=0.5, labels=LABELS
    )
    assert model.config == TINY.replace(pool_size=5, drop_path_rate=0.5, labels=LABELS)


def test_a_description_larger_than_the_file_is_refused_before_it_costs_memory(archive, tmp_path):
    with zipfile.ZipFile(archive) as original:
        parts = {name: original.read(name) for name in original.namelist()}
    document = json.loads(parts["config.json"])
    document["config"]["config"]["widths"] = [8, 8, 16, 16_384]
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as file:
        for name, part in (parts | {"config.json": json.dumps(document).encode()}).items():
            file.writestr(name, part)
    assert "describes 2,1" in refused(tmp_path / "x.keras")


def test_infinite_weights_in_a_keras_file_are_named(archive, tmp_path):
    model = PoolFormerImageClassifier.from_preset(archive)
    model.head.bias.assign([0.0, float("inf"), 0.0])
    model.save(tmp_path / "x.keras")
    assert "head/bias must hold finite weights" in refused(tmp_path / "x.keras")


def test_a_compiled_and_trained_model_is_read_back_without_its_optimizer(archive, tmp_path):
    model = PoolFormerImageClassifier.from_preset(archive)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = np.random.default_rng(0).standard_normal((4, 32, 32, 3)).astype("float32")
    model.fit(images, np.array([0, 1, 2, 0]), verbose=0)
    model.save(tmp_path / "x.keras")
    again = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras")
    assert np.array_equal(again(images), model(images))


def test_the_architecture_of_a_keras_file_keeps_its_transform(archive):
    model = PoolFormerImageClassifier.from_preset(archive, load_weights=False)
    assert image_transform(model) == ImageTransform.from_preset(archive)

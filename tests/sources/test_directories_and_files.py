"""Models from the libraries' own directories and files, and what may be changed while loading."""

import io

import numpy as np
import pytest
from PIL import Image

from keras_poolformer import ImageTransform, PoolFormerBackbone, PoolFormerImageClassifier
from keras_poolformer.support.errors import InputError
from tests.helpers import TOLERANCE, randomized_module, relative_error

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file


@pytest.fixture(scope="module")
def timm_s12(images, tmp_path_factory):
    """(folder, logits) of timm's own poolformer_s12 with 5 classes, as timm saves it."""
    import timm
    from timm.models import save_for_hf

    folder = tmp_path_factory.mktemp("timm")
    module = randomized_module(timm.create_model("poolformer_s12", num_classes=5)).eval()
    save_for_hf(module, folder / "safe", safe_serialization=True)
    save_for_hf(module, folder / "bin", safe_serialization=False)
    with torch.inference_mode():
        logits = module(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    return folder, logits


# ---------------------------------------------------------------------------------------
# Directories that the real libraries wrote


@pytest.mark.first(2)
@pytest.mark.parametrize("name", ["placeholders", "sharded", "bin", "labelled"])
def test_a_classifier_of_transformers(name, hub, hf, images, tiny_config, class_names):
    model = PoolFormerImageClassifier.from_preset(hub / name)
    assert relative_error(model(images), hf[1]["logits"]) <= TOLERANCE
    assert model.config == tiny_config.replace(labels=class_names if name == "labelled" else None)
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


@pytest.mark.first(1)
@pytest.mark.parametrize("name", ["bare", "bare_labelled"])
def test_a_bare_model_of_transformers(name, hub, hf, images):
    """Its config.json goes on speaking of classes, which are no longer there."""
    backbone = PoolFormerBackbone.from_preset(hub / name)
    assert (backbone.config.num_classes, backbone.config.labels) == (0, None)
    assert relative_error(backbone(images), hf[1]["P5"]) <= TOLERANCE
    with pytest.raises(InputError, match=r"lacks norm\.bias, norm\.weight"):
        PoolFormerImageClassifier.from_preset(hub / name)
    model = PoolFormerImageClassifier.from_preset(hub / name, num_classes=3)
    new = ["head/bias", "head/kernel", "head_norm/beta", "head_norm/gamma"]
    assert sorted(model.provenance["new_tensors"]) == new
    assert relative_error(model.backbone(images), hf[1]["P5"]) <= TOLERANCE


@pytest.mark.first(1)
@pytest.mark.parametrize("kind", ["safe", "bin"])
def test_a_directory_of_timm(kind, timm_s12, images):
    folder, logits = timm_s12
    model = PoolFormerImageClassifier.from_preset(folder / kind)
    assert relative_error(model(images), logits) <= TOLERANCE
    assert (model.config.head, model.config.num_classes) == ("pool_norm", 5)
    assert model.provenance["layout"] == "timm"
    assert model.transform == ImageTransform(crop_pct=0.9)


def test_the_image_processor_beside_the_weights(hub, photographs):
    """Bit for bit what transformers' processor makes of a photograph, with its crop."""
    from transformers import PoolFormerImageProcessorPil

    transform = PoolFormerImageClassifier.from_preset(hub / "labelled").transform
    assert (transform.crop_mode, transform.size, transform.crop_pct) == ("hf", 64, 0.95)
    assert ImageTransform.from_preset(hub / "labelled") == transform
    processor = PoolFormerImageProcessorPil.from_pretrained(hub / "labelled")
    for photo in photographs:
        with Image.open(photo) as image:
            image = image.convert("RGB")
        expected = processor(image, return_tensors="np")["pixel_values"][0]
        np.testing.assert_array_equal(transform(image), expected.transpose(1, 2, 0))


# ---------------------------------------------------------------------------------------
# Single files


def test_a_file_tells_its_architecture_but_not_its_transform(hf, images, tmp_path, tiny_config):
    save_file(hf[0].state_dict(), tmp_path / "x.safetensors")
    buffer = io.BytesIO()
    torch.save({"model": hf[0].state_dict()}, buffer)
    (tmp_path / "x.bin").write_bytes(buffer.getvalue())
    for name in ("x.safetensors", "x.bin"):
        model = PoolFormerImageClassifier.from_preset(tmp_path / name)
        assert model.config == tiny_config
        assert relative_error(model(images), hf[1]["logits"]) <= TOLERANCE
        assert model.provenance["source"] == name
        assert ImageTransform.from_preset(tmp_path / name) == ImageTransform()


def test_what_shapes_do_not_tell_can_be_said(hf, tmp_path, class_names, tiny_config):
    save_file(hf[0].state_dict(), tmp_path / "x.safetensors")
    model = PoolFormerImageClassifier.from_preset(
        tmp_path / "x.safetensors", pool_size=5, drop_path_rate=0.5, labels=class_names
    )
    assert model.config == tiny_config.replace(pool_size=5, drop_path_rate=0.5, labels=class_names)


# ---------------------------------------------------------------------------------------
# What may be changed while loading


@pytest.mark.first(2)
@pytest.mark.parametrize("source", ["archive", "directory", "file"])
def test_the_other_head(source, hub, hf, archive, images):
    path = {
        "directory": hub / "placeholders",
        "file": hub / "placeholders/model.safetensors",
        "archive": archive,
    }[source]
    model = PoolFormerImageClassifier.from_preset(path, head="pool_norm")
    assert model.config.head == model.provenance["head"] == "pool_norm"
    assert relative_error(model.backbone(images), hf[1]["P5"]) <= TOLERANCE

    pooled = hf[1]["P5"].mean((1, 2))
    normed = (pooled - pooled.mean(-1, keepdims=True)) / np.sqrt(
        pooled.var(-1, keepdims=True) + 1e-6
    )
    state = {name: value.numpy() for name, value in hf[0].state_dict().items()}
    embedding = normed * state["norm.weight"] + state["norm.bias"]
    expected = embedding @ state["classifier.weight"].T + state["classifier.bias"]
    assert relative_error(model(images), expected) <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("source", ["archive", "directory"])
def test_other_classes_keep_the_backbone(source, hub, hf, archive, images):
    path = hub / "labelled" if source == "directory" else archive
    model = PoolFormerImageClassifier.from_preset(path, num_classes=7)
    assert model(images).shape == (2, 7)
    assert model.config.labels is None
    assert sorted(model.provenance["new_tensors"]) == ["head/bias", "head/kernel"]
    assert relative_error(model.backbone(images), hf[1]["P5"]) <= TOLERANCE
    original = PoolFormerImageClassifier.from_preset(path)
    np.testing.assert_array_equal(model.embed(images), original.embed(images))
    assert sorted(original.provenance["new_tensors"]) == []

    labelled = PoolFormerImageClassifier.from_preset(path, num_classes=2, labels=("a", "b"))
    assert labelled.config.labels == ("a", "b")
    headless = PoolFormerImageClassifier.from_preset(path, num_classes=0)
    np.testing.assert_array_equal(headless(images), original.embed(images))
    assert headless.provenance["new_tensors"] == []


@pytest.mark.first(2)
@pytest.mark.parametrize(
    "source", ["labelled", "placeholders", "bare", "labelled/model.safetensors", "archive"]
)
def test_an_architecture_without_its_weights(source, hub, hf, archive, images, tiny_config):
    path = archive if source == "archive" else hub / source
    model = PoolFormerImageClassifier.from_preset(path, load_weights=False)
    assert model.config.replace(labels=None) == tiny_config
    assert relative_error(model.backbone(images), hf[1]["P5"]) > 0.1
    assert not (model.provenance or {}).get("tensors")


def test_an_architecture_without_its_weights_needs_no_file():
    model = PoolFormerImageClassifier.from_preset("poolformer_s12", load_weights=False)
    assert model.count_params() == 11_915_176
    assert model.provenance["source"] == "poolformer_s12_in1k"


def test_unknown_fields_know_the_neighbours_words(archive):
    with pytest.raises(InputError, match=r"Did you mean 'widths'\?"):
        PoolFormerImageClassifier.from_preset(archive, hidden_sizes=(8, 8, 16, 16))


@pytest.mark.first(2)
@pytest.mark.parametrize("source", ["archive", "labelled", "labelled/model.safetensors"])
def test_a_backbone_of_a_classifiers_checkpoint(source, hub, hf, archive, images):
    path = archive if source == "archive" else hub / source
    backbone = PoolFormerBackbone.from_preset(path)
    assert relative_error(backbone(images), hf[1]["P5"]) <= TOLERANCE
    assert backbone.provenance["sha256"]


def test_a_classifier_of_a_backbones_archive(hub, tmp_path):
    PoolFormerBackbone.from_preset(hub / "bare").save(tmp_path / "x.keras")
    with pytest.raises(InputError, match="head_norm/gamma must have shape"):
        PoolFormerImageClassifier.from_preset(tmp_path / "x.keras")

"""The SavedModel's signatures, called as TF Serving would call them."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_poolformer import (
    ImageTransform,
    PoolFormerBackbone,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    export_saved_model,
    export_tflite,
)
from keras_poolformer.data.decoding import decode_in_graph
from keras_poolformer.export.saved_model import examine
from keras_poolformer.runtime.description import read_description
from keras_poolformer.support.errors import InputError

TRANSFORM = ImageTransform(size=64, crop_pct=0.9)
CONFIG = PoolFormerConfig(
    depths=(1, 1), widths=(8, 16), num_classes=2, labels=("cat", "dog"), initializer_range=0.3
)


@pytest.fixture(scope="module")
def model():
    return PoolFormerImageClassifier(CONFIG, provenance={"transform": TRANSFORM.to_dict()})


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    return export_saved_model(model, tmp_path_factory.mktemp("export") / "saved_model")


@pytest.fixture(scope="module")
def signatures(path):
    return tf.saved_model.load(str(path)).signatures


@pytest.mark.slow
def test_names(signatures):
    assert set(signatures) == {"serving_default", "encoded", "pixels", "normalized"}


@pytest.mark.parametrize("count", [1, 3])
def test_normalized(model, signatures, photographs, count):
    images = TRANSFORM(photographs[:count])
    outputs = signatures["normalized"](images=tf.constant(images))
    assert np.allclose(outputs["logits"], model(images), atol=1e-5)
    assert np.allclose(outputs["probabilities"], tf.nn.softmax(model(images)), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(480, 640), (50, 40)])
def test_pixels_of_any_size(model, signatures, photographs, height, width):
    image = np.asarray(Image.open(photographs[0]).convert("RGB").resize((width, height)))
    outputs = signatures["pixels"](images=tf.constant(image[None]))
    # The graph's pixels may differ from Pillow's by 1 of 255; measured: equal.
    assert np.allclose(outputs["logits"], model(TRANSFORM([image])), atol=1e-3)


@pytest.mark.first(1)
@pytest.mark.parametrize("signature", ["encoded", "serving_default"])
def test_encoded_files_of_several_sizes_in_one_batch(model, signatures, photographs, signature):
    files = [path.read_bytes() for path in photographs[:3]]
    buffer = io.BytesIO()
    Image.open(photographs[3]).save(buffer, "PNG")
    files.append(buffer.getvalue())
    outputs = signatures[signature](image_bytes=tf.constant(files))
    expected = model(TRANSFORM(photographs[:4]))
    assert np.allclose(outputs["logits"], expected, atol=1e-3)


@pytest.mark.first(2)
@pytest.mark.parametrize(
    ("mode", "file_format", "tolerance"),
    [("RGB", "JPEG", 0), ("L", "JPEG", 0), ("CMYK", "JPEG", 4), ("RGB", "PNG", 0),
     ("L", "PNG", 0), ("RGBA", "PNG", 0), ("P", "PNG", 0)],
)  # fmt: skip
def test_the_stated_tolerance_of_the_decoder(photographs, mode, file_format, tolerance):
    for photograph in photographs:
        buffer = io.BytesIO()
        image = Image.open(photograph).convert("RGB")
        (image.quantize() if mode == "P" else image.convert(mode)).save(buffer, file_format)
        expected = np.asarray(Image.open(buffer).convert("RGB"), int)
        received = decode_in_graph(tf.constant(buffer.getvalue())).numpy()
        assert abs(received - expected).max() <= tolerance


@pytest.mark.parametrize("wrong", [192, "224", {"size": 224}])
def test_a_transform_of_another_type_is_refused(model, tmp_path, wrong):
    for write in (
        lambda: export_saved_model(model, tmp_path / "x", transform=wrong),
        lambda: export_tflite(model, tmp_path / "x.tflite", transform=wrong),
        lambda: model.save_to_preset(tmp_path / "x", transform=wrong),
    ):
        with pytest.raises(InputError, match=r"`transform` must be an ImageTransform.*Received"):
            write()
    assert list(tmp_path.iterdir()) == []


def test_weights_are_written_once(model, path):
    data = sum(file.stat().st_size for file in (path / "variables").iterdir())
    assert data == pytest.approx(4 * model.count_params(), rel=0.1, abs=20_000)


def test_labels_lie_beside_it(path):
    assert (path / "assets.extra" / "labels.txt").read_text(encoding="utf-8") == "cat\ndog\n"


def test_other_channels_have_the_normalized_signature(tmp_path):
    model = PoolFormerImageClassifier(CONFIG.replace(in_channels=4))
    path = export_saved_model(model, tmp_path / "four")
    signatures = tf.saved_model.load(str(path)).signatures
    assert set(signatures) == {"serving_default", "normalized"}


@pytest.mark.slow
def test_an_existing_directory_is_kept_or_replaced_whole(model, path):
    description = path / "assets.extra" / "keras_poolformer.json"
    before = description.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        export_saved_model(model, path)
    description.write_bytes(b"old")
    export_saved_model(model, path, overwrite=True)
    assert description.read_bytes() == before
    (path / "assets.extra" / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"Received: 'assets.extra/thesis.tex' in it"):
        export_saved_model(model, path, overwrite=True)
    (path / "assets.extra" / "thesis.tex").unlink()


@pytest.mark.slow
def test_it_says_how_to_use_it(model, tmp_path):
    labels = ("żaba", "crane, bird")
    path = export_saved_model(model, tmp_path / "other", labels=labels)
    description = read_description(path)
    assert description.labels == labels
    assert description.transform == TRANSFORM
    assert description.provenance["transform"] == TRANSFORM.to_dict()
    assert (description.recipe, description.outputs) == ("saved_model", "logits")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["embedding", "pyramid", "normed pyramid"])
def test_models_without_logits(kind, tmp_path, photographs):
    provenance = {"transform": TRANSFORM.to_dict()}
    if kind == "embedding":
        model = PoolFormerImageClassifier(CONFIG.replace(num_classes=0, labels=None), provenance)
    else:
        config = CONFIG.replace(feature_norms=kind == "normed pyramid")
        model = PoolFormerBackbone(config, provenance)
    images = TRANSFORM(photographs[:2])
    path = export_saved_model(model, tmp_path / "saved_model")
    received = tf.saved_model.load(str(path)).signatures["normalized"](images=tf.constant(images))
    expected = {kind: model(images)} if kind == "embedding" else model.feature_extractor()(images)
    assert received.keys() == expected.keys()
    for name, one in expected.items():
        assert np.allclose(received[name], one, atol=1e-5)  # measured: equal
    assert examine(model, path).error <= 2e-6
    assert read_description(path).outputs == kind.removeprefix("normed ")

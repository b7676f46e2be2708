"""TFLiteSegmenter: labels of an image's own size on LiteRT, and their picture."""

import pickle

import numpy as np
import pytest
from PIL import Image

from keras_poolformer import PoolFormerImageClassifier, export_tflite
from keras_poolformer.runtime import TFLiteClassifier, TFLiteSegmenter
from keras_poolformer.support.errors import InputError
from tests.export.segmenters import TRANSFORM, randomized
from tests.helpers import PHOTOS, TINY, run_python
from tests.segmenters import LABELS, PALETTE, SHALLOW

OUTPUTS = ("logits", "probabilities", "labels")
SCRIPT = """
import sys
from keras_poolformer.runtime import TFLiteSegmenter
segmenter = TFLiteSegmenter(sys.argv[1])
labels = segmenter.segment(sys.argv[2])
segmenter.overlay(sys.argv[2], labels)
print(labels.shape, sorted({"keras", "tensorflow"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def model():
    model = randomized(SHALLOW.replace(widths=(16, 24), labels=LABELS, palette=PALETTE))
    model.transform = TRANSFORM
    return model


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """{outputs: path}."""
    folder = tmp_path_factory.mktemp("segmenters")
    paths = {outputs: folder / f"{outputs}.tflite" for outputs in OUTPUTS}
    for outputs, path in paths.items():
        export_tflite(model, path, inputs="pixels", outputs=outputs)
    return paths


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A photograph of 150 x 100 pixels."""
    path = tmp_path_factory.mktemp("picture") / "photo.png"
    Image.open(PHOTOS[0]).convert("RGB").resize((150, 100)).save(path)
    return path


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_labels_are_those_of_keras(model, files, picture, outputs):
    expected = model.predict_labels(picture)
    assert len(np.unique(expected)) > 2
    segmenter = TFLiteSegmenter(files[outputs])
    labels = segmenter.segment(picture)
    assert (labels.dtype, labels.shape) == (np.uint8, (100, 150))
    # Measured 1; labels that are repeated instead of interpolated again differ at borders, 0.97.
    assert np.mean(labels == expected) >= (0.95 if outputs == "labels" else 0.999)
    with Image.open(picture) as image:
        np.testing.assert_array_equal(segmenter.segment(image), labels)
        np.testing.assert_array_equal(segmenter.segment(np.asarray(image)), labels)


def test_names_and_colors(files):
    segmenter = TFLiteSegmenter(files["logits"], num_threads=2)
    assert (segmenter.labels, segmenter.palette) == (LABELS, PALETTE)
    assert pickle.loads(pickle.dumps(segmenter)).palette == PALETTE


def test_overlay_is_half_picture_half_palette(files, picture):
    segmenter = TFLiteSegmenter(files["labels"])
    labels = segmenter.segment(picture)
    labels[:10] = 255  # ignored
    drawn = np.asarray(segmenter.overlay(picture, labels)).astype(float)
    pixels = np.asarray(Image.open(picture)).astype(float)
    np.testing.assert_array_equal(drawn[:10], pixels[:10])
    expected = (pixels + np.array(PALETTE)[np.where(labels == 255, 0, labels)]) / 2
    assert np.abs(drawn - expected)[10:].max() <= 0.5


@pytest.mark.parametrize("labels", [np.zeros((100, 151), np.uint8), np.zeros((100, 150))])
def test_labels_of_another_image(files, picture, labels):
    with pytest.raises(InputError, match=r"whole numbers of shape \(100, 150\)"):
        TFLiteSegmenter(files["logits"]).overlay(picture, labels)


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_a_classifier_rejects_them(files, outputs):
    with pytest.raises(InputError, match="TFLiteSegmenter opens this one"):
        TFLiteClassifier(files[outputs])


def test_a_segmenter_rejects_classifiers(tmp_path):
    path = tmp_path / "m.tflite"
    export_tflite(PoolFormerImageClassifier(TINY), path)
    with pytest.raises(InputError, match=r"segmenter's file .* one that returns logits"):
        TFLiteSegmenter(path)


def test_neither_keras_nor_tensorflow_is_needed(files, picture, tmp_path):
    script = tmp_path / "segment.py"
    script.write_text(SCRIPT, encoding="utf-8", newline="\n")
    done = run_python(script, files["logits"], picture)
    assert done.stdout.split("\n")[-2] == "(100, 150) []"

"""Pictures to class names in one call, and the transform that belongs to a model."""

import numpy as np
import pytest
from PIL import Image
from scipy import special

from keras_poolformer import ImageTransform, PoolFormerConfig, PoolFormerImageClassifier
from keras_poolformer.support.errors import InputError
from tests.helpers import PRESET


@pytest.fixture(scope="module")
def preset():
    return PoolFormerImageClassifier.from_preset(PRESET)


@pytest.mark.slow
def test_classes_of_a_picture_in_any_form(preset, photographs):
    path = photographs[0]
    image = Image.open(path).convert("RGB")
    logits = preset.predict_on_batch(ImageTransform.from_preset(PRESET)([path]))[0]
    expected = special.softmax(logits.astype(np.float64))
    order = np.argsort(-expected)[:3]
    for picture in (path, str(path), image, np.asarray(image)):
        received = preset.classify(picture, top_k=np.int64(3))
        assert [label for label, _ in received] == [preset.labels[i] for i in order]
        assert [score for _, score in received] == pytest.approx(list(expected[order]), abs=1e-6)


def test_several_pictures_give_a_list_each(preset, photographs, monkeypatch):
    monkeypatch.setattr("keras_poolformer.models.classifier.CLASSIFIED_AT_ONCE", 2)
    alone = [preset.classify(path) for path in photographs[:3]]
    together = preset.classify(list(photographs[:3]))
    assert [[label for label, _ in row] for row in together] == [
        [label for label, _ in row] for row in alone
    ]
    assert len(together) == 3 and len(together[0]) == 5
    arrays = preset.transform.pixels(photographs[:2])
    assert np.shape(preset.classify(arrays, top_k=10)) == (2, 10, 2)
    assert preset.classify([]) == []
    assert len(preset.classify(photographs[0], top_k=10**6)) == 10


def test_pictures_of_different_sizes_where_nothing_is_cropped(photographs):
    config = PoolFormerConfig(depths=(1,), widths=(8,), num_classes=2)
    model = PoolFormerImageClassifier(config)
    model.transform = ImageTransform(size=32, crop_pct=1.0, do_center_crop=False)
    sizes = [(40, 80), (96, 32)]
    pictures = [Image.open(photographs[0]).resize(size) for size in sizes]
    assert [label for row in model.classify(pictures, 2) for label, _ in row].count("0") == 2


def test_the_transform_goes_where_the_model_goes(preset, tmp_path):
    assert preset.transform == ImageTransform.from_preset(PRESET)
    model = preset.with_classes(2)
    model.transform = ImageTransform(size=96, crop_pct=0.9, mean=0.5, std=0.5)
    model.save(tmp_path / "x.keras")
    model.save_to_preset(tmp_path / "folder")
    for path in (tmp_path / "x.keras", tmp_path / "folder"):
        assert PoolFormerImageClassifier.from_preset(path).transform == model.transform
        assert ImageTransform.from_preset(path) == model.transform
    assert preset.transform.size == 64
    with pytest.raises(InputError, match=r"must be an ImageTransform\. Received: 192"):
        model.transform = 192


@pytest.mark.parametrize("fields", [{"num_classes": 0}, {"in_channels": 1}])
def test_only_classifiers_of_rgb_images_classify(fields, tiny_config):
    model = PoolFormerImageClassifier(tiny_config.replace(**fields))
    with pytest.raises(InputError, match=r"needs a classifier of RGB images\. Received"):
        model.classify("photo.jpg")


@pytest.mark.parametrize("top_k", [0, -1, True, 1.5, "5"])
def test_a_number_of_classes_is_needed(top_k, preset, photographs):
    with pytest.raises(InputError, match="`top_k` must be a whole number"):
        preset.classify(photographs[0], top_k)

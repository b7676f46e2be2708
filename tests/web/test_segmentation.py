"""The labels that the page draws compared with Python's: the same file, the same photographs."""

import numpy as np
import pytest

from keras_poolformer import export_tflite
from keras_poolformer.images.overlays import voc_palette
from keras_poolformer.images.segmentation import segmentation_transform
from keras_poolformer.runtime import TFLiteSegmenter
from tests.export.segmenters import randomized
from tests.segmenters import CONFIG, LABELS, PALETTE
from tests.web.test_page import violations

SIZE = (64, 96)
# Equal labels, of the worst photograph. Measured: 1 in all cases; the kernels of 8-bit recipes may
# round activations differently here and in Python.
SAME, QUANTIZED = 0.9999, 0.98


@pytest.fixture(scope="session")
def segmenter(photos):
    """One whose classes are all somewhere: their mean logits are equal."""
    model = randomized(CONFIG.replace(labels=LABELS, palette=PALETTE))
    model.transform = segmentation_transform(SIZE)
    logits = model.predict_on_batch(model.transform(photos[:8]))
    model.head.bias.assign(np.array(model.head.bias) - logits.mean((0, 1, 2)))
    return model


@pytest.fixture(scope="session")
def segmenter_file(segmenter, folder):
    """segmenter_file(outputs, recipe, inputs, calibration): the path of an exported file."""

    def segmenter_file(outputs="logits", recipe="fp32", inputs="pixels", calibration=None):
        path = folder / f"segmenter-{outputs}-{recipe}-{inputs}.tflite"
        if not path.exists():
            kinds = {"inputs": inputs, "outputs": outputs}
            export_tflite(segmenter, path, recipe, calibration=calibration, **kinds)
        return path

    return segmenter_file


@pytest.fixture
def pictures(photos):
    return [photo for photo in photos if photo.name in ("chelsea.jpg", "coffee.jpg", "rocket.jpg")]


def labels_of(drawn, palette):
    """The class of each pixel, by its color."""
    distances = np.abs(drawn[..., None, :3].astype(int) - np.array(palette)).sum(-1)
    assert not distances.min(-1).any() and (drawn[..., 3] == 255).all()
    return distances.argmin(-1)


def shares(labels):
    """{name: share} of the classes that are there, the largest first."""
    counts = np.bincount(labels.ravel(), minlength=len(LABELS)) / labels.size
    present = sorted((-count, name) for name, count in zip(LABELS, counts, strict=True) if count)
    return {name: -count for count, name in present}


@pytest.mark.parametrize(
    ("outputs", "options", "least"),
    [
        ("logits", {}, SAME),
        ("logits", {"inputs": "normalized"}, SAME),
        ("probabilities", {}, SAME),
        ("labels", {}, SAME),
        ("logits", {"recipe": "dynamic_int8"}, QUANTIZED),
    ],
    ids=str,
)
def test_labels_are_those_of_python(
    outputs, options, least, segmenter, segmenter_file, open_page, pictures
):
    path = segmenter_file(outputs, **options)
    page, in_python, seen = open_page(f"?model={path.name}"), TFLiteSegmenter(path), set()
    for picture in pictures:
        answer = page.classify(picture)
        labels = labels_of(page.segments(), PALETTE)
        expected = in_python.segment(picture)
        assert labels.shape == expected.shape
        same = np.mean(labels == expected)
        print(f"{same:.4f} of the labels of {picture.name} are equal")
        assert same >= least
        if outputs == "logits" and least == SAME:
            assert np.mean(labels == segmenter.predict_labels(picture)) >= SAME
        assert answer == pytest.approx(shares(labels))
        assert list(answer) == list(shares(labels))
        seen |= set(np.unique(labels))
        height, width, values = page.pixels()
        assert (height, width) == SIZE
        assert values == in_python.transform.pixels(picture).ravel().tolist()
    assert len(seen) == len(LABELS)
    assert page.page.inner_text("#answer") == "Classes in the image"


def test_integers_throughout(segmenter, segmenter_file, open_page, pictures):
    images = list(segmenter.transform.pixels(pictures))
    path = segmenter_file("probabilities", recipe="int8", calibration=images)
    page, in_python = open_page(f"?model={path.name}"), TFLiteSegmenter(path)
    page.classify(pictures[0])
    labels = labels_of(page.segments(), PALETTE)
    same = np.mean(labels == in_python.segment(pictures[0]))
    print(f"{same:.4f} of the labels are equal")
    assert same >= QUANTIZED


def test_classes_without_names_and_colors(segmenter, folder, open_page, cat):
    model = type(segmenter)(segmenter.config.replace(labels=None, palette=None))
    model.set_weights(segmenter.get_weights())
    path = folder / "bare.tflite"
    export_tflite(model, path, inputs="pixels", transform=segmentation_transform(SIZE))
    page = open_page(f"?model={path.name}")
    names = page.classify(cat)
    labels = labels_of(page.segments(), voc_palette()[: len(LABELS)])
    assert set(names) == {str(label) for label in np.unique(labels)}
    assert np.mean(labels == TFLiteSegmenter(path).segment(cat)) >= SAME


def test_a_person_with_a_keyboard_and_a_screen_reader(segmenter_file, open_page, folder, cat):
    page = open_page(f"?model={segmenter_file().name}")
    assert page.page.locator("#blend").is_hidden()
    answer = page.classify(cat)
    label, share = next(iter(answer.items()))
    status = page.page.get_by_role("status").inner_text()
    assert f"most of the image {label} ({100 * share:.1f} %)" in status
    assert page.page.get_by_role("list", name="Classes in the image").locator("li").count() == len(
        answer
    )
    page.page.locator("#file").focus()
    page.page.keyboard.press("Tab")
    slider = page.page.get_by_role("slider", name="Opacity of the classes")
    assert slider.evaluate("(element) => element === document.activeElement")
    opacity = "getComputedStyle(document.getElementById('segments')).opacity"
    assert page.page.evaluate(opacity) == "0.5"
    page.page.keyboard.press("ArrowRight")
    assert page.page.evaluate(opacity) == "0.55"
    page.page.keyboard.press("Home")
    assert page.page.evaluate(opacity) == "0"
    assert slider.get_attribute("aria-valuetext") == "0 %"
    for scheme in ("light", "dark"):
        page.page.emulate_media(color_scheme=scheme)
        assert violations(page) == [], scheme
    page.page.set_viewport_size({"width": 320, "height": 640})
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 320


def test_a_classifier_takes_its_place(segmenter_file, open_page, folder, cat):
    page = open_page(f"?model={segmenter_file().name}")
    page.classify(cat)
    answer = page.answer_after(lambda: page.drop(folder / "model.tflite"))
    assert "cat" in answer
    assert page.page.inner_text("#answer") == "Most probable"
    assert page.page.locator("#segments").is_hidden() and page.page.locator("#blend").is_hidden()

"""The page for people: keyboard, screen readers, mistakes, and no network."""

import json
import zipfile

import pytest

from keras_poolformer.runtime.description import DESCRIPTION, read_description
from tests.helpers import ROOT
from tests.web.pages import run_first_in_worker
from web.serve import serving

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"


def violations(page):
    page.page.wait_for_timeout(400)  # the bars are grown: contrast is measured on what is there
    page.page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.page.evaluate("async () => (await axe.run()).violations")
    return [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found]


def test_accessibility(open_page, cat):
    page = open_page()
    page.wait_for("model")
    for state in ("empty", "with an answer", "with a problem"):
        if state == "with an answer":
            page.classify(cat)
        elif state == "with a problem":
            page.drop(ROOT / "README.md")
            page.problem()
        for scheme in ("light", "dark"):
            page.page.emulate_media(color_scheme=scheme)
            assert violations(page) == [], (state, scheme)


def test_keyboard_alone(open_page, cat):
    choosers = []
    page = open_page()
    page.page.on("filechooser", lambda chooser: choosers.append(chooser))
    page.wait_for("model")
    keyboard = page.page.keyboard
    keyboard.press("Tab")
    outline = "getComputedStyle(document.getElementById('well')).outlineStyle"
    assert page.page.evaluate(outline) == "solid"
    with page.page.expect_file_chooser():
        keyboard.press("Enter")
    chosen = page.answer_after(lambda: choosers[0].set_files(cat))
    keyboard.press("Tab")
    assert page.answer_after(lambda: keyboard.press("Enter")) == chosen
    assert page.page.inner_text("#status").startswith(next(iter(chosen)))


def test_reduced_motion(page, cat):
    moving = "document.getAnimations().length"
    page.page.emulate_media(reduced_motion="no-preference")
    page.classify(cat)
    assert page.page.evaluate(moving) > 0
    page.page.emulate_media(reduced_motion="reduce")
    page.classify(cat)
    assert page.page.evaluate(moving) == 0


def test_narrow_screens_need_no_sideways_scrolling(page, cat):
    page.page.set_viewport_size({"width": 320, "height": 640})
    page.classify(cat)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 320


def test_works_without_a_network_once_loaded(open_page, folder, cat):
    with serving(folder) as address:
        page = open_page(address=address)
        expected = page.classify(cat)
        page.wait_for("offline", "ready")
    page.page.reload()
    assert page.classify(cat) == expected
    assert page.answer_after(page.take_example) == expected


def test_a_file_that_is_no_image(page, cat, tmp_path):
    text = tmp_path / "notes.jpg"
    text.write_text("no picture", encoding="utf-8", newline="\n")
    page.choose(text)
    assert page.problem() == "“notes.jpg” cannot be read as an image. JPEG, PNG and WebP work."
    assert not page.page.locator("#classes li").count()
    page.classify(cat)
    assert page.page.locator("#problem").is_hidden()


def test_nothing_to_take(page):
    page.page.evaluate("document.body.dispatchEvent(new ClipboardEvent('paste', "
                       "{clipboardData: new DataTransfer(), bubbles: true}))")  # fmt: skip
    assert page.problem().startswith("The clipboard contains no image")


@pytest.fixture(scope="session")
def flatbuffer(folder):
    """Of the page's own file, and the description behind it."""
    path = folder / "model.tflite"
    with zipfile.ZipFile(path) as archive:
        start = archive.infolist()[0].header_offset
    return path.read_bytes()[:start], read_description(path)


def test_models_that_cannot_be_used(open_page, tmp_path, flatbuffer, int8_file, cat):
    network, description = flatbuffer
    maps = description.to_dict() | {"outputs": "pyramid"}
    segmenter = description.to_dict() | {"task": "segmentation", "palette": None}
    signed = int8_file("logits").read_bytes()

    def transformed(**options):
        return description.to_dict() | {"transform": description.transform.to_dict() | options}

    contents = {
        "text.tflite": (b"<!doctype html>", None, "is not a .tflite file."),
        "foreign.tflite": (network, None, "does not say how images are prepared: "),
        "maps.tflite": (network, maps, "returns pyramid; a classifier returns logits or prob"),
        "segmenter.tflite": (
            network,
            segmenter,
            "must return probabilities of each pixel; it returns 1 x 10.",
        ),
        "int8.tflite": (signed, None, "cannot be run: it returns signed bytes"),
        "constructor.tflite": (
            network,
            transformed(interpolation="constructor"),
            'has a corrupt description: its transform\'s interpolation is "constructor".',
        ),
        "proto.tflite": (
            network,
            transformed(interpolation="__proto__"),
            'has a corrupt description: its transform\'s interpolation is "__proto__".',
        ),
        "huge.tflite": (network, transformed(size=100_000), "has a corrupt description: its trans"),
        "broken.tflite": (network[:8] + bytes(5000), description.to_dict(), "cannot be run: "),
    }
    page = open_page()
    expected = page.classify(cat)
    for name, (content, described, message) in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        if described:
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr(DESCRIPTION, json.dumps(described))
        page.drop(path)
        page.page.get_by_text(f"{name} {message}").wait_for()
        assert page.classify(cat) == expected  # by the model before
    page.errors.clear()  # LiteRT's own words about the broken one


def test_a_missing_model_and_then_another(open_page, folder, cat):
    page = open_page("?model=missing.tflite")
    assert page.problem() == "missing.tflite could not be loaded: the server answered 404."
    page.choose(cat)
    page.page.wait_for_function("() => !document.getElementById('status').textContent")
    assert page.problem() == "missing.tflite could not be loaded: the server answered 404."
    page.errors.clear()  # the browser's own words about the same thing
    page.drop(folder / "model.tflite")
    assert page.classify(cat)
    assert page.page.locator("#problem").is_hidden()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("delete self.WebAssembly", "This browser has no WebAssembly"),
        ("WebAssembly.validate = () => false", "This browser's WebAssembly has no SIMD"),
        ("throw new Error('not today')", "The network could not be started"),
    ],
)
def test_browsers_that_cannot(open_page, script, message):
    page = open_page(prepare=lambda page: run_first_in_worker(page, script))
    assert page.problem().startswith(message)

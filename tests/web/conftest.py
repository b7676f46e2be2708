"""The built page in a real Chromium; `make test-web` builds the one and installs the other."""

import contextlib
from pathlib import Path

import pytest

from keras_poolformer.shipped import ASSETS
from keras_poolformer.support.errors import InputError, MissingExtraError
from tests.helpers import DEMO, ROOT
from tests.web.pages import OpenPage
from web.chromium import launched
from web.serve import serving

BUILT = ROOT / "build" / "web"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def photos():
    """The shipped photographs."""
    return sorted((ASSETS / "photos").iterdir())


@pytest.fixture(scope="session")
def cat():
    return ASSETS / "photos" / "chelsea.jpg"


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium; one for all tests, each of which opens a window without a past."""
    with contextlib.ExitStack() as stack:
        try:
            yield stack.enter_context(launched())
        except (InputError, MissingExtraError) as error:
            pytest.skip(str(error))


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """What is served: the built page, its sources, and the models that tests put there."""
    if not (BUILT / "model.tflite").exists():
        pytest.skip("build/web is not built: make web-build")
    folder = tmp_path_factory.mktemp("site")
    for path in BUILT.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "src").symlink_to(ROOT / "web" / "src")
    return folder


@pytest.fixture(scope="session")
def site(folder):
    """Its address."""
    with serving(folder) as address:
        yield address


@pytest.fixture
def open_page(browser, site):
    """A function that opens the page; in the end there must be no error on any console."""
    opened = []

    def open_one(query="", address=site, prepare=None, **options):
        one = OpenPage(browser.new_context(**options).new_page())
        opened.append(one)
        if prepare:
            prepare(one.page)
        one.page.goto(address + query)
        return one

    yield open_one
    for one in opened:
        one.page.context.close()
    assert [error for one in opened for error in one.errors] == []


@pytest.fixture(scope="session")
def shared(browser, site):
    """A page that many tests use in turn: loading LiteRT takes longer than what they do."""
    one = OpenPage(browser.new_page())
    one.page.goto(site)
    one.wait_for("model")
    yield one
    one.page.close()


@pytest.fixture
def page(shared):
    """The same; it must have no error on its console."""
    yield shared
    assert shared.errors == []


@pytest.fixture(scope="session")
def tiny():
    """The preset's Keras model."""
    from keras_poolformer import MetaFormerImageClassifier

    return MetaFormerImageClassifier.from_preset(DEMO)


@pytest.fixture(scope="session")
def float_file(tiny, folder):
    """Unlike the page's own file in everything: fp32, normalised floats in, logits out."""
    from keras_poolformer import export_tflite

    path = folder / "float.tflite"
    export_tflite(tiny, path, recipe="fp32")
    return path


@pytest.fixture(scope="session")
def int8_file(tiny_config, photos, folder):
    """int8_file(outputs): a small network in integers only, its output too."""
    from keras_poolformer import ImageTransform, PoolFormerImageClassifier, export_tflite

    transform = ImageTransform(64)
    model = PoolFormerImageClassifier(tiny_config.replace(initializer_range=0.3))

    def int8_file(outputs):
        path = folder / f"{outputs}.tflite"
        images = list(transform.pixels(photos[:4]))
        export_tflite(model, path, "int8", outputs=outputs, calibration=images, transform=transform)
        return path

    return int8_file

"""The family's benchmark on networks small enough for every test."""

import json

import numpy as np
import pytest
from PIL import Image, ImageColor

from benchmarks import family
from benchmarks.build import randomize
from benchmarks.family_speed import RECIPES, measure_networks
from keras_poolformer import PoolFormerBackbone
from keras_poolformer.images.drawing import BLUE
from keras_poolformer.support.errors import InputError
from tests.benchmarks.conftest import small

COLOR = ImageColor.getrgb(BLUE)  # of the first family


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    caformer = small("caformer_s18", depths=(1, 1, 1, 1), widths=(8, 16, 32, 64))
    networks = {
        "poolformerv2_s12": (small("poolformerv2_s12", depths=(1, 1, 1, 1)), 64),
        "caformer_s18": (caformer, 64),
    }
    return folder, measure_networks(networks, rounds=6, calls=2, folder=folder)


@pytest.fixture
def record(measured):
    counted = {
        "poolformerv2_s12": {"family": "PoolFormerV2", "top1": {"in1k": 78.0}},
        "caformer_s18": {"family": "CAFormer", "top1": {"in1k": 83.6}},
    }
    costs = {"parameters": 26.3e6, "macs": 4.1e9}
    variants = {name: row | costs for name, row in counted.items()}
    return {"variants": variants, "speed": {"size": 64, **measured[1]}}


def test_every_network_is_measured_in_every_recipe(measured):
    folder, speed = measured
    assert json.loads(json.dumps(speed)) == speed
    assert list(speed["variants"]) == ["poolformerv2_s12", "caformer_s18"]
    for name, recipes in speed["variants"].items():
        assert tuple(recipes) == RECIPES
        for recipe, row in recipes.items():
            assert row["bytes"] == (folder / name / f"ours-{recipe}.tflite").stat().st_size
            assert 0 < row["ms"]["low"] <= row["ms"]["value"] <= row["ms"]["high"]
        assert recipes["fp32"]["error"] < 1e-5 < recipes["int8"]["error"]


def test_the_table_has_milliseconds_and_megabytes(record):
    row = record["speed"]["variants"]["caformer_s18"]["int8"]
    row["ms"]["value"], row["bytes"] = 61.54, 26_940_000
    *_, line = family.speed_table(record).splitlines()
    assert line.startswith("| `caformer_s18` | 83.6 % | ")
    assert line.endswith(" | 61.5 ms, 26.9 MB |")


def test_the_picture_has_two_panels(record, tmp_path):
    path = tmp_path / "family.png"
    family.draw(record, path)
    with Image.open(path) as picture:
        assert picture.width > 2 * picture.height
        pixels = np.asarray(picture.convert("RGB"))
    assert (abs(pixels - np.array(COLOR)).max(-1) < 3)[:, : pixels.shape[1] // 2].any()
    assert (abs(pixels - np.array(COLOR)).max(-1) < 3)[:, pixels.shape[1] // 2 :].any()


@pytest.mark.first(1)
@pytest.mark.parametrize("variant", ["poolformerv2_s12", "convformer_s18", "caformer_s18"])
def test_pixels_of_random_networks_stay_apart(variant):
    """Measured 0.05 to 0.9; with shortcuts that halve the stream, attention left 7e-4."""
    model = PoolFormerBackbone(small(variant, depths=(1, 1, 9, 1), widths=(8, 16, 32, 64)))
    randomize(model)
    images = np.random.default_rng(0).standard_normal((2, 64, 64, 3))
    for stream in model.feature_extractor()(images).values():
        pixels = np.asarray(stream)
        assert np.isfinite(pixels).all()
        assert pixels.std((1, 2)).mean() > 0.02 * np.sqrt((pixels**2).mean())


def test_too_few_rounds_are_refused_before_the_work(tmp_path):
    with pytest.raises(InputError, match=r"`rounds` must be at least 6.*Received: 2"):
        measure_networks({}, rounds=2, calls=1, folder=tmp_path)
    assert not list(tmp_path.iterdir())

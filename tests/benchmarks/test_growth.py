"""How costs grow, on networks small enough for every test."""

import copy
import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import growth
from tests.benchmarks.conftest import small


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    narrow, wide = small("poolformer_s12"), small("poolformer_s12", widths=(16, 32, 48, 64))
    networks = {"s12 32": (narrow, 32), "m36 32": (wide, 32), "s12 64": (narrow, 64)}
    return growth.measure(networks, rounds=6, calls=1, folder=tmp_path_factory.mktemp("growth"))


def test_every_network_has_costs(measured):
    assert json.loads(json.dumps(measured)) == measured
    assert measured["macs"]["s12 64"] == pytest.approx(4 * measured["macs"]["s12 32"], rel=0.01)
    for recipes in measured["variants"].values():
        assert tuple(recipes) == growth.RECIPES
        assert all(row["peak_memory_bytes"] > row["bytes"] for row in recipes.values())
    assert measured["exponents"].keys() == set(growth.RECIPES)


def test_exponent():
    work = np.array([1.8e9, 3.4e9, 11.6e9])
    assert growth.exponent(work, 0.3 * work**1.2) == pytest.approx(1.2)


def test_table_and_picture(measured, tmp_path):
    record = copy.deepcopy(measured)
    row = record["variants"]["m36 32"]
    record["macs"]["m36 32"] = 8.8e9
    for recipe, milliseconds in zip(growth.RECIPES, (81.25, 40.0), strict=True):
        row[recipe]["ms"]["value"], row[recipe]["peak_memory_bytes"] = milliseconds, None
    assert "| m36 32 | 8.80 | 81.2 | 40.0 | - | - |" in growth.table(record)
    growth.draw(measured, tmp_path / "growth.png")
    with Image.open(tmp_path / "growth.png") as picture:
        assert picture.width > 2 * picture.height

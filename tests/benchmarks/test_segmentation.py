"""The segmenter's benchmark on a network small enough for every test."""

import json
from collections import Counter

import pytest

from benchmarks import segmentation
from benchmarks.segmentation import RECIPES, measure_segmenter, table
from keras_poolformer.runtime.tflite_model import TFLiteModel
from keras_poolformer.support.errors import InputError
from tests.benchmarks.test_floor import convolution_macs
from tests.segmenters import CONFIG

SIZE = 64


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmentation")
    return folder, measure_segmenter(CONFIG, SIZE, rounds=6, calls=1, folder=folder)


def test_every_recipe_is_measured(measured):
    folder, record = measured
    assert json.loads(json.dumps(record)) == record
    assert tuple(record["recipes"]) == RECIPES
    for recipe, row in record["recipes"].items():
        assert row["bytes"] == (folder / f"ours-{recipe}.tflite").stat().st_size
        assert 0 < row["to_floor"]["low"] <= row["to_floor"]["value"] <= row["to_floor"]["high"]
        assert row["peak_memory_bytes"] > row["bytes"]
    errors = [record["recipes"][recipe]["error"] for recipe in RECIPES]
    assert errors[0] < 1e-5 < errors[1] < 0.2


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_floor_has_the_convolutions_and_resizes(measured, recipe):
    """Convolutions: 4 + 2 * 5 in the stages, 8 in the neck, 1 + 1 + 2 + 3 and the last, twice."""
    folder, _ = measured
    received = Counter(TFLiteModel(folder / f"floor-{recipe}.tflite").operators())
    assert received == {
        "CONV_2D": 4 + 2 * 5 + 8 + 7 + 2, "GELU": 5, "PAD": 4, "RESIZE_BILINEAR": 4, "ADD": 3,
    }  # fmt: skip


def test_our_file_has_the_floors_convolutions_and_resizes(measured):
    folder, _ = measured
    ours, floor = (folder / f"{kind}-fp32.tflite" for kind in ("ours", "floor"))
    assert not convolution_macs(floor) - convolution_macs(ours)
    kinds = ("CONV_2D", "GELU", "RESIZE_BILINEAR")
    operators = [Counter(TFLiteModel(path).operators()) for path in (ours, floor)]
    assert [operators[0][kind] for kind in kinds] == [operators[1][kind] for kind in kinds]


def test_the_table(measured):
    record = json.loads(json.dumps(measured[1]))
    row = record["recipes"]["dynamic_int8"]
    row |= {"bytes": 16_040_000, "error": 0.0221, "peak_memory_bytes": 139_400_000}
    row["ms"]["value"], row["floor_ms"]["value"] = 199.04, 180.96
    row["to_floor"] = {"value": 1.1, "low": 1.09, "high": 1.12}
    *_, line = table(record).splitlines()
    assert line == (
        "| `dynamic_int8` | 16.0 | 2.2e-02 | 199.0 | 181.0 | 1.100 | 1.090 to 1.120 | 139 |"
    )


def test_too_few_rounds(tmp_path):
    with pytest.raises(InputError, match=r"`rounds` must be at least 6"):
        measure_segmenter(CONFIG, SIZE, rounds=5, calls=1, folder=tmp_path)


def test_publishing(measured, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    page = tmp_path / segmentation.PAGE
    page.write_text(
        "before\n<!-- speed -->\n<!-- /speed -->\nafter\n", encoding="utf-8", newline="\n"
    )
    monkeypatch.setattr(segmentation, "measure_segmenter", lambda *_: measured[1])
    assert segmentation.main(["--publish"]) == 0
    assert page.read_text(encoding="utf-8") == (
        f"before\n<!-- speed -->\n{table(measured[1])}<!-- /speed -->\nafter\n"
    )
    assert json.loads((tmp_path / segmentation.RECORD).read_text(encoding="utf-8")) == measured[1]

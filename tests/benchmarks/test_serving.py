"""What serving costs, of a network small enough for every test."""

import json

import pytest
from PIL import Image

from benchmarks import serving
from keras_poolformer.support.errors import InputError


@pytest.fixture(scope="module")
def record(built):
    return serving.measure(built.folder, serving.NAMES, rounds=6, calls=2)


def test_costs_of_the_files_that_are_there(record):
    assert json.loads(json.dumps(record)) == record
    assert list(record["contestants"]) == ["ours-fp32"]
    costs = record["contestants"]["ours-fp32"]
    assert costs.keys() == serving.COSTS.keys()
    for estimate in costs.values():
        assert 0 < estimate["low"] <= estimate["value"] <= estimate["high"]
    # Clients share two cores: a second of the service is at most two of CPU time, and a little.
    assert costs["cpu"]["value"] < 2.5 * 1000 / costs["rate"]["value"]


def test_table_and_picture(record, tmp_path):
    record["contestants"]["ours-fp32"]["rate"] = {"value": 123.45, "low": 120.0, "high": 130.0}
    assert "| 123.5 (120.0 to 130.0) |" in serving.table(record)
    serving.draw(record, tmp_path / "serving.png")
    with Image.open(tmp_path / "serving.png") as picture:
        assert picture.width > 3 * picture.height


def test_a_folder_without_files_is_refused(built, tmp_path):
    (tmp_path / "job.json").write_bytes((built.folder / "job.json").read_bytes())
    with pytest.raises(InputError, match="has no file of ours-int8: `make bench`"):
        serving.measure(tmp_path, ["ours-int8"], rounds=6, calls=1)


def test_too_few_rounds(tmp_path):
    with pytest.raises(InputError, match="`rounds` must be at least 6"):
        serving.measure(tmp_path, serving.NAMES, rounds=5, calls=1)

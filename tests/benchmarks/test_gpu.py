"""The comparison on a GPU: its table, its record, and its sides, made small, on the CPU."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks import gpu
from keras_poolformer.support.errors import InputError

RATES = {"Keras on JAX": [200.0] * 6, "timm, torch.compile": [100.0] * 5 + [50.0]}


@pytest.fixture
def record():
    return {
        "machine": {"packages": {"jax": "0.11.2", "torch": "2.11.0", "numpy": "2.5.2"}},
        "devices": {"Keras on JAX": "NVIDIA H200", "timm, torch.compile": "NVIDIA H200"},
        "batch": 256,
        "size": 224,
        "rounds": 6,
        "rates": {"caformer_s18": {"training": RATES, "inference": {"Keras on JAX": [9000.0] * 6}}},
    }


def test_table(record):
    table = gpu.table(record)
    assert "on NVIDIA H200, with jax 0.11.2, torch 2.11.0." in table
    lines = table.splitlines()
    assert (
        "| caformer_s18 | training | 200 | - | 100 | 2.00 (2.00 to 4.00) | not measured |" in lines
    )
    assert "| caformer_s18 | inference | 9,000 | - | - | not measured | not measured |" in lines
    assert {line.count("|") for line in lines if line.startswith("|")} == {8}


def test_records_of_a_network_each_are_published(record, tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "training.md"
    page.write_text("<!-- gpu -->\nold\n<!-- /gpu -->\n", encoding="utf-8", newline="\n")
    monkeypatch.chdir(tmp_path)
    rates = record["rates"] | {"poolformer_s12": {"training": RATES}}
    for name, values in rates.items():
        one = json.dumps(record | {"rates": {name: values}})
        Path(name).write_text(one, encoding="utf-8", newline="\n")
    assert gpu.main(["--publish", *rates]) == 0
    expected = record | {"rates": rates}
    assert gpu.table(expected) in page.read_text(encoding="utf-8")
    assert json.loads(gpu.RECORD.read_text(encoding="utf-8")) == expected


def test_records_of_two_batch_sizes_are_rejected(record):
    with pytest.raises(InputError, match="another batch"):
        gpu.together([record, record | {"batch": 1}])


def test_too_few_rounds():
    with pytest.raises(InputError, match="`rounds` must be at least 6"):
        gpu.measure(["poolformer_s12"], 1, 32, rounds=5, steps=1)


def test_nothing_installed(monkeypatch):
    monkeypatch.setattr(gpu, "SIDES", {"Keras on JAX": ("no_such_package",)})
    with pytest.raises(InputError, match="packages of one of Keras on JAX"):
        gpu.measure(["poolformer_s12"], 1, 32, rounds=6, steps=1)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_every_side_trains_and_infers():
    found = gpu.measure(["poolformer_s12"], batch=2, size=32, rounds=6, steps=1)
    for task, rates in found["rates"]["poolformer_s12"].items():
        assert task in gpu.TASKS
        assert rates.keys() == gpu.SIDES.keys()
        assert all(len(rounds) == 6 and min(rounds) > 0 for rounds in rates.values())
    assert found["devices"].keys() == gpu.SIDES.keys()

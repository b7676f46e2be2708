"""What `summary` counts, prints and rejects."""

import json

import pytest

from keras_poolformer import PoolFormerBackbone, PoolFormerConfig
from keras_poolformer.inspection.stats import model_stats

CIFAR = "poolformer_tiny_cifar10"


@pytest.fixture
def summary_json(run):
    """The parsed output of `summary ... --json`."""

    def summary_json(*arguments):
        status, printed, lines = run("summary", *arguments, "--json")
        assert (status, lines) == (0, [])
        return json.loads(printed)

    return summary_json


@pytest.mark.slow
def test_a_released_variant_needs_no_weights(summary_json):
    summary = summary_json("poolformer_s12")
    assert summary["params"] == 11_915_176  # as timm counts them
    assert round(summary["macs"] / 1e9, 2) == 1.82 and isinstance(summary["macs"], int)
    assert summary["activations"] == 5_532_904
    assert summary["size"] == [224, 224]
    stages = summary["stages"]
    assert [stage["stage"] for stage in stages] == [1, 2, 3, 4]
    assert [stage["stride"] for stage in stages] == [4, 8, 16, 32]
    assert [stage["resolution"][0] for stage in stages] == [56, 28, 14, 7]
    assert [stage["width"] for stage in stages] == [64, 128, 320, 512]
    assert [stage["blocks"] for stage in stages] == [2, 2, 6, 2]
    assert summary["transform"]["crop_pct"] == 0.9
    assert PoolFormerConfig(**summary["config"]).num_classes == 1000


def test_stages_with_their_openings_and_the_head_are_everything(summary_json):
    summary = summary_json(CIFAR)
    names = [row["name"] for row in summary["rows"]]
    assert names == ["stem", "stage 1", "stage 2", "stage 3", "stage 4", "head"]
    for count in ("params", "macs", "activations"):
        assert sum(row[count] for row in summary["rows"]) == summary[count]
        stages = sum(stage[count] for stage in summary["stages"])
        assert stages == summary[count] - summary["rows"][-1][count]
    assert summary["rows"][-1]["params"] == 224 * 10 + 10 + 2 * 224


@pytest.mark.slow
def test_the_size_is_the_sources_unless_said(summary_json):
    assert summary_json(CIFAR)["size"] == [64, 64]
    larger = summary_json(CIFAR, "--size", 97)
    config = PoolFormerConfig(**larger["config"])
    assert larger["size"] == [97, 97] and larger["transform"]["size"] == 64
    assert larger["macs"] == model_stats(config, 97).macs


def words(line):
    return " ".join(line.split())


@pytest.mark.first(1)
@pytest.mark.parametrize("name", ["tiny.pth.tar", "tiny.keras"])
def test_the_table_of_a_file(name, files, run):
    status, printed, lines = run("summary", files / name)
    assert (status, lines) == (0, [])
    first, header, *rows = printed.splitlines()
    assert "10,987 parameters, 3 classes, head norm_pool, 224 pixels" in first
    assert header.split() == ["size", "width", "blocks", "parameters", "MACs", "activations"]
    assert words(rows[0]) == "stem 56x56 8 1.18 k 3.69 M 25.1 k"
    assert words(rows[1]) == "stage 1 56x56 8 1 600 1.86 M 125 k"
    assert words(rows[-2]) == "head 1x1 3 83 3.97 k 3"
    assert words(rows[-1]) == "all 11.0 k 7.34 M 212 k"  # summed by hand
    assert len({len(row.rstrip()) for row in rows[:-2]}) == 1  # in columns


def test_a_backbone_has_no_head(run, tmp_path, tiny_config, summary_json):
    backbone = PoolFormerBackbone(tiny_config)
    backbone.save(tmp_path / "backbone.keras")
    summary = summary_json(tmp_path / "backbone.keras", "--size", 64)
    assert summary["params"] == backbone.count_params()
    assert summary["rows"][-1]["name"] == "stage 4"
    _, printed, _ = run("summary", tmp_path / "backbone.keras")
    assert "no head, 224 pixels" in printed.splitlines()[0]


def test_what_is_no_source_or_no_size_is_refused(refusal, run, tmp_path):
    (tmp_path / "x.pth").write_text("no weights", encoding="utf-8", newline="\n")
    assert "is not a checkpoint" in refusal("summary", tmp_path / "x.pth")
    assert "nor a preset" in refusal("summary", "poolformer_xxl")
    for size in (2, 10**9):
        message = refusal("summary", CIFAR, "--size", size)
        assert "`size` must be a whole number of pixels from 3 to 65536" in message
        assert message.endswith(f"Received: {size}")
    for size in ("-5", "0", "224.5", "large"):
        status, printed, (line,) = run("summary", CIFAR, "--size", size)
        assert (status, printed) == (2, "")
        assert "must be a whole number from 1" in line and repr(size) in line

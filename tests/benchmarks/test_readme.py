"""The tables of the documents are those that the commands wrote."""

import json

import pytest

from benchmarks import (
    accuracy,
    depthwise,
    family,
    finetune,
    front_page,
    gpu,
    input_pipeline,
    nuclei,
    paired_training,
    quantization,
    readme,
    segmentation,
    startup,
    tables,
    train_peers,
    trained_family,
    training,
)
from keras_poolformer.support.errors import InputError
from tests.helpers import ROOT
from tests.keras_export import table as onnx


def block(document, name):
    text = (ROOT / document).read_text(encoding="utf-8")
    return text.split(f"<!-- {name} -->\n")[1].split(f"<!-- /{name} -->\n")[0]


def record(name):
    return json.loads((ROOT / "docs" / f"{name}.json").read_text(encoding="utf-8"))


def test_accuracy_is_what_was_recorded():
    assert block("docs/export.md", "accuracy") == accuracy.tables(record("accuracy"))


def test_speed_is_what_was_recorded():
    assert block("docs/export.md", "bench") == tables.markdown(record("benchmark"))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("training", training.tables),
        ("train_peers", train_peers.table),
        ("input", input_pipeline.tables),
        ("gpu", gpu.table),
    ],
)
def test_training_is_what_was_recorded(name, written):
    assert block("docs/training.md", name) == written(record(name))


def test_paired_training_is_what_was_recorded():
    written = block("docs/training.md", "paired-training")
    if (ROOT / paired_training.RECORD).exists():
        assert written == paired_training.table(record("paired_training"))
    else:
        assert written == "Not measured yet.\n"


def test_the_start_is_what_was_recorded():
    assert block("docs/startup.md", "startup") == startup.tables(record("startup"))


def test_fine_tuning_is_what_was_recorded():
    assert block("docs/training.md", "finetune") == finetune.table(record("finetune"))


def test_the_family_is_what_was_recorded():
    recorded = record("family")
    assert block("docs/family.md", "models") == family.table(recorded)
    assert block("docs/family.md", "speed") == family.speed_table(recorded)


def test_the_segmenter_is_what_was_recorded():
    assert block(segmentation.PAGE, "speed") == segmentation.table(record("segmentation"))


def test_other_formats_are_what_was_recorded():
    assert block(onnx.DOCUMENT, "onnx") == onnx.table(record("onnx"))


def test_the_smallest_of_each_family_is_measured():
    variants = record("family")["variants"]
    measured = {variants[name]["family"]: name for name in family.SMALLEST}
    assert measured.keys() == {row["family"] for row in variants.values()}
    for family_name, name in measured.items():
        rows = [row for row in variants.values() if row["family"] == family_name]
        assert variants[name]["macs"] == min(row["macs"] for row in rows)


def test_the_front_page_is_what_was_recorded():
    speed = record("benchmark")
    assert block("README.md", "exports") == front_page.exports_table(record("accuracy"), speed)
    assert block("README.md", "rivals") == front_page.rivals_table(speed)


def test_accuracy_keeps_what_is_promised():
    """Points of top-1 below Keras, and change of the logits."""
    formats = record("accuracy")["formats"]
    losses = {name: formats["Keras"]["top1"] - row["top1"] for name, row in formats.items()}
    assert losses["TFLite fp32"] == losses["SavedModel"] == 0
    assert losses["TFLite fp16"] <= 0.05
    assert losses["TFLite dynamic_int8"] <= 0.2
    assert losses["TFLite dynamic_int4"] <= 1
    assert losses["TFLite int8"] <= 0.5
    assert formats["TFLite int8"]["error"] <= 0.08


def test_four_bits_keep_what_is_promised():
    randomized = record("accuracy")["randomized"]
    assert randomized["poolformer_s12"]["dynamic_int4"]["bytes"] <= 7.0e6
    for name, row in randomized.items():
        if "dynamic_int4" in row:
            assert row["dynamic_int4"]["bytes"] <= 0.57 * row["dynamic_int8"]["bytes"], name


def test_insert_replaces_one_block_alone(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(
        "a\n<!-- x -->\nold\n<!-- /x -->\nb\n<!-- y -->\nkept\n<!-- /y -->\n",
        encoding="utf-8",
        newline="\n",
    )
    readme.insert(path, "x", "new\n")
    expected = "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n<!-- y -->\nkept\n<!-- /y -->\n"
    assert path.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("text", ["", "<!-- x -->\n", "<!-- /x -->\n<!-- x -->\n"])
def test_insert_refuses_a_file_without_the_block(text, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(text, encoding="utf-8", newline="\n")
    with pytest.raises(InputError, match="<!-- x -->"):
        readme.insert(path, "x", "new\n")
    assert path.read_text(encoding="utf-8") == text


def test_a_table_is_markdown():
    table = readme.markdown_table(["a", "b"], [["1", "2"]])
    assert table == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_the_segmenter_of_nuclei_is_what_was_recorded():
    assert block("docs/segmentation.md", "nuclei") == nuclei.table(record("nuclei"))


def test_recipes_keep_the_accuracy_of_the_segmenter():
    formats = record("nuclei")["formats"]
    assert formats["Keras"]["mean_iou"] >= 87
    for recipe, bound in nuclei.BOUNDS.items():
        lost = formats["TFLite fp32"]["mean_iou"] - formats[f"TFLite {recipe}"]["mean_iou"]
        assert lost <= bound, recipe


@pytest.mark.parametrize("recipe", quantization.TABLES)
def test_rounding_tensor_by_tensor_is_what_was_recorded(recipe):
    written = quantization.table(record("quantization"), recipe)
    assert block("docs/quantization.md", f"tensors-{recipe}") == written


def test_depthwise_convolutions_are_what_was_recorded():
    assert block("docs/quantization.md", "depthwise") == depthwise.table(record("depthwise"))


def test_the_trained_families_are_what_was_recorded():
    trained = record("trained_family")
    assert block("docs/quantization.md", "trained-family") == trained_family.table(trained)


def test_recipes_keep_the_accuracy_of_each_family():
    families = record("trained_family")["families"]
    assert len(families) == len(trained_family.VARIANTS)
    for family_name, measured in families.items():
        for recipe, points in trained_family.changes(measured).items():
            assert points >= -trained_family.BOUNDS[recipe], (family_name, recipe)

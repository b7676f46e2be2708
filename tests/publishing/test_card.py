"""Model cards: what hubs and Markdown readers make of them, whatever a model file says."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from keras_poolformer import ImageTransform, PoolFormerConfig
from keras_poolformer.images.segmentation import segmentation_transform
from keras_poolformer.provenance import Provenance, TrainingRun, WeightsFile
from keras_poolformer.publishing.card import Card
from keras_poolformer.publishing.metadata import metadata
from tests.segmenters import CONFIG, LABELS, PALETTE


@pytest.mark.parametrize("name", ["2024", "yes", "1e3", "null", "a: b", "#1"])
def test_names_of_data_sets_stay_texts(name):
    text = metadata(card(dataset=name, license=name))
    header = yaml.safe_load(text)
    assert (header["datasets"], header["license"]) == ([name], name)
    assert f'license: "{name}"' in text  # the hubs read YAML 1.2, where 1e3 is a number


def test_the_hub_reads_what_was_measured():
    accuracy = {"model.keras": {"images": 100, "top1": 87.13}}
    written = card(accuracy=accuracy, accuracy_data="photos test", dataset="cifar10")
    data = ModelCard(written.to_markdown()).data
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", 0.8713)
    assert (result.dataset_name, result.dataset_type) == ("photos test", "cifar10")
    assert (data.model_name, data.metrics) == ("x", ["accuracy"])


def test_a_hostile_provenance_stays_a_text():
    """It may come from a .keras file of unknown origin."""
    hostile = (
        "x\n# Free money\n<script>alert(1)</script> [click](javascript:1) ![](http://a/b) `rm`"
    )
    provenance = Provenance(
        source=hostile,
        weights=WeightsFile(sha256=hostile),
        training=TrainingRun(base_model=hostile, step=1),
    )
    text = card(
        provenance=provenance, name=hostile, dataset=hostile, license=hostile, repository="a/b"
    ).to_markdown()
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text.split("---", 2)[2])
    kinds = {child.type for token in tokens for child in token.children or ()}
    assert "html_inline" not in kinds and "image" not in kinds
    assert not any(token.type == "html_block" for token in tokens)
    headings = [
        tokens[place + 1].content
        for place, token in enumerate(tokens)
        if token.type == "heading_open"
    ]
    assert len([line for line in headings if "Free" in line]) == 1  # the title, which is the name
    assert {"license", "datasets", "tags"} <= yaml.safe_load(text.split("---")[1]).keys()


FIGURES = {"images": 66, "mean_iou": 84.434, "mean_accuracy": 90.0, "pixel_accuracy": 95.5}


def segmenter_card(**fields):
    """The card of a segmenter with five classes, whose third has a hostile name."""
    labels = (*LABELS[:2], "tree | <b> `x`", *LABELS[3:])
    config = CONFIG.replace(labels=labels, palette=PALETTE)
    return card(config=config, transform=segmentation_transform(), **fields)


def test_the_hub_reads_the_miou_of_a_segmenter():
    """In the spelling of the hubs' own metric, https://hf.co/spaces/evaluate-metric/mean_iou."""
    written = segmenter_card(accuracy={"model.keras": FIGURES}, accuracy_data="nuclei val")
    data = ModelCard(written.to_markdown()).data
    (result,) = data.eval_results
    assert (result.task_type, result.metric_type) == ("image-segmentation", "mean_iou")
    assert (result.metric_value, result.dataset_name) == (0.8443, "nuclei val")
    assert data.pipeline_tag == "image-segmentation" and "image-segmentation" in data.tags
    assert data.metrics == ["mean_iou"]


def test_a_segmenters_text():
    exports = [
        SimpleNamespace(path=Path("x.tflite"), recipe="fp32", inputs="pixels", bytes=1, error=0)
    ]
    files = {"model.keras": FIGURES, "x_fp32.tflite": FIGURES}
    text = segmenter_card(accuracy=files, exports=exports).to_markdown()
    tables = table_rows(text)
    assert ["file", "mIoU", "mAcc", "pixel accuracy"] in tables
    assert ["x_fp32.tflite", "84.43 %", "90.00 %", "95.50 %"] in tables
    assert ["0", "wall", "#787878"] in tables and ["4", "sea", "#0907e6"] in tables
    assert ["2", "tree | <b> `x`", "#04c803"] in tables  # as a text
    assert "gives each pixel of an image one of 5 classes" in text
    assert "P2: (1, H/4, W/4, 8)" in text and "P5: (1, H/32, W/32, 24)" in text
    assert "PoolFormerSegmenter.from_preset" in text and "TFLiteSegmenter" in text
    assert "Classifier" not in text and "embed(" not in text and "top-1" not in text


def test_colors_of_overlays_without_a_palette():
    config = CONFIG.replace(labels=LABELS)
    rows = table_rows(card(config=config, transform=segmentation_transform(64)).to_markdown())
    assert ["1", "sky", "#800000"] in rows  # PASCAL VOC's second color
    rows = table_rows(card(config=CONFIG, transform=segmentation_transform(64)).to_markdown())
    assert ["1", "1", "#800000"] not in rows


def table_rows(text):
    """The texts of the cells of each table's rows, as a Markdown reader shows them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text.split("---", 2)[2])
    rows = []
    for place, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        if token.type in ("td_open", "th_open"):
            children = tokens[place + 1].children
            rows[-1].append("".join(child.content for child in children))
    return rows


def card(**fields):
    config = PoolFormerConfig(depths=(1, 1), widths=(8, 8), num_classes=2)
    stats = SimpleNamespace(params=1, macs=1, activations=1, size=(512, 512))
    given = {"name": "x", "provenance": Provenance(), "stats": stats}
    return Card(**{"config": config, "transform": ImageTransform(), **given, **fields})

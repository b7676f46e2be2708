"""Model cards: what hubs and Markdown readers make of them, whatever a model file says."""

from types import SimpleNamespace

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from keras_poolformer import ImageTransform, PoolFormerConfig
from keras_poolformer.provenance import Provenance, TrainingRun, WeightsFile
from keras_poolformer.publishing.card import Card
from keras_poolformer.publishing.metadata import metadata


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


def card(**fields):
    config = PoolFormerConfig(depths=(1, 1), widths=(8, 8), num_classes=2)
    stats = SimpleNamespace(params=1, macs=1, activations=1)
    given = {"name": "x", "provenance": Provenance()} | fields
    return Card(config=config, transform=ImageTransform(), stats=stats, **given)

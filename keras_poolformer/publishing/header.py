"""The YAML that a model card begins with, which the hubs read."""

import re

from keras_poolformer.provenance import Provenance
from keras_poolformer.sources.preset_folder import WEIGHTS
from keras_poolformer.support.escaping import yaml_string

_HUB_NAME = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)


def header(card) -> str:
    """Returns the metadata of a card, between its two lines of dashes.

    Args:
        card: A `model_card.Card`.
    """
    # The hub's name of what the model does; several labels and values count as classes.
    task = "image-classification" if card.config.num_classes else "image-feature-extraction"
    lines = [
        "---",
        f"license: {yaml_string(card.license)}",
        "library_name: keras",
        f"pipeline_tag: {task}",
        "tags:",
        *(f"- {tag}" for tag in (task, "keras", "poolformer")),
        *(["- litert"] if card.exports else []),
    ]
    base_model = base_model_name(card.provenance)
    if base_model:
        lines.append(f"base_model: {yaml_string(base_model)}")
    if card.dataset:
        lines += ["datasets:", f"- {yaml_string(card.dataset)}"]
    if card.accuracy:
        lines += ["metrics:", "- accuracy", *_model_index(card)]
    return "\n".join([*lines, "---", ""])


def base_model_name(provenance: Provenance) -> str:
    """Returns what a hub calls the model that training or conversion began from, or "".

    Args:
        provenance: Provenance of the weights.
    """
    name = provenance.training.base_model if provenance.training else ""
    source = provenance.source or ""
    if not name and source.startswith("hf://"):
        name = source
    name = name.removeprefix("hf://").partition("@")[0]
    return name if _HUB_NAME.fullmatch(name) else ""


def _model_index(card):
    return [
        "model-index:",
        f"- name: {yaml_string(card.name)}",
        "  results:",
        "  - task:",
        "      type: image-classification",
        "    dataset:",
        f"      name: {yaml_string(card.accuracy_data)}",
        f"      type: {yaml_string(card.dataset or card.accuracy_data)}",
        "    metrics:",
        "    - type: accuracy",
        f"      value: {card.accuracy[WEIGHTS]['top1'] / 100:.4f}",
    ]

"""What a model card says of a model's task."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.evaluation import classification, segmentation


@dataclass(frozen=True)
class CardTask:
    """What a card says of one task.

    Args:
        hub_task: The hubs' name of the task.
        kind: Name of the task in a list of the model's properties.
        does: What the model does, with a place for the number of classes, as the end of a sentence.
        purpose: What it is for, as an infinitive that ends in "images".
        limits: What it cannot do, as sentences.
        template: Name of the template of the card's text.
        metric: The hubs' name of the first figure.
        figures: {what people call a figure: its name in a measurement}, of which the first goes
            into the metadata.
    """

    hub_task: str
    kind: str
    does: str
    purpose: str
    limits: str
    template: str
    metric: str
    figures: Mapping[str, str]


def _classifier(kind: str, does: str, limits: str) -> CardTask:
    return CardTask(
        hub_task="image-classification",  # which several labels and values count as, too
        kind=kind,
        does=does,
        purpose="classify images",
        limits=limits,
        template="classifier.md.jinja",
        metric="accuracy",
        figures=classification.NAMES,
    )


# By the function that turns logits into scores.
_CLASSIFIERS = {
    "softmax": _classifier(
        kind="image classification",
        does="sorts images into {:,} classes",
        limits="It knows the classes in `labels.txt` and no others: for an image of something else "
        "it gives the class it takes to be nearest.",
    ),
    "sigmoid": _classifier(
        kind="multi-label image classification",
        does="finds the labels of an image (of {:,})",
        limits="It knows the labels in `labels.txt` and no others; each has its own probability, "
        "and those of one image do not sum to 1.",
    ),
    "identity": _classifier(
        kind="image regression",
        does="predicts values from an image ({:,})",
        limits="It predicts a value for every image, even where the image does not show what "
        "the value is about.",
    ),
}
_BACKBONE = dataclasses.replace(
    _CLASSIFIERS["softmax"],
    hub_task="image-feature-extraction",
    does="makes feature maps and embeddings of images",
)
_SEGMENTER = CardTask(
    hub_task="image-segmentation",
    kind="semantic segmentation",
    does="gives each pixel of an image one of {:,} classes",
    purpose="label the pixels of images",
    limits="It knows the classes in `labels.txt` and no others: what belongs to none of them gets "
    "the class it takes to be nearest.",
    template="segmenter.md.jinja",
    metric="mean_iou",
    figures=segmentation.NAMES,
)


def task_of(config: MetaFormerConfig) -> CardTask:
    """Returns what a card says of a model's task.

    Args:
        config: Architecture of the model.
    """
    if config.is_segmenter:
        return _SEGMENTER
    return _CLASSIFIERS[config.score_function] if config.num_classes else _BACKBONE

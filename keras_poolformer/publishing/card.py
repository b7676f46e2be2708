"""Model cards: the README.md of a hub repository, in the form the hubs use.

Figures come from measurements (`inspection.stats`, `evaluation`, export results) or from the
model's provenance. What is not known is left out. The text itself is card.md.jinja.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.families import family_of
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.provenance import Provenance
from keras_poolformer.publishing.metadata import metadata
from keras_poolformer.scores import score_name
from keras_poolformer.sources.preset_folder import WEIGHTS
from keras_poolformer.support.escaping import markdown_text, python_string

if TYPE_CHECKING:
    import jinja2

    from keras_poolformer.export.comparison import ExportResult
    from keras_poolformer.inspection.stats import Stats

# The library whose logits are the model's, by head; a folder of the repository is named after it.
PYTORCH = {"norm_pool": "transformers", "pool_norm": "timm"}
# What the model is and what it cannot do, by the function that turns logits into scores.
TYPES = {
    "softmax": "image classification",
    "sigmoid": "multi-label image classification",
    "identity": "image regression",
}
LIMITS = {
    "softmax": "It knows the classes in `labels.txt` and no others: for an image of something else "
    "it gives the class it takes to be nearest.",
    "sigmoid": "It knows the labels in `labels.txt` and no others; each has its own probability, "
    "and those of one image do not sum to 1.",
    "identity": "It predicts a value for every image, even where the image does not show what "
    "the value is about.",
}
_DOES = {
    "softmax": "sorts images into {:,} classes",
    "sigmoid": "finds the labels of an image (of {:,})",
    "identity": "predicts values from an image ({:,})",
}


@dataclass(frozen=True)
class Card:
    """The content of a model card.

    Args:
        name: Name of the model.
        config: Architecture of the model.
        transform: How images are prepared for it.
        provenance: Where its weights come from.
        stats: Parameters and operations at the transform's size.
        license: Hub identifier of the license, such as "apache-2.0".
        dataset: Name of the data set it was trained on, or "".
        repository: OWNER/NAME on a hub, or "" if not known yet.
        accuracy: {file: {"images", "top1", ...}} as `evaluate` measures it, for model.keras and
            the exports, or {}.
        accuracy_data: Name of the images the accuracy was measured on.
        exports: Results of the .tflite files next to the card.
    """

    name: str
    config: MetaFormerConfig
    transform: ImageTransform
    provenance: Provenance
    stats: "Stats"
    license: str = "apache-2.0"
    dataset: str = ""
    repository: str = ""
    accuracy: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    accuracy_data: str = ""
    exports: Sequence["ExportResult"] = ()

    def to_markdown(self) -> str:
        """Returns the text of README.md."""
        return _template().render(
            card=self,
            metadata=metadata(self),
            does=self._does(),
            type=TYPES[self.config.score_function],
            size=self.transform.output_size,
            family=family_of(self.config),
            origin=self._origin(),
            limits=LIMITS[self.config.score_function],
            training=self._training(),
            transform=json.dumps(self.transform.to_dict()),
            classifies=self.config.num_classes and self.config.in_channels == 3,
            score=score_name(self.config.problem_type),
            pyramid=list(self._pyramid()),
            library=PYTORCH[self.config.head],
            images=self.accuracy[WEIGHTS]["images"] if self.accuracy else 0,
        )

    def figures(self) -> dict[str, Any]:
        """Returns the card's numbers as JSON-ready values."""
        exports = [
            {"file": result.path.name, "recipe": result.recipe}
            | {"bytes": result.bytes, "error": result.error}
            for result in self.exports
        ]
        return {
            "name": self.name,
            "params": self.stats.params,
            "macs": self.stats.macs,
            "activations": self.stats.activations,
            "accuracy": dict(self.accuracy),
            "exports": exports,
        }

    def _does(self) -> str:
        if not self.config.num_classes:
            return "makes feature maps and embeddings of images"
        return _DOES[self.config.score_function].format(self.config.num_classes)

    def _origin(self) -> dict[str, str]:
        """{what: value} of what is known about the weights."""
        training = self.provenance.training
        init = (training and training.init) or Provenance()
        origin = {
            "Weights": self.provenance.source or ("trained with Keras" if training else ""),
            "SHA-256 of their file": self.provenance.get("sha256"),
            "Starting model": self.provenance.get("base_model"),
            "SHA-256 of the starting model's file": init.get("sha256"),
        }
        return {name: value for name, value in origin.items() if value}

    def _training(self) -> dict[str, str]:
        """What the text says about training; {} for weights as their authors published them."""
        training = self.provenance.training
        if training is None:
            return {}
        steps = "" if training.step is None else f"{training.step:,} steps, seed {training.seed}"
        return {
            "by": self.provenance.source or "",
            "steps": steps,
            "began_as": training.base_model,
        }

    def _pyramid(self) -> Iterator[tuple[str, int, int]]:
        """(name, side in pixels, width) of each feature map."""
        side = self.transform.output_size
        for stage, width in enumerate(self.config.widths):
            patch, stride = self.config.patch_sizes[stage], self.config.strides[stage]
            side = (side + 2 * self.config.paddings[stage] - patch) // stride + 1
            yield f"P{stage + 2}", side, width


@cache
def _template() -> "jinja2.Template":
    import jinja2

    # No automatic escaping: the text is Markdown, and every value from outside passes a filter.
    environment = jinja2.Environment(
        undefined=jinja2.ChainableUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        lstrip_blocks=True,
        trim_blocks=True,
    )
    environment.filters |= {"markdown": markdown_text, "python": python_string, "percent": _percent}
    text = files("keras_poolformer.publishing").joinpath("card.md.jinja").read_text("utf-8")
    return environment.from_string(text)


def _percent(share: Any) -> str:
    return f"{share:.2f} %" if share else ""

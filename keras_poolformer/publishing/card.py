"""Model cards: the README.md of a hub repository, in the form the hubs use.

Figures come from measurements (`inspection.stats`, `evaluation`, export results) or from the
model's provenance. What is not known is left out. The text itself is card.md.jinja, with the parts
of a task in a template of its own.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.config_fields import SEMANTIC_FPN
from keras_poolformer.evaluation.report import class_label
from keras_poolformer.families import family_of
from keras_poolformer.images.overlays import voc_palette
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.provenance import Provenance
from keras_poolformer.publishing.metadata import metadata
from keras_poolformer.publishing.tasks import task_of
from keras_poolformer.scores import score_name
from keras_poolformer.sources.preset_folder import WEIGHTS
from keras_poolformer.support.escaping import markdown_text, python_string

if TYPE_CHECKING:
    import jinja2

    from keras_poolformer.export.comparison import ExportResult
    from keras_poolformer.inspection.stats import Stats

# The library whose logits are the model's, by head; a folder of the repository is named after it.
PYTORCH = {"norm_pool": "transformers", "pool_norm": "timm", SEMANTIC_FPN: "mmsegmentation"}


@dataclass(frozen=True)
class Card:
    """The content of a model card.

    Args:
        name: Name of the model.
        config: Architecture of the model.
        transform: How images are prepared for it.
        provenance: Where its weights come from.
        stats: Parameters and operations at the transform's size, or of its squares.
        license: Hub identifier of the license, such as "apache-2.0".
        dataset: Name of the data set it was trained on, or "".
        repository: OWNER/NAME on a hub, or "" if not known yet.
        accuracy: {file: {"images", "top1", ...}}, or {"images", "mean_iou", ...} of a segmenter, as
            `evaluate` measures it, for model.keras and the exports; or {}.
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
        task = task_of(self.config)
        height, width = self.transform.output_shape or ("H", "W")
        return _template(task.template).render(
            card=self,
            task=task,
            metadata=metadata(self),
            height=height,
            width=width,
            image_size=self._image_size(),
            family=family_of(self.config),
            origin=self._origin(),
            training=self._training(),
            transform=json.dumps(self.transform.to_dict()),
            classifies=self.config.num_classes and self.config.in_channels == 3,
            score=score_name(self.config.problem_type),
            classes=self._classes(),
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

    def _image_size(self) -> str:
        if shape := self.transform.output_shape:
            return f"{shape[0]} x {shape[1]}"
        height, width = self.stats.size
        return f"any, resized to about {height} x {width}; the counts are at that size"

    def _classes(self) -> Iterator[tuple[int, str, str]]:
        """(number, label, color) of each class of a segmenter, as overlays have them."""
        colors = self.config.palette or voc_palette()
        for number in range(self.config.num_classes):
            color = "".join(f"{part:02x}" for part in colors[number]) if colors[number:] else ""
            label = class_label(number, self.config.labels or ())
            yield number, label, f"`#{color}`" if color else ""

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

    def _pyramid(self) -> Iterator[tuple[str, str]]:
        """(name, "height, width, channels") of each feature map."""
        sides, total = self.transform.output_shape, 1
        for stage, channels in enumerate(self.config.widths):
            patch, stride = self.config.patch_sizes[stage], self.config.strides[stage]
            padding = 2 * self.config.paddings[stage]
            sides = sides and tuple((side + padding - patch) // stride + 1 for side in sides)
            total *= stride
            height, width = sides or (f"H/{total}", f"W/{total}")
            yield f"P{stage + 2}", f"{height}, {width}, {channels}"


@cache
def _template(name: str) -> "jinja2.Template":
    import jinja2

    # No automatic escaping: the text is Markdown, and every value from outside passes a filter.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_poolformer", "publishing"),
        undefined=jinja2.ChainableUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        lstrip_blocks=True,
        trim_blocks=True,
    )
    environment.filters |= {"markdown": markdown_text, "python": python_string}
    environment.filters["percent_of"] = _percent_of
    return environment.get_template(name)


def _percent_of(name: str, figures: Mapping[str, Any]) -> str:
    return f"{figures[name]:.2f} %" if name in figures else ""

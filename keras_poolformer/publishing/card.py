"""Model cards: the README.md of a hub repository, in the shape that the hubs' own have.

Figures come from measurements (`stats.model_stats`, `evaluation`, the records of exports) or from
the model's provenance; what is not known is left out and never made up.
"""

import json
from dataclasses import dataclass, field

from keras_poolformer.checkpoints.writers import TORCH_FOLDER
from keras_poolformer.export.recipes import RECIPES
from keras_poolformer.provenance import Provenance
from keras_poolformer.publishing.header import header
from keras_poolformer.scores import score_name
from keras_poolformer.sources.preset_folder import DESCRIPTION, WEIGHTS
from keras_poolformer.support.escaping import markdown_text, python_string
from keras_poolformer.support.output_folders import OutputFolder

PAPER = "https://arxiv.org/abs/2111.11418"
ORIGINAL = "https://github.com/sail-sg/poolformer"
# The library whose logits are the model's, by head; a folder of the repository is named by it.
PYTORCH = {"norm_pool": "transformers", "pool_norm": "timm"}
README, LABELS = "README.md", "labels.txt"
REPOSITORY = OutputFolder(
    "a repository that card wrote",
    (
        *(WEIGHTS, DESCRIPTION, README, LABELS),
        *(f"*_{recipe}.tflite" for recipe in RECIPES),
        *(f"{library}/{file}" for library in PYTORCH.values() for file in TORCH_FOLDER.files),
    ),
    markers=(DESCRIPTION, README),
)
# What the model is and what it cannot do, by the function that turns logits into scores.
TYPES = {
    "softmax": "image classification",
    "sigmoid": "multi-label image classification",
    "identity": "image regression",
}
LIMITS = {
    "softmax": "It knows the classes of `labels.txt` and no others: of an image of something else "
    "it names the class that it takes to be nearest.",
    "sigmoid": "It knows the labels of `labels.txt` and no others; each has a probability of its "
    "own, and those of one image do not sum to 1.",
    "identity": "It predicts a value for every image, also where the image does not show what "
    "the value is about.",
}
CITATION = """@inproceedings{yu2022metaformer,
  title={Metaformer is actually what you need for vision},
  author={Yu, Weihao and Luo, Mi and Zhou, Pan and Si, Chenyang and Zhou, Yichen and Wang, Xinchao and Feng, Jiashi and Yan, Shuicheng},
  booktitle={Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages={10819--10829},
  year={2022}
}"""  # noqa: E501


@dataclass(frozen=True)
class Card:
    """What a model card says.

    Args:
        name: of the model.
        config: its `PoolFormerConfig`.
        transform: its `ImageTransform`.
        provenance: where its weights are from.
        stats: its `stats.Stats`, at the transform's size.
        license: identifier of the hubs, such as "apache-2.0".
        dataset: that it was trained on, or "".
        repository: OWNER/NAME on a hub, or "" where it is not known yet.
        accuracy: {file: {"images", "top1", ...}} as `evaluate` measures it, of model.keras and
            the exports; or {}.
        accuracy_data: on which images that was measured.
        exports: `ExportResult`s of the .tflite files beside the card.
    """

    name: str
    config: object
    transform: object
    provenance: Provenance
    stats: object
    license: str = "apache-2.0"
    dataset: str = ""
    repository: str = ""
    accuracy: dict = field(default_factory=dict)
    accuracy_data: str = ""
    exports: tuple = ()

    def to_markdown(self):
        """Returns the text of README.md."""
        parts = (
            header(self),
            self._details(),
            self._uses(),
            self._training(),
            self._usage(),
            self._evaluation(),
            self._exports(),
            f"## Citation\n\n```bibtex\n{CITATION}\n```\n",
        )
        return "\n".join(part for part in parts if part)

    def figures(self):
        """Returns what the card says in numbers, as JSON-ready values."""
        exports = [
            {"file": one.path.name, "recipe": one.recipe, "bytes": one.bytes, "error": one.error}
            for one in self.exports
        ]
        return {
            "name": self.name,
            "params": self.stats.params,
            "macs": self.stats.macs,
            "activations": self.stats.activations,
            "accuracy": self.accuracy,
            "exports": exports,
        }

    @property
    def _classes(self):
        return self.config.num_classes

    def _details(self):
        trained = f", trained on {markdown_text(self.dataset)}" if self.dataset else ""
        lines = [
            f"# {markdown_text(self.name)}\n",
            f"A PoolFormer that {self._does()}{trained}. PoolFormer is a MetaFormer whose "
            "token mixer is average pooling: a network with the architecture of a vision "
            "transformer and without attention.\n",
            "## Model details\n",
            f"- Type: {TYPES[self.config.score_function]}, feature backbone; "
            f"head `{self.config.head}`",
            f"- Parameters: {self.stats.params / 1e6:.1f} M",
            f"- Multiply-accumulates: {self.stats.macs / 1e9:.2f} G",
            f"- Activations: {self.stats.activations / 1e6:.1f} M",
            f"- Image size: {self.transform.output_size} x {self.transform.output_size}",
            f"- Paper: [MetaFormer Is Actually What You Need for Vision]({PAPER})",
            f"- Original code: {ORIGINAL}",
        ]
        lines += [f"- {name}: {markdown_text(value)}" for name, value in self._origin().items()]
        return "\n".join([*lines, ""])

    def _origin(self):
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

    def _does(self):
        if not self._classes:
            return "makes feature maps and embeddings of images"
        return {
            "softmax": f"sorts images into {self._classes:,} classes",
            "sigmoid": f"finds the labels of an image (of {self._classes:,})",
            "identity": f"predicts values from an image ({self._classes:,})",
        }[self.config.score_function]

    def _uses(self):
        data = markdown_text(self.dataset) or "the data it was trained on"
        return (
            "## Intended uses and limitations\n\n"
            f"To classify images like those of {data}, as a backbone for detection and "
            f"segmentation, or as a start for fine-tuning. {LIMITS[self.config.score_function]} "
            "It has whatever bias its training images have, and was not tested for uses where an "
            "error does harm.\n"
        )

    def _training(self):
        data = f"Data set: {markdown_text(self.dataset)}" if self.dataset else "Not recorded."
        lines = ["## Training data\n", f"{data}\n", "## Training procedure\n"]
        lines.append(f"{self._procedure()}\n")
        lines.append("Images are prepared by\n")
        options = json.dumps(self.transform.to_dict())
        lines.append(f"```json\n{options}\n```\n")
        return "\n".join(lines)

    def _procedure(self):
        training, source = self.provenance.training, self.provenance.source
        if not training:
            return f"As the weights' authors describe it: {ORIGINAL}."
        text = f"Trained by: {markdown_text(source)}" if source else "Trained with Keras"
        if training.step is not None:
            text += f", {training.step:,} steps, seed {training.seed}"
        if training.base_model:
            text += f", beginning from {markdown_text(training.base_model)}"
        return f"{text}."

    def _usage(self):
        source = python_string(f"hf://{self.repository}" if self.repository else ".")
        size, channels = self.transform.output_size, self.config.in_channels
        shapes = [
            f"    # {level}: (1, {side}, {side}, {width})"
            for level, side, width in self._pyramid(size)
        ]
        return "\n".join([
            "## Usage\n",
            "    pip install 'keras-poolformer[keras,tensorflow]'\n",
            "### Images\n",
            "```python",
            "from keras_poolformer import PoolFormerImageClassifier\n",
            f"source = {source}{'' if self.repository else '  # this folder'}",
            "model = PoolFormerImageClassifier.from_preset(source)",
            *self._classifying(),
            "```\n",
            "### Feature maps\n",
            "```python",
            f'images = model.transform(["photo.jpg"])  # float32 (1, {size}, {size}, {channels})',
            "maps = model.backbone.feature_extractor()(images)",
            "for name, map in maps.items():",
            "    print(name, map.shape)",
            *shapes,
            "```\n",
            "### Embeddings\n",
            "```python",
            f"embeddings = model.embed(images)  # (1, {self.config.widths[-1]})",
            "unpooled = model.backbone(images)  # the last feature map, un-normed",
            "```\n",
            "### PyTorch\n",
            f"The folder `{PYTORCH[self.config.head]}` holds the same weights for "
            f"{PYTORCH[self.config.head]}, whose logits are these.\n",
        ])  # fmt: skip

    def _classifying(self):
        if not self._classes or self.config.in_channels != 3:
            return []
        score = score_name(self.config.problem_type)
        return [
            f'for label, {score} in model.classify("photo.jpg", top_k=5):',
            f"    print(label, {score})",
        ]

    def _pyramid(self, side):
        for stage, width in enumerate(self.config.widths):
            patch, stride = self.config.patch_sizes[stage], self.config.strides[stage]
            side = (side + 2 * self.config.paddings[stage] - patch) // stride + 1
            yield f"P{stage + 2}", side, width

    def _evaluation(self):
        if not self.accuracy:
            return ""
        images = self.accuracy[WEIGHTS]["images"]
        lines = [
            "## Evaluation results\n",
            f"On {images:,} images of {markdown_text(self.accuracy_data)}:\n",
            "| file | top-1 | top-5 |",
            "|---|---|---|",
        ]
        for file, result in self.accuracy.items():
            shares = [f"{result[key]:.2f} %" if key in result else "" for key in ("top1", "top5")]
            lines.append(f"| {markdown_text(file)} | {' | '.join(shares)} |")
        return "\n".join([*lines, ""])

    def _exports(self):
        if not self.exports:
            return ""
        lines = [
            "## On devices\n",
            'The .tflite files run in LiteRT; "change" is the relative L2 distance of the '
            "outputs from the Keras model's, on photographs.\n",
            "| file | recipe | takes | MB | change |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {markdown_text(result.path.name)} | {result.recipe} | {result.inputs} | "
            f"{result.bytes / 1e6:.2f} | {result.error:.1e} |"
            for result in self.exports
        ]
        first = self.exports[0].path.name
        lines += [
            "\n```python",
            "from keras_poolformer.runtime import TFLiteClassifier  # needs LiteRT alone\n",
            f'TFLiteClassifier({python_string(first)}).classify("photo.jpg")',
            "```\n",
        ]
        return "\n".join(lines)

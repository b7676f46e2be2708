"""A model laid out as a hub repository: Keras, PyTorch and LiteRT files, labels and card."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_poolformer.checkpoints.layouts import MMSEG
from keras_poolformer.checkpoints.saving import save_torch_weights
from keras_poolformer.checkpoints.writers import TORCH_FOLDER
from keras_poolformer.export.recipes import RECIPES, device_inputs
from keras_poolformer.export.tflite import export_tflite
from keras_poolformer.inspection.stats import model_stats
from keras_poolformer.publishing.card import PYTORCH, Card
from keras_poolformer.sources.preset_folder import DESCRIPTION, WEIGHTS
from keras_poolformer.support.output_folders import OutputFolder

if TYPE_CHECKING:
    from keras_poolformer.config import MetaFormerConfig
    from keras_poolformer.evaluation.measurement import Measurement
    from keras_poolformer.export.comparison import ExportResult
    from keras_poolformer.export.networks.calibration import Calibration

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
_LAYOUTS = {"transformers": "hf", "timm": "timm", "mmsegmentation": MMSEG.name}


@dataclass(frozen=True)
class RepositoryOptions:
    """What a repository says and holds besides the model.

    Args:
        name: Name of the model and its files.
        repository: OWNER/NAME on a hub, or "".
        dataset: Name of the data set the model was trained on, or "".
        license: Hub identifier of the license.
        recipes: Export recipes, each of which becomes a .tflite file.
        calibration: Images for recipes that need them, as `export_tflite` takes them, or None.
        accuracy_data: Name of the images that the files are measured on, or "".
    """

    name: str
    repository: str = ""
    dataset: str = ""
    license: str = "apache-2.0"
    recipes: Sequence[str] = ("fp32", "dynamic_int8")
    calibration: "Calibration | None" = None
    accuracy_data: str = ""


def write_repository(
    model: Any,
    folder: Path,
    options: RepositoryOptions,
    measure: "Callable[[Path], Measurement] | None" = None,
    start_step: Callable[[], None] = lambda: None,
) -> Card:
    """Writes a repository into a folder that does not exist yet.

    Args:
        model: A `MetaFormerImageClassifier` or `MetaFormerSegmenter`.
        folder: Folder to write.
        options: What the repository says and holds besides.
        measure: Called with model.keras and each .tflite file; returns the file's figures.
            None leaves them out.
        start_step: Called before the weights and before each export.

    Returns:
        The card, whose text is the folder's README.md.
    """
    start_step()
    model.save_to_preset(folder)
    library = PYTORCH[model.config.head]
    save_torch_weights(model, folder / library, _LAYOUTS[library])
    if model.config.labels:
        lines = "".join(f"{label}\n" for label in model.config.labels)
        (folder / LABELS).write_text(lines, encoding="utf-8", newline="\n")
    exports = []
    for recipe in options.recipes:
        start_step()
        exports.append(_export(model, folder, recipe, options))
    files = [folder / WEIGHTS, *(result.path for result in exports)] if measure else []
    card = Card(
        name=options.name,
        config=model.config,
        transform=model.transform,
        provenance=model.provenance,
        stats=model_stats(model, model.transform.output_shape or model.transform.size),
        license=options.license,
        dataset=options.dataset,
        repository=options.repository,
        accuracy={path.name: measure(path).to_dict() for path in files} if measure else {},
        accuracy_data=options.accuracy_data,
        exports=tuple(exports),
    )
    (folder / README).write_text(card.to_markdown(), encoding="utf-8", newline="\n")
    return card


def _export(model: Any, folder: Path, recipe: str, options: RepositoryOptions) -> "ExportResult":
    return export_tflite(
        model,
        folder / f"{options.name}_{recipe}.tflite",
        recipe,
        inputs=device_inputs(model.config),
        outputs=_outputs(model.config),
        calibration=options.calibration if RECIPES[recipe].needs_calibration else None,
    )


def _outputs(config: "MetaFormerConfig") -> str | None:
    """What MediaPipe Tasks expects: scores of an image if there are any, logits of its pixels."""
    has_scores = config.num_classes and config.score_function != "identity"
    return "probabilities" if has_scores and not config.is_segmenter else None

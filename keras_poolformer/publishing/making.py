"""Writes a model as a hub repository in one call, as `keras-poolformer card` does."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_poolformer.data.splits.in_memory import ImageData, name_of
from keras_poolformer.evaluation.evaluating import EvaluationData, ModelSource, name_of_model
from keras_poolformer.export.recipes import RECIPES
from keras_poolformer.models.opening import load_model
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.support.messages import is_text, shown
from keras_poolformer.support.progress import Progress

if TYPE_CHECKING:
    from keras_poolformer.evaluation.measurement import Measurement
    from keras_poolformer.export.networks.calibration import Calibration
    from keras_poolformer.publishing.card import Card
    from keras_poolformer.publishing.repository import RepositoryOptions

DEFAULT_RECIPES = ("fp32", "dynamic_int8")
MAX_NAME = 50  # characters of up to four bytes; file names have 255 bytes, with their suffixes
_SUFFIXES = re.compile(r"(\.(keras|safetensors|pth|pt|bin|ckpt|tar))+$")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def make_card(
    source: ModelSource,
    output: str | os.PathLike[str],
    *,
    name: str | None = None,
    repository: str = "",
    dataset: str = "",
    license: str = "apache-2.0",
    recipes: Sequence[str] = DEFAULT_RECIPES,
    calibration: "Calibration | None" = None,
    data: ImageData | None = None,
    overwrite: bool = False,
    verbose: bool = True,
    **measuring: Any,
) -> "Card":
    """Writes a model as a hub repository: Keras, PyTorch and LiteRT files, labels, model card.

    Args:
        source: Preset, checkpoint or folder of a training run; or a model of this package.
        output: Folder to write; nothing is left of it if any part fails.
        name: Name of the model and its files; None for the source's, which a model itself does
            not have.
        repository: OWNER/NAME on the hub, or "".
        dataset: Name of the data set that the model was trained on, or "".
        license: The hub's identifier of the license.
        recipes: Export recipes, each of which becomes a .tflite file.
        calibration: A few hundred images for recipes that need them: a folder, paths, PIL images or
            arrays.
        data: Images to measure model.keras and the .tflite files on, all that
            `keras_poolformer.evaluate` takes; None for a card without figures.
        overwrite: Whether an existing repository may be replaced.
        verbose: Whether progress is printed on stderr.
        **measuring: Further arguments of `keras_poolformer.evaluate`: split, data_dir,
            class_names, limit, batch_size, skip_broken, reduce_zero_label.

    Returns:
        The card: `to_markdown()` is its text, `figures()` its numbers.

    Raises:
        InputError: The model, the images or an argument cannot be used, or `output` cannot be
            written.
        MissingExtraError: A package is not installed.
    """
    from keras_poolformer.publishing.repository import REPOSITORY, RepositoryOptions

    refuse_existing(output, overwrite, REPOSITORY)
    options = RepositoryOptions(
        name=_checked_name(_name_of(source) if name is None else name),
        repository=repository,
        dataset=dataset,
        license=license,
        recipes=tuple(recipes),
        calibration=calibration,
        accuracy_data="" if data is None else _described(data, measuring.get("split")),
    )
    _check(options)
    images = None if data is None else EvaluationData(data=data, **measuring)
    with replacing(output, overwrite, REPOSITORY) as folder:
        return _written(source, folder, options, images, verbose)


def _written(
    source: ModelSource,
    folder: Path,
    options: "RepositoryOptions",
    images: EvaluationData | None,
    verbose: bool,
) -> "Card":
    from keras_poolformer.publishing.repository import write_repository

    steps = [f"exporting {recipe}" for recipe in options.recipes]
    measured = ["loading", images.step] * (1 + len(steps)) if images else []
    first = [f"reading {name_of_model(source)}", "writing the weights"]
    progress = Progress([*first, *steps, *measured], shown=verbose)
    progress.start()
    is_path = isinstance(source, str | os.PathLike)
    model = load_model(str(source), progress=progress.advance) if is_path else source

    def measure(path: Path) -> "Measurement":
        assert images
        return images.measure(path, progress, verbose=verbose)

    card = write_repository(model, folder, options, measure if images else None, progress.start)
    progress.finish()
    return card


def _described(data: ImageData, split: str | None) -> str:
    name = name_of(data)
    name = Path(name).name if Path(name).exists() else name
    return f"{name} {split}" if split else name


def _name_of(source: ModelSource) -> str:
    """The name of the source, without suffixes."""
    if not isinstance(source, str | os.PathLike):
        raise InputError("`name` is required for a model that is not a file. Received: None")
    text, path = os.fspath(source).rstrip("/").partition("@")[0], Path(source)
    return _SUFFIXES.sub("", (path.resolve() if path.exists() else Path(text)).name)


def _checked_name(name: str) -> str:
    if name in ("", ".", "..") or "/" in name or not is_text(name) or len(name) > MAX_NAME:
        raise InputError(
            f"`name` must be the name of a file, without a folder and of at most {MAX_NAME} "
            f"characters. Received: {shown(name)}"
        )
    return name


def _check(options: "RepositoryOptions") -> None:
    if options.repository and not _REPOSITORY.fullmatch(options.repository):
        raise InputError(f"`repository` must be OWNER/NAME. Received: {shown(options.repository)}")
    unknown = [recipe for recipe in options.recipes if recipe not in RECIPES]
    if unknown or len(set(options.recipes)) < len(options.recipes):
        raise InputError(
            f"`recipes` must be different names out of {', '.join(RECIPES)}, or none. "
            f"Received: {', '.join(options.recipes)}"
        )
    for recipe in options.recipes:
        if RECIPES[recipe].needs_calibration and options.calibration is None:
            raise InputError(
                f"recipe {recipe} needs `calibration`, a folder with a few hundred images"
            )

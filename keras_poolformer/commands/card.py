"""`keras-poolformer card`: a model laid out as a hub repository, with its card."""

import argparse
import re
from pathlib import Path

from keras_poolformer.commands.arguments import add_command, add_source
from keras_poolformer.commands.evaluate import add_data_options, measure
from keras_poolformer.export.recipes import RECIPES, device_inputs
from keras_poolformer.models.opening import load_model
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.support.messages import is_text, json_text, shown
from keras_poolformer.support.progress import Progress

MAX_NAME = 50  # characters of up to four bytes; file names have 255 bytes, with their suffixes
_SUFFIXES = re.compile(r"(\.(keras|safetensors|pth|pt|bin|ckpt|tar))+$")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def add_parser(group):
    """Adds the subcommand."""
    command = add_command(
        group,
        "card",
        card,
        "lay a model out as a hub repository: Keras, PyTorch, TFLite, labels and model card",
        "card run/model.keras -o repository --data photos/ --recipes fp32,dynamic_int8",
    )
    add_source(command)
    command.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to write")
    command.add_argument("--overwrite", action="store_true", help="replace an existing one")
    command.add_argument("--json", action="store_true", help="print the figures as JSON")
    command.add_argument("--name", help="of the model and its files (the source's)")
    command.add_argument("--repository", default="", metavar="OWNER/NAME", help="on the hub")
    command.add_argument("--dataset", default="", metavar="NAME", help="that it was trained on")
    command.add_argument("--license", default="apache-2.0", metavar="ID", help="(apache-2.0)")
    command.add_argument(
        "--recipes",
        type=_recipes,
        default=("fp32", "dynamic_int8"),
        metavar="NAME,NAME",
        help=f"of the .tflite files (fp32,dynamic_int8), out of {', '.join(RECIPES)}; or none",
    )
    command.add_argument("--calibration", metavar="FOLDER", help="images for the int8 recipes")
    add_data_options(command)


def card(options):
    """Writes the repository; nothing if any part of it fails."""
    from keras_poolformer.publishing.card import REPOSITORY

    refuse_existing(options.output, options.overwrite, REPOSITORY)
    name = _name_of(options)
    if options.repository and not _REPOSITORY.fullmatch(options.repository):
        raise InputError(f"--repository must be OWNER/NAME. Received: {shown(options.repository)}")
    for recipe in options.recipes:
        if RECIPES[recipe].is_integer and not options.calibration:
            raise InputError(
                f"recipe {recipe} needs --calibration FOLDER, with a few hundred images"
            )
    exports = [f"exporting {recipe}" for recipe in options.recipes]
    measured = 1 + len(exports) if options.data else 0
    progress = Progress([
        f"reading {options.source}", "writing the weights", *exports,
        *["loading", f"classifying the images of {options.data}"] * measured,
    ])  # fmt: skip
    progress.start()
    model = load_model(options.source, progress=progress.advance)
    with replacing(options.output, options.overwrite, REPOSITORY) as folder:
        text, figures = _write(model, name, folder, options, progress)
    progress.finish()
    print(json_text(figures) if options.json else f"{options.output}: {text}")


def _write(model, name, folder, options, progress):
    from keras_poolformer.checkpoints.saving import save_torch_weights
    from keras_poolformer.export.tflite import export_tflite
    from keras_poolformer.inspection.stats import model_stats
    from keras_poolformer.publishing.card import LABELS, PYTORCH, README, Card

    progress.start()
    model.save_to_preset(folder)
    library = PYTORCH[model.config.head]
    save_torch_weights(model, folder / library, {"transformers": "hf"}.get(library, library))
    if model.config.labels:
        lines = "".join(f"{label}\n" for label in model.config.labels)
        (folder / LABELS).write_text(lines, encoding="utf-8")
    results = []
    for recipe in options.recipes:
        progress.start()
        path = folder / f"{name}_{recipe}.tflite"
        calibration = options.calibration if RECIPES[recipe].is_integer else None
        results.append(
            export_tflite(
                model,
                path,
                recipe,
                inputs=device_inputs(model.config),
                outputs=_outputs(model.config),
                calibration=calibration,
            )
        )
    transform = model.transform
    card = Card(
        name=name,
        config=model.config,
        transform=transform,
        provenance=model.provenance,
        stats=model_stats(model, transform.output_size),
        license=options.license,
        dataset=options.dataset,
        repository=options.repository,
        accuracy=_accuracies(folder, results, options, progress),
        accuracy_data=_described(options),
        exports=tuple(results),
    )
    (folder / README).write_text(card.to_markdown(), encoding="utf-8")
    files = sorted(path.name for path in folder.iterdir())
    return ", ".join(files), card.figures()


def _accuracies(folder, exports, options, progress):
    """{file: `Accuracy` as JSON} of the model and its exports, where there is data."""
    if not options.data:
        return {}
    files = [folder / "model.keras", *(result.path for result in exports)]
    return {path.name: measure(options, str(path), progress).accuracy.to_dict() for path in files}


def _described(options):
    if not options.data:
        return ""
    name = Path(options.data).name if Path(options.data).exists() else options.data
    return f"{name} {options.split}" if options.split else name


def _outputs(config):
    """Scores where the model has any, as MediaPipe Tasks wants them; else the default."""
    return "probabilities" if config.num_classes and config.score_function != "identity" else None


def _name_of(options):
    """The name of the model and its files, by default that of the source without suffixes.

    Raises:
        InputError: It is not the name of a file.
    """
    name = options.name
    if name is None:
        source = options.source.rstrip("/").partition("@")[0]
        path = Path(options.source)
        name = _SUFFIXES.sub("", (path.resolve() if path.exists() else Path(source)).name)
    if name in ("", ".", "..") or "/" in name or not is_text(name) or len(name) > MAX_NAME:
        raise InputError(
            f"--name must be the name of a file, without a folder and of at most {MAX_NAME} "
            f"characters. Received: {shown(name)}"
        )
    return name


def _recipes(text):
    if text == "none":
        return ()
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in RECIPES]
    if unknown or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(
            f"must be different ones of {', '.join(RECIPES)}, or none. Received: {text!r}"
        )
    return names

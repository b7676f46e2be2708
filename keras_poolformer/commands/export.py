"""`keras-poolformer export`: a file, its record as JSON next to it, and a printed table."""

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from keras_poolformer.commands.arguments import (
    CommandGroup,
    add_command,
    add_output,
    add_overrides,
    add_source,
)
from keras_poolformer.export.recipes import (
    ALL_RECIPES,
    INPUTS,
    OUTPUTS,
    Recipe,
    device_inputs,
)
from keras_poolformer.models.opening import load_model
from keras_poolformer.runtime.description import LABEL_MAP, SEGMENTATION
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.support.messages import json_text
from keras_poolformer.support.progress import Progress

if TYPE_CHECKING:
    from keras_poolformer.export.comparison import ExportResult
    from keras_poolformer.models.base import MetaFormerModel

_CALIBRATED = [name for name, recipe in ALL_RECIPES.items() if recipe.needs_calibration]


def add_parser(group: CommandGroup) -> None:
    """Adds the subcommand."""
    command = add_command(
        group,
        "export",
        export,
        "export poolformer_s12 --recipe dynamic_int8 -o s12.tflite",
    )
    add_source(command)
    command.add_argument(
        "--recipe",
        default="fp32",
        choices=list(ALL_RECIPES),
        help="how weights and arithmetic are stored: dynamic_int8 is a good first choice for CPUs, "
        "dynamic_int4 is about as fast in half the size, int8 is for NPUs, int8_micro for "
        "microcontrollers (default: %(default)s)",
    )
    command.add_argument(
        "--inputs",
        choices=INPUTS,
        help="what the file takes: uint8 pixels, normalized in the graph, or normalized floats "
        "(default: pixels for RGB models, else normalized)",
    )
    command.add_argument(
        "--outputs",
        choices=OUTPUTS,
        help="what the file returns; labels is the class of each pixel, of a segmenter; pyramid is "
        "the feature maps P2, P3, ... (default: logits, or all that a model without classes has)",
    )
    command.add_argument(
        "--calibration",
        metavar="FOLDER",
        help="folder of a few hundred images, none of them test images; required by the "
        f"recipes {', '.join(_CALIBRATED)}",
    )
    command.add_argument(
        "--skip-broken", action="store_true", help="skip corrupt calibration images"
    )
    add_overrides(command)
    add_output(command, "file or folder to write; PATH.json records the export")


def export(options: argparse.Namespace) -> None:
    """Writes a .tflite file or a SavedModel, and OUTPUT.json."""
    recipe = ALL_RECIPES[options.recipe]
    record = f"{options.output}.json"
    refuse_existing(options.output, options.overwrite, recipe.folder)
    refuse_existing(record, options.overwrite)
    _check(options, recipe)
    progress = Progress([f"reading {options.source}", f"exporting {options.output}"])
    progress.start()
    backbone = options.outputs == "pyramid"  # whether or not the source has a head
    model = load_model(
        options.source,
        backbone=backbone,
        size=options.size,
        labels=options.labels,
        progress=progress.advance,
    )
    progress.start()
    # Of two exports to one name, the one that comes too late to write its file writes no record.
    with replacing(record, options.overwrite) as written:
        result = _export(model, options, recipe, progress.advance)
        text = json_text(result.to_dict()) + "\n"
        written.write_text(text, encoding="utf-8", newline="\n")
    progress.finish()
    for warning in result.warnings:
        print(f"warning: {options.output}: {warning}", file=sys.stderr)
    print(text if options.json else _table(result), end="")


def _check(options: argparse.Namespace, recipe: Recipe) -> None:
    """Rejects options that do not go together, before anything is loaded."""
    if recipe.folder and (options.inputs or options.outputs):
        raise InputError(
            f"recipe {recipe.name} has all inputs and outputs: omit --inputs and --outputs"
        )
    if recipe.needs_calibration and options.calibration is None:
        raise InputError(
            f"recipe {recipe.name} needs --calibration FOLDER, with a few hundred images"
        )
    if options.inputs and options.inputs not in recipe.inputs:
        raise InputError(
            f"recipe {recipe.name} takes --inputs {' or '.join(recipe.inputs)}. "
            f"Received: {options.inputs}"
        )


def _export(
    model: "MetaFormerModel",
    options: argparse.Namespace,
    recipe: Recipe,
    progress: Callable[[int, int], None],
) -> "ExportResult":
    if recipe.folder:
        from keras_poolformer.export.saved_model import examine, export_saved_model

        path = export_saved_model(model, options.output, overwrite=options.overwrite)
        return examine(model, path)
    from keras_poolformer.export.tflite import export_tflite

    return export_tflite(
        model,
        options.output,
        recipe=recipe.name,
        inputs=options.inputs or device_inputs(model.config),
        outputs=options.outputs,
        calibration=options.calibration,
        overwrite=options.overwrite,
        skip_broken=options.skip_broken,
        progress=progress,
    )


def _table(result: "ExportResult") -> str:
    """One line for each fact about an export."""
    rows = [
        ("file", result.path),
        ("recipe", result.recipe),
        ("takes, returns", f"{result.inputs}, {result.outputs}"),
        ("size", f"{result.bytes / 1e6:.2f} MB"),
    ]
    if result.operators and result.outputs != "pyramid":
        rows.append(("MediaPipe Tasks", _in_mediapipe(result)))
    if result.operators:
        rows.append(("operators", f"{sum(result.operators.values())}"))
        rows.append(("XNNPACK partitions", f"{result.partitions}"))
    if result.calibration_images:
        rows.append(("calibration images", f"{result.calibration_images}"))
    if result.skipped:
        rows.append(("skipped", f"{len(result.skipped)}: {', '.join(result.skipped)}"))
    measure = "other labels" if result.outputs == LABEL_MAP else "error"
    rows += [(f"{measure} on {name}", f"{error:.2g}") for name, error in result.errors.items()]
    width = max(len(name) for name, _ in rows)
    return "".join(f"{name:{width}}  {value}\n" for name, value in rows)


def _in_mediapipe(result: "ExportResult") -> str:
    """Which of MediaPipe Tasks opens it, if one does (export/metadata.py)."""
    takes_pixels = result.inputs == "pixels"
    if result.outputs == LABEL_MAP:
        return "needs --outputs logits or probabilities"
    if result.task == SEGMENTATION:
        return "ImageSegmenter opens it" if takes_pixels else "needs --inputs pixels"
    if result.outputs == "embedding":
        return "ImageEmbedder opens it" if takes_pixels else "needs --inputs pixels"
    if takes_pixels and result.outputs == "probabilities":
        return "opens it"
    if takes_pixels and not ALL_RECIPES[result.recipe].is_integer:
        return "opens it; --outputs probabilities gives better scores than logits"
    return "needs --inputs pixels --outputs probabilities"

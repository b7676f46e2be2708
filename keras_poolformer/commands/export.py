"""`keras-poolformer export`: the file, a record of it beside it, and a table."""

import sys

from keras_poolformer.commands.arguments import (
    add_command,
    add_output,
    add_overrides,
    add_source,
)
from keras_poolformer.export.recipes import (
    INPUTS,
    INTEGER_RECIPES,
    OUTPUTS,
    RECIPES,
    SAVED_MODEL,
    device_inputs,
)
from keras_poolformer.models.opening import load_model
from keras_poolformer.runtime.description import SCORES
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.support.messages import json_text
from keras_poolformer.support.progress import Progress


def add_parser(group):
    """Adds the subcommand."""
    command = add_command(
        group,
        "export",
        export,
        "write a .tflite file or a SavedModel",
        "export poolformer_s12 --recipe dynamic_int8 -o s12.tflite",
    )
    add_source(command)
    command.add_argument(
        "--recipe",
        default="fp32",
        choices=[*RECIPES, "saved_model"],
        help="how weights and arithmetic are stored: dynamic_int8 is a good first choice for CPUs, "
        "int8 for NPUs, int8_micro for microcontrollers (default: %(default)s)",
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
        help="what the file returns; pyramid is the feature maps P2, P3, ... (default: logits, or "
        "all that a model without classes has)",
    )
    command.add_argument(
        "--calibration",
        metavar="FOLDER",
        help="folder of a few hundred images, none of them test images; required by the integer "
        f"recipes {' and '.join(INTEGER_RECIPES)}",
    )
    command.add_argument(
        "--skip-broken", action="store_true", help="skip corrupt calibration images"
    )
    add_overrides(command)
    add_output(command, "file or folder to write; PATH.json records the export")


def export(options):
    """Writes a .tflite file or a SavedModel, and OUTPUT.json."""
    record = f"{options.output}.json"
    folder = SAVED_MODEL if options.recipe == "saved_model" else None
    refuse_existing(options.output, options.overwrite, folder)
    refuse_existing(record, options.overwrite)
    _check(options)
    progress = Progress([f"reading {options.source}", f"exporting {options.output}"])
    progress.start()
    backbone = options.outputs == "pyramid"  # whatever head the source has, or none
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
        result = _export(model, options, progress.advance)
        text = json_text(result.to_dict()) + "\n"
        written.write_text(text, encoding="utf-8")
    progress.finish()
    for warning in result.warnings:
        print(f"warning: {options.output}: {warning}", file=sys.stderr)
    print(text if options.json else _table(result), end="")


def _check(options):
    """Refuses options that do not go together, before anything is loaded."""
    if options.recipe == "saved_model" and (options.inputs or options.outputs):
        raise InputError("recipe saved_model has all inputs and outputs: leave the options out")
    is_integer = options.recipe in RECIPES and RECIPES[options.recipe].is_integer
    if is_integer and options.calibration is None:
        raise InputError(
            f"recipe {options.recipe} needs --calibration FOLDER, with a few hundred images"
        )
    if is_integer and options.inputs == "normalized":
        raise InputError(f"recipe {options.recipe} takes --inputs pixels. Received: normalized")


def _export(model, options, progress):
    if options.recipe == "saved_model":
        from keras_poolformer.export.saved_model import examine, export_saved_model

        path = export_saved_model(model, options.output, overwrite=options.overwrite)
        return examine(model, path)
    from keras_poolformer.export.tflite import export_tflite

    return export_tflite(
        model,
        options.output,
        recipe=options.recipe,
        inputs=options.inputs or device_inputs(model.config),
        outputs=options.outputs,
        calibration=options.calibration,
        overwrite=options.overwrite,
        skip_broken=options.skip_broken,
        progress=progress,
    )


def _table(result):
    """One line for each thing to know of an `ExportResult`."""
    rows = [
        ("file", result.path),
        ("recipe", result.recipe),
        ("takes, returns", f"{result.inputs}, {result.outputs}"),
        ("size", f"{result.bytes / 1e6:.2f} MB"),
    ]
    if result.operators and result.outputs in (*SCORES, "embedding"):
        rows.append(("MediaPipe Tasks", _in_mediapipe(result)))
    if result.operators:
        rows.append(("operators", f"{sum(result.operators.values())}"))
        rows.append(("XNNPACK partitions", f"{result.partitions}"))
    if result.calibration_images:
        rows.append(("calibration images", f"{result.calibration_images}"))
    if result.skipped:
        rows.append(("skipped", f"{len(result.skipped)}: {', '.join(result.skipped)}"))
    rows += [(f"error on {name}", f"{error:.2g}") for name, error in result.errors.items()]
    width = max(len(name) for name, _ in rows)
    return "".join(f"{name:{width}}  {value}\n" for name, value in rows)


def _in_mediapipe(result):
    """Whether MediaPipe Tasks' ImageClassifier or ImageEmbedder opens it (export/metadata.py)."""
    takes_pixels, is_embedding = result.inputs == "pixels", result.outputs == "embedding"
    if is_embedding:
        return "ImageEmbedder opens it" if takes_pixels else "wants --inputs pixels"
    if takes_pixels and result.outputs == "probabilities":
        return "opens it"
    if takes_pixels and not RECIPES[result.recipe].is_integer:
        return "opens it; --outputs probabilities gives better scores than logits"
    return "wants --inputs pixels --outputs probabilities"

"""`keras-poolformer convert`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_poolformer.checkpoints.layouts import LAYOUTS
from keras_poolformer.checkpoints.writers import DTYPES, output_directory
from keras_poolformer.commands.arguments import (
    add_checkpoint_options,
    add_command,
    add_output,
    add_source,
    checkpoint_arguments,
)
from keras_poolformer.lineage import origin_lines, provenance_json
from keras_poolformer.models.opening import load_model
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.support.messages import json_text
from keras_poolformer.support.progress import Progress

if TYPE_CHECKING:
    from keras_poolformer.checkpoints.saving import SaveReport
    from keras_poolformer.models.base import MetaFormerModel


def add_parser(group: Any) -> None:
    """Adds the subcommand."""
    command = add_command(
        group,
        "convert",
        convert,
        "convert poolformer_s12.pth.tar -o poolformer_s12.keras",
    )
    add_source(command)
    add_checkpoint_options(command)
    command.add_argument("--to", choices=LAYOUTS, help="write weights for PyTorch with these names")
    command.add_argument("--dtype", choices=DTYPES, help="their dtype (default: the source's)")
    command.add_argument(
        "--allow-other-head",
        action="store_true",
        help="write them even if that library's head gives other logits",
    )
    add_output(command, "the .keras file; with --to a .safetensors file or a directory")


def convert(options: argparse.Namespace) -> None:
    """Turns a source into a .keras file, or into weights for PyTorch."""
    _check(options)
    progress = Progress([f"reading {options.source}", f"writing {options.output}"])
    progress.start()
    model = load_model(options.source, progress=progress.advance, **checkpoint_arguments(options))
    progress.start()
    if options.to:
        report = _save_for_torch(model, options)
        text, document = str(report), json_text(report.to_dict()) + "\n"
    else:
        with replacing(options.output, options.overwrite) as written:
            model.save(written)
        lines = origin_lines(model.provenance)
        text = "\n".join(lines) or "the file does not say where its weights are from"
        document = provenance_json(model.provenance)
    progress.finish()
    print(document if options.json else text, end="" if options.json else "\n")


def _check(options: argparse.Namespace) -> None:
    """Rejects, before anything is read, what cannot be written."""
    if options.to:
        output_directory(options.output, options.overwrite)
        return
    if options.dtype or options.allow_other_head:
        name = "--dtype" if options.dtype else "--allow-other-head"
        raise InputError(
            f"{name} applies to weights for PyTorch: it needs --to {'|'.join(LAYOUTS)}"
        )
    if Path(options.output).suffix != ".keras":
        raise InputError(f"the output must end in .keras. Received: {options.output}")
    refuse_existing(options.output, options.overwrite)


def _save_for_torch(model: "MetaFormerModel", options: argparse.Namespace) -> "SaveReport":
    from keras_poolformer.checkpoints.saving import save_torch_weights

    return save_torch_weights(
        model,
        options.output,
        options.to,
        options.dtype,
        options.allow_other_head,
        overwrite=options.overwrite,
    )

"""`keras-poolformer convert`."""

from pathlib import Path

from keras_poolformer.commands.arguments import (
    add_checkpoint_options,
    add_command,
    add_output,
    add_source,
    checkpoint_arguments,
)
from keras_poolformer.commands.models import load_model
from keras_poolformer.errors import InputError
from keras_poolformer.files import refuse_existing, replacing
from keras_poolformer.progress import Progress


def add_parser(group):
    """Adds the subcommand."""
    command = add_command(
        group,
        "convert",
        convert,
        "turn a PyTorch checkpoint into a .keras file, without PyTorch",
        "convert poolformer_s12.pth.tar -o poolformer_s12.keras",
    )
    add_source(command)
    add_checkpoint_options(command)
    add_output(command, "the .keras file to write")


def convert(options):
    """Turns a checkpoint into a .keras file."""
    if Path(options.output).suffix != ".keras":
        raise InputError(f"the output must end in .keras. Received: {options.output}")
    refuse_existing(options.output, options.overwrite)
    progress = Progress([f"reading {options.source}", f"writing {options.output}"])
    progress.start()
    model = load_model(options.source, progress=progress.advance, **checkpoint_arguments(options))
    from keras_poolformer.loading import provenance_json

    progress.start()
    with replacing(options.output, options.overwrite) as written:
        model.save(written)
    progress.finish()
    if options.json:
        print(provenance_json(model), end="")
        return
    print(_report(model.get_config()["provenance"] or {}))


def _report(provenance):
    if "tensors" not in provenance:  # a .keras file of a model that was never loaded
        return "the file does not say where its weights are from"
    lines = [
        "{source}: {tensors} tensors, {parameters:,} parameters, {dtype}, layout {layout}, "
        "head {head}".format(**provenance),
        f"sha256 {provenance['sha256']}",
    ]
    if provenance["new_tensors"]:
        lines.append(f"new, not from the checkpoint: {', '.join(provenance['new_tensors'])}")
    return "\n".join(lines)

"""`python -m conversion verify | convert | evaluate | cifar10-folders | train-demo | pack-demo`.

All but cifar10-folders need PyTorch.
"""

import argparse
import sys
from pathlib import Path

from conversion import cifar10
from keras_poolformer.cli import one_line_errors
from keras_poolformer.commands.arguments import (
    add_checkpoint_options,
    add_output,
    add_source,
    checkpoint_arguments,
)
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.support.progress import Progress


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    return one_line_errors(f"conversion {options.command}", options.handler, options)


def _parser():
    parser = argparse.ArgumentParser(prog="python -m conversion", description=__doc__)
    group = parser.add_subparsers(dest="command", required=True)

    verify = group.add_parser("verify", help="compare Keras with the PyTorch class")
    verify.set_defaults(handler=_verify)
    convert = group.add_parser("convert", help="convert, verify, write .keras + provenance")
    convert.set_defaults(handler=_convert)
    for command in (verify, convert):
        add_source(command)
        add_checkpoint_options(command)
        command.add_argument("--photos", nargs="+", help="image files instead of the shipped")
    add_output(convert, "the .keras file to write; OUTPUT.provenance.json goes beside it")

    evaluate = group.add_parser("evaluate", help="measure the accuracy of the PyTorch class")
    evaluate.set_defaults(handler=_evaluate)
    add_source(evaluate)
    evaluate.add_argument("--data", required=True, metavar="FOLDER", help="of class folders")
    evaluate.add_argument("--transform", metavar="SOURCE", help="whose preparation is taken")

    train = group.add_parser("train-demo", help="train the demo checkpoint in PyTorch")
    train.set_defaults(handler=_train_demo)
    train.add_argument("--epochs", type=int, default=40)
    pack = group.add_parser("pack-demo", help="put the trained demo checkpoint into the package")
    pack.set_defaults(handler=_pack_demo)
    pack.add_argument("--assets", default="keras_poolformer/assets")
    folders = group.add_parser("cifar10-folders", help="write CIFAR-10 as class folders of PNGs")
    folders.set_defaults(handler=_cifar10_folders)
    folders.add_argument("--split", default="test", choices=cifar10.SPLITS, help="(test)")
    folders.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to write")
    folders.add_argument("--overwrite", action="store_true", help="replace an existing one")
    for command in (train, pack, folders):
        command.add_argument("--data", required=True, help="folder cifar-10-batches-bin22")
    for command in (train, pack):
        command.add_argument("--workdir", required=True, help="checkpoints and results")
    return parser


def _verify(options):
    from conversion.verify import verify

    progress = Progress([f"loading {options.source}", "comparing with PyTorch"])
    progress.start()
    _, verification = verify(
        options.source, options.photos, progress=progress, **checkpoint_arguments(options)
    )
    progress.finish()
    print(verification)
    _require_equal(verification)


def _convert(options):
    from conversion.verify import verify
    from keras_poolformer.models.loading import provenance_json

    output = Path(options.output)
    if output.suffix != ".keras":
        raise InputError(f"the output must end in .keras. Received: {output}")
    provenance_file = output.with_suffix(".provenance.json")
    for path in (output, provenance_file):
        refuse_existing(path, options.overwrite)
    steps = [f"loading {options.source}", "comparing with PyTorch", f"writing {output}"]
    progress = Progress(steps)
    progress.start()
    model, verification = verify(
        options.source, options.photos, progress=progress, **checkpoint_arguments(options)
    )
    _require_equal(verification)
    model.provenance = dict(model.provenance) | {
        "verified_against": verification.oracle,
        "relative_errors": verification.errors,
    }
    progress.start()
    with replacing(output, options.overwrite) as written:
        model.save(written)
    with replacing(provenance_file, options.overwrite) as written:
        written.write_text(provenance_json(model))
    progress.finish()
    print(verification)


def _require_equal(verification):
    if not verification.passed:
        raise InputError(f"Keras and PyTorch differ: {verification}")


def _evaluate(options):
    from conversion.accuracy import measure

    progress = Progress([f"classifying the images of {options.data} in PyTorch"])
    progress.start()
    name, accuracy = measure(options.source, options.data, options.transform, progress.advance)
    progress.finish()
    top5 = "" if accuracy.top5 is None else f", top-5 {accuracy.top5:.2f} %"
    print(f"{name}: {accuracy.images:,} images: top-1 {accuracy.top1:.2f} %{top5}")


def _cifar10_folders(options):
    refuse_existing(options.output, options.overwrite, cifar10.CLASS_FOLDERS)
    progress = Progress([f"writing {options.output}"])
    progress.start()
    count = cifar10.write_class_folders(
        options.data, options.split, options.output, options.overwrite, progress.advance
    )
    progress.finish()
    print(f"{options.output}: {count:,} images in {len(cifar10.LABELS)} class folders")


def _train_demo(options):
    from conversion.train_demo import train

    train(options.data, options.workdir, options.epochs)


def _pack_demo(options):
    from conversion.pack_demo import pack

    pack(options.data, options.workdir, options.assets)


if __name__ == "__main__":
    sys.exit(main())

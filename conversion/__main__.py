"""`python -m conversion verify | convert | evaluate | cifar10-folders | train-demo | pack-demo`.

All but cifar10-folders need PyTorch.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from conversion import cifar10
from keras_poolformer.cli import one_line_errors
from keras_poolformer.commands.arguments import (
    add_checkpoint_options,
    add_output,
    add_source,
    checkpoint_arguments,
)
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.lineage import provenance_json
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.support.progress import Progress

if TYPE_CHECKING:
    from conversion.verify import Verification


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    return one_line_errors(f"conversion {options.command}", options.handler, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m conversion", description=__doc__)
    group = parser.add_subparsers(dest="command", required=True)

    verify = group.add_parser("verify", help="compare Keras with the PyTorch class")
    verify.set_defaults(handler=_verify)
    convert = group.add_parser(
        "convert", help="convert, verify, write a .keras file and its provenance"
    )
    convert.set_defaults(handler=_convert)
    for command in (verify, convert):
        add_source(command)
        add_checkpoint_options(command)
        command.add_argument("--photos", nargs="+", help="image files (default: the package's)")
    add_output(convert, "the .keras file to write, beside OUTPUT.provenance.json")

    evaluate = group.add_parser("evaluate", help="measure the accuracy of the PyTorch class")
    evaluate.set_defaults(handler=_evaluate)
    add_source(evaluate)
    evaluate.add_argument("--data", required=True, metavar="FOLDER", help="folder of class folders")
    evaluate.add_argument("--transform", metavar="SOURCE", help="source of the image preparation")
    evaluate.add_argument(
        "--architecture",
        metavar="NAME",
        help="variant whose token mixers a checkpoint has, where its tensors fit several",
    )

    train = group.add_parser("train-demo", help="train the demo checkpoint in PyTorch")
    train.set_defaults(handler=_train_demo)
    train.add_argument("--epochs", type=int, default=40, help="default: %(default)s")
    pack = group.add_parser("pack-demo", help="put a trained demo network into the package")
    pack.set_defaults(handler=_pack_demo)
    add_source(pack)
    pack.add_argument("--preset", required=True, metavar="NAME", help="preset that it becomes")
    pack.add_argument("--assets", default="keras_poolformer/assets", help="default: %(default)s")
    folders = group.add_parser("cifar10-folders", help="write CIFAR-10 as class folders of PNGs")
    folders.set_defaults(handler=_cifar10_folders)
    folders.add_argument(
        "--split", default="test", choices=cifar10.SPLITS, help="default: %(default)s"
    )
    folders.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to write")
    folders.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    for command in (train, pack, folders):
        command.add_argument("--data", required=True, help="folder cifar-10-batches-bin22")
    train.add_argument("--workdir", required=True, help="folder of checkpoints")
    return parser


def _verify(options: argparse.Namespace) -> None:
    from conversion.verify import verify

    progress = Progress([f"loading {options.source}", "comparing with PyTorch"])
    progress.start()
    _, verification = verify(
        options.source, options.photos, progress=progress, **checkpoint_arguments(options)
    )
    progress.finish()
    print(verification)
    _require_equal(verification)


def _convert(options: argparse.Namespace) -> None:
    from conversion.verify import verify

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
    verified = {"verified_against": verification.oracle, "relative_errors": verification.errors}
    extra = {**model.provenance.extra, **verified}
    model.provenance = model.provenance.replace(extra=extra)
    progress.start()
    with replacing(output, options.overwrite) as written:
        model.save(written)
    with replacing(provenance_file, options.overwrite) as written:
        written.write_text(provenance_json(model.provenance), encoding="utf-8", newline="\n")
    progress.finish()
    print(verification)


def _require_equal(verification: "Verification") -> None:
    if not verification.passed:
        raise InputError(f"Keras and PyTorch differ: {verification}")


def _evaluate(options: argparse.Namespace) -> None:
    from conversion.accuracy import measure

    progress = Progress([f"classifying the images of {options.data} in PyTorch"])
    progress.start()
    variant = options.architecture and MetaFormerConfig.from_variant(options.architecture)
    mixers = variant.token_mixers if variant else None
    name, accuracy = measure(
        options.source, options.data, options.transform, progress.advance, mixers
    )
    progress.finish()
    top5 = "" if accuracy.top5 is None else f", top-5 {accuracy.top5:.2f} %"
    print(f"{name}: {accuracy.images:,} images: top-1 {accuracy.top1:.2f} %{top5}")


def _cifar10_folders(options: argparse.Namespace) -> None:
    refuse_existing(options.output, options.overwrite, cifar10.CLASS_FOLDERS)
    progress = Progress([f"writing {options.output}"])
    progress.start()
    count = cifar10.write_class_folders(
        options.data, options.split, options.output, options.overwrite, progress.advance
    )
    progress.finish()
    print(f"{options.output}: {count:,} images in {len(cifar10.LABELS)} class folders")


def _train_demo(options: argparse.Namespace) -> None:
    from conversion.train_demo import train

    train(options.data, options.workdir, options.epochs)


def _pack_demo(options: argparse.Namespace) -> None:
    from conversion.pack_demo import LAYOUTS, pack

    if options.preset not in LAYOUTS:
        raise InputError(
            f"--preset must be one of {', '.join(LAYOUTS)}. Received: {options.preset}"
        )
    progress = Progress([f"packing {options.source}"])
    progress.start()
    written = pack(options.source, options.preset, options.data, options.assets, progress.advance)
    progress.finish()
    print(written)


if __name__ == "__main__":
    sys.exit(main())

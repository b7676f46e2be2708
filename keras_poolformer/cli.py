"""The command line: `keras-poolformer COMMAND`, where --help lists the commands.

Results go to stdout, progress and errors to stderr. Status 0 means success, 2 that what was
given cannot be used.
"""

import argparse
import os
import sys

from keras_poolformer import commands
from keras_poolformer.benchmark_command import benchmark
from keras_poolformer.errors import InputError, MissingExtraError, missing_extra_named
from keras_poolformer.export.recipes import INPUTS, OUTPUTS, RECIPES
from keras_poolformer.export_command import export
from keras_poolformer.native_log import native_log_hidden
from keras_poolformer.prepare_command import prepare
from keras_poolformer.train_command import train
from keras_poolformer.training import STRATEGIES
from keras_poolformer.version import __version__

PROGRAM = "keras-poolformer"


class _Parser(argparse.ArgumentParser):
    """argparse, with errors of one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    return one_line_errors(f"{PROGRAM} {options.command}", options.handler, options)


def one_line_errors(program, handler, options):
    """Calls a handler; turns what it raises into one line on stderr and an exit status."""
    try:
        with native_log_hidden():
            return _status(program, handler, options)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _status(program, handler, options):
    try:
        with missing_extra_named():
            handler(options)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (InputError, MissingExtraError, OSError) as error:
        message = " ".join(str(error).split())
        print(f"{program}: error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser():
    parser = _Parser(
        prog=PROGRAM, description="PoolFormer for Keras 3 and LiteRT, from PyTorch checkpoints."
    )
    parser.add_argument("--version", action="version", version=__version__)
    group = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)

    presets = _command(group, "presets", commands.presets, "list the named weights", "presets")
    presets.add_argument("--json", action="store_true", help="print JSON")

    summary = _command(
        group, "summary", commands.summary, "show an architecture", "summary poolformer_s12"
    )
    add_source(summary)
    summary.add_argument("--json", action="store_true", help="print JSON")

    convert = _command(
        group,
        "convert",
        commands.convert,
        "turn a PyTorch checkpoint into a .keras file, without PyTorch",
        "convert poolformer_s12.pth.tar -o poolformer_s12.keras",
    )
    add_source(convert)
    add_checkpoint_options(convert)
    add_output(convert, "the .keras file to write")

    _add_predict(group)
    _add_train(group)
    _add_prepare(group)
    _add_evaluate(group)

    _add_export(group)
    _add_benchmark(group)
    return parser


def _add_export(group):
    command = _command(
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
        help="of a .tflite file, or saved_model (fp32)",
    )
    command.add_argument(
        "--inputs", choices=INPUTS, help="(normalized; pixels for int8, which takes nothing else)"
    )
    command.add_argument(
        "--outputs", choices=OUTPUTS, help="(logits); pyramid: the feature maps P2, P3, ..."
    )
    command.add_argument(
        "--calibration", metavar="FOLDER", help="a few hundred images, for int8; no test images"
    )
    command.add_argument(
        "--skip-broken", action="store_true", help="leave unreadable calibration images out"
    )
    add_output(command, "the file or directory to write; OUTPUT.json records it")


def _add_predict(group):
    predict = _command(
        group,
        "predict",
        commands.predict,
        "classify images",
        "predict poolformer_tiny_cifar10 photo.jpg holiday/",
    )
    predict.add_argument("source", metavar="SOURCE", help="preset, checkpoint or .tflite file")
    predict.add_argument("images", metavar="IMAGE", nargs="+", help="image files and folders")
    predict.add_argument("--top-k", type=_positive, default=5, help="classes to show (5)")
    predict.add_argument("--json", action="store_true", help="print JSON")


def _add_train(group):
    command = _command(
        group,
        "train",
        train,
        "train a model; the same command goes on where it was interrupted",
        "train --recipe poolformer_tiny_cifar10 --data cifar10 --workdir run",
    )
    command.add_argument("--recipe", required=True, metavar="NAME", help="of a training recipe")
    command.add_argument(
        "--data",
        required=True,
        metavar="FOLDER_OR_NAME",
        help="ROOT/train/label/image, ROOT/label/image, what `prepare` wrote, or a tfds data set",
    )
    command.add_argument("--workdir", required=True, metavar="DIR", help="for all that is written")
    command.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="one_device",
        help="of tf.distribute (one_device); multiworker reads TF_CONFIG",
    )
    command.add_argument("--replicas", type=_positive, metavar="N", help="of mirrored")
    command.add_argument("--tpu", metavar="NAME", help='of a Cloud TPU; "local" on its own VM')
    command.add_argument("--zone", help="of the TPU")
    command.add_argument("--project", help="of the TPU")
    command.add_argument("--init", metavar="CHECKPOINT", help="preset or file to begin with")
    command.add_argument("--max-steps", type=_positive, metavar="N", help="stop there")
    command.add_argument("--seed", type=_seed, default=0, help="of all that is random (0)")
    command.add_argument(
        "--set", dest="settings", metavar="FIELD=VALUE", nargs="+", action="extend", default=[],
        help="fields of the recipe, as in batch_size=32 drop_path_rate=0",
    )  # fmt: skip
    command.add_argument("--data-dir", metavar="FOLDER", help="where tfds data sets lie or are put")
    command.add_argument(
        "--checkpoints", metavar="DIR", help="if not in the working directory; may be gs://"
    )
    command.add_argument(
        "--skip-validation", action="store_true", help="do not read all images once before"
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def _add_prepare(group):
    command = _command(
        group,
        "prepare",
        prepare,
        "write a folder of images or a tfds data set as TFRecords, to train from",
        "prepare photos/ -o gs://bucket/photos",
    )
    command.add_argument("data", metavar="FOLDER_OR_NAME", help="as for train --data")
    command.add_argument("--shards", type=_positive, metavar="N", help="files of each split")
    command.add_argument("--data-dir", metavar="FOLDER", help="where tfds data sets lie or are put")
    add_output(command, "the folder to write; may be gs://")


def _add_evaluate(group):
    evaluate = _command(
        group,
        "evaluate",
        commands.evaluate,
        "measure top-1 and top-5 accuracy, in per cent, on a folder of class folders or a data set "
        "of tensorflow-datasets",
        "evaluate s12.tflite --data photos/  (where photos/ holds cat/1.jpg, dog/7.png, ...)",
    )
    evaluate.add_argument(
        "source", metavar="SOURCE", help="preset, checkpoint, .tflite file or SavedModel"
    )
    evaluate.add_argument(
        "--data",
        required=True,
        metavar="FOLDER_OR_NAME",
        help="class folders, named by label or number; or a tfds data set, NAME[/CONFIG][:VERSION]",
    )
    evaluate.add_argument("--split", help="of a tfds data set, as in test[:100] (test, validation)")
    evaluate.add_argument(
        "--data-dir", metavar="FOLDER", help="where tfds data sets lie or are put (tfds' own)"
    )
    evaluate.add_argument(
        "--limit", type=_positive, metavar="N", help="at most N images, evenly spread"
    )
    evaluate.add_argument("--batch-size", type=_positive, default=64, help="images at once (64)")
    evaluate.add_argument(
        "--skip-broken", action="store_true", help="leave unreadable images out, and count them"
    )
    evaluate.add_argument("--json", action="store_true", help="print JSON")


def _add_benchmark(group):
    command = _command(
        group,
        "benchmark",
        benchmark,
        "measure latency, throughput and memory of .tflite files, side by side, and tell which "
        "operators run outside XNNPACK",
        "benchmark s12_fp32.tflite s12_int8.tflite --threads 1,4",
    )
    command.add_argument(
        "files", metavar="FILE", nargs="+", help=".tflite files of any origin that take one image"
    )
    command.add_argument(
        "--threads",
        type=_thread_counts,
        metavar="N,N",
        help="thread counts to measure latency at (1 and the number of cores)",
    )
    command.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help="interpreters that share the images when throughput is measured (number of cores)",
    )
    command.add_argument(
        "--runs", type=_positive, default=50, metavar="N", help="timed calls of each (50)"
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def _command(group, name, handler, purpose, example):
    command = group.add_parser(
        name, help=purpose, description=purpose, epilog=f"example: {PROGRAM} {example}"
    )
    command.set_defaults(handler=handler)
    return command


def add_source(command):
    """Adds SOURCE."""
    command.add_argument(
        "source", metavar="SOURCE", help="preset, checkpoint file, or directory of a hub"
    )


def add_checkpoint_options(command):
    """Adds what may have to be said about a checkpoint."""
    command.add_argument("--layout", help="sail, timm or hf; told by the tensors' names")
    command.add_argument("--head", help="norm_pool or pool_norm instead of the layout's own")
    command.add_argument("--num-classes", type=int, help="other than the checkpoint's: new head")
    command.add_argument("--backbone", action="store_true", help="the network without a head")
    command.add_argument("--pool-size", type=int, help="of the token mixer, if it is not 3")
    command.add_argument("--activation", help="of the MLPs, if it is not gelu")
    command.add_argument("--no-ema", action="store_true", help="not the averaged weights")
    command.add_argument("--sha256", help="refuse the file unless it has this checksum")


def add_output(command, purpose):
    """Adds --output, --overwrite and --json."""
    command.add_argument("-o", "--output", required=True, metavar="PATH", help=purpose)
    command.add_argument("--overwrite", action="store_true", help="replace an existing one")
    command.add_argument("--json", action="store_true", help="print the report as JSON")


def _positive(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1. Received: {text!r}")
    return int(text)


def _seed(text):
    if not text.isdecimal() or int(text) >= 2**31:
        raise argparse.ArgumentTypeError(
            f"must be a whole number from 0 to 2147483647. Received: {text!r}"
        )
    return int(text)


def _thread_counts(text):
    return [_positive(count) for count in text.split(",")]

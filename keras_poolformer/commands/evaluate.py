"""`keras-poolformer evaluate`."""

import os
import sys

from keras_poolformer import evaluation
from keras_poolformer.commands.arguments import add_command, add_overrides, positive
from keras_poolformer.data import folders
from keras_poolformer.data.evaluation_source import open_labelled
from keras_poolformer.messages import json_text
from keras_poolformer.progress import Progress
from keras_poolformer.scorers import open_scorer

SHOWN_BROKEN = 5
TOP_NAMES = {"top-1": "top1", "top-5": "top5"}


def add_parser(group):
    """Adds the subcommand."""
    command = add_command(
        group,
        "evaluate",
        evaluate,
        "measure top-1 and top-5 accuracy, in per cent, on class folders, records or a data set of "
        "tensorflow-datasets",
        "evaluate s12.tflite --data photos/  (where photos/ holds cat/1.jpg, dog/7.png, ...)",
    )
    command.add_argument(
        "source", metavar="SOURCE", help="preset, checkpoint, .tflite file or SavedModel"
    )
    add_data_options(command, required=True)
    add_overrides(command)
    command.add_argument("--json", action="store_true", help="print JSON")


def add_data_options(command, required=False):
    """Adds what says on which images accuracy is measured."""
    command.add_argument(
        "--data",
        required=required,
        metavar="FOLDER_OR_NAME",
        help="whatever train takes: class folders, named by label or number; a folder of splits; "
        "records of `prepare`, also at gs://; a tfds data set, NAME[/CONFIG][:VERSION]",
    )
    command.add_argument(
        "--split",
        help="of the data: a folder beside train (val, validation, test), of records (validation), "
        "or of tfds, as in test[:100] (test, validation)",
    )
    command.add_argument(
        "--data-dir", metavar="FOLDER", help="where tfds data sets lie or are put (tfds' own)"
    )
    command.add_argument(
        "--limit", type=positive, metavar="N", help="at most N images, evenly spread"
    )
    command.add_argument("--batch-size", type=positive, default=64, help="images at once (64)")
    command.add_argument(
        "--skip-broken", action="store_true", help="leave unreadable images out, and count them"
    )


def evaluate(options):
    """Measures accuracy on labelled images."""
    progress = Progress([f"loading {options.source}", f"classifying the images of {options.data}"])
    accuracy, note, broken = measure(
        options, options.source, progress, options.size, options.labels
    )
    progress.finish()
    if note:
        print(note, file=sys.stderr)
    if broken:
        names = ", ".join(map(str, broken[:SHOWN_BROKEN]))
        more = f" and {len(broken) - SHOWN_BROKEN} more" if len(broken) > SHOWN_BROKEN else ""
        print(f"skipped {len(broken)} broken images: {names}{more}", file=sys.stderr)
    result = accuracy.to_dict() | ({"skipped": len(broken)} if options.skip_broken else {})
    if options.json:
        print(json_text(result))
        return
    shares = [f"{name} {result[key]:.2f} %" for name, key in TOP_NAMES.items() if key in result]
    print(f"{accuracy.images:,} images: {', '.join(shares)}")


def measure(options, source, progress, size=None, labels=None):
    """Measures the accuracy of one model.

    Args:
        options: `data`, `split`, `data_dir`, `limit`, `batch_size` and `skip_broken`.
        source: of the model.
        progress: a `Progress`, two steps of which it begins.
        size, labels: as `add_overrides` reads them.

    Returns:
        (`Accuracy`, a note for people or "", the images that were skipped).
    """
    labelled_for = open_labelled(options.data, options.split, options.data_dir, options.limit)
    progress.start()
    scorer = open_scorer(source, os.cpu_count() or 1, size, labels)
    labelled = labelled_for(scorer)
    broken = []
    batches = folders.read_batches(
        labelled.examples,
        scorer.prepare,
        options.batch_size if scorer.fixed_size else 1,
        on_broken=(lambda path, error: broken.append(path)) if options.skip_broken else None,
    )
    progress.start()
    accuracy = evaluation.evaluate(scorer.predict, _counted(batches, progress, labelled.total))
    return accuracy, labelled.note, broken


def _counted(batches, progress, total):
    """The same batches; each one that was used up moves the progress on."""
    done = 0
    for images, classes in batches:
        yield images, classes
        done += len(classes)
        progress.advance(done, total)

"""`keras-poolformer evaluate`."""

import json
import os
import sys
from pathlib import Path

from keras_poolformer import evaluation
from keras_poolformer.commands.arguments import add_command, positive, print_note
from keras_poolformer.data import folders
from keras_poolformer.errors import InputError
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
        "measure top-1 and top-5 accuracy, in per cent, on a folder of class folders or a data set "
        "of tensorflow-datasets",
        "evaluate s12.tflite --data photos/  (where photos/ holds cat/1.jpg, dog/7.png, ...)",
    )
    command.add_argument(
        "source", metavar="SOURCE", help="preset, checkpoint, .tflite file or SavedModel"
    )
    add_data_options(command, required=True)
    command.add_argument("--json", action="store_true", help="print JSON")


def add_data_options(command, required=False):
    """Adds what says on which images accuracy is measured."""
    command.add_argument(
        "--data",
        required=required,
        metavar="FOLDER_OR_NAME",
        help="class folders, named by label or number; or a tfds data set, NAME[/CONFIG][:VERSION]",
    )
    command.add_argument("--split", help="of a tfds data set, as in test[:100] (test, validation)")
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
    """Measures accuracy on a folder of class folders or a tfds data set."""
    progress = Progress([f"loading {options.source}", f"classifying the images of {options.data}"])
    accuracy, note, broken = measure(options, options.source, progress)
    progress.finish()
    if note:
        print(note, file=sys.stderr)
    if broken:
        names = ", ".join(map(str, broken[:SHOWN_BROKEN]))
        more = f" and {len(broken) - SHOWN_BROKEN} more" if len(broken) > SHOWN_BROKEN else ""
        print(f"skipped {len(broken)} broken images: {names}{more}", file=sys.stderr)
    result = accuracy.to_dict() | ({"skipped": len(broken)} if options.skip_broken else {})
    if options.json:
        print(json.dumps(result, indent=2))
        return
    shares = [f"{name} {result[key]:.2f} %" for name, key in TOP_NAMES.items() if key in result]
    print(f"{accuracy.images:,} images: {', '.join(shares)}")


def measure(options, source, progress):
    """Measures the accuracy of one model.

    Args:
        options: `data`, `split`, `data_dir`, `limit`, `batch_size` and `skip_broken`.
        source: of the model.
        progress: a `Progress`, two steps of which it begins.

    Returns:
        (`Accuracy`, a note for people or None, the files that were skipped).
    """
    open_data = _open_folder if Path(options.data).exists() else _open_tfds
    examples_for = open_data(options)
    progress.start()
    scorer = open_scorer(source, num_workers=os.cpu_count() or 1)
    examples, total, note = examples_for(scorer)
    broken = []
    batches = folders.read_batches(
        examples,
        scorer.prepare,
        options.batch_size if scorer.fixed_size else 1,
        on_broken=(lambda path, error: broken.append(path)) if options.skip_broken else None,
    )
    progress.start()
    accuracy = evaluation.evaluate(scorer.predict, _counted(batches, progress, total))
    return accuracy, note, broken


def _open_folder(options):
    """A function from a scorer to ([(image, class index), ...], how many, a note or None)."""
    for option, value in (("--split", options.split), ("--data-dir", options.data_dir)):
        if value is not None:
            raise InputError(
                f"{option} goes with a tfds data set. Received: {options.data}, a path"
            )
    class_folders = folders.find_class_folders(options.data, print_note)

    def examples_for(scorer):
        labelled = folders.label_images(class_folders, scorer.labels, scorer.num_classes)
        examples = folders.spread(labelled, options.limit)
        return examples, len(examples), None

    return examples_for


def _open_tfds(options):
    """The same for a data set; the images are read as they are asked for."""
    from keras_poolformer.data.tfds_source import open_split

    split = open_split(options.data, options.split, options.data_dir)

    def examples_for(scorer):
        indices, by_number = split.class_indices(scorer.labels, scorer.num_classes)
        total = len(folders.spread(range(split.num_examples), options.limit))
        label = scorer.labels[0] if scorer.labels else 0
        note = (
            f"the classes of {options.data} are taken for the model's by number, not by name: "
            f"{split.class_names[0]!r} for {label!r}, and so on"
        )
        return split.examples(indices, options.limit), total, note if by_number else None

    return examples_for


def _counted(batches, progress, total):
    """The same batches; each one that was used up moves the progress on."""
    done = 0
    for images, classes in batches:
        yield images, classes
        done += len(classes)
        progress.advance(done, total)

"""The subcommand `predict`."""

import argparse
import os
from pathlib import Path

from keras_poolformer.commands.arguments import (
    CommandGroup,
    add_command,
    add_overrides,
    add_tiles,
    positive,
)
from keras_poolformer.commands.images import (
    BrokenImages,
    add_images,
    add_skip_broken,
    csv_text,
    image_files,
)
from keras_poolformer.commands.segments import FOLDER, OVERLAYS, segment_images
from keras_poolformer.data.folders import read_batches
from keras_poolformer.evaluation.opening import open_network
from keras_poolformer.evaluation.scorer import Scorer
from keras_poolformer.evaluation.segmenter import Segmenter
from keras_poolformer.images.files import EncodedImage
from keras_poolformer.scores import score_name, score_text
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import refuse_existing
from keras_poolformer.support.messages import json_text, printable
from keras_poolformer.support.progress import Progress

BATCH_SIZE = 32  # images
TOP_K = 5  # classes of a classifier
Results = dict[str, list[tuple[str, float]]]  # {path of an image: its best classes}


def add_parser(group: CommandGroup) -> None:
    """Adds the subcommand."""
    command = add_command(
        group,
        "predict",
        predict,
        "predict convformer_tiny_cifar10 photo.jpg holiday/",
    )
    command.add_argument(
        "source", metavar="SOURCE", help="preset, checkpoint, .tflite file or SavedModel"
    )
    add_images(command)
    command.add_argument(
        "--top-k",
        type=positive,
        metavar="N",
        help=f"number of classes to show (default: {TOP_K}; of a segmenter all in the image)",
    )
    command.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        help=f"folder to write a segmenter's overlays to (default: {FOLDER})",
    )
    command.add_argument("--overwrite", action="store_true", help="replace existing overlays")
    add_tiles(command)
    add_skip_broken(command)
    add_overrides(command)
    forms = command.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print the classes as JSON")
    forms.add_argument("--csv", action="store_true", help="print the classes as CSV")


def predict(options: argparse.Namespace) -> int:
    """Classifies or segments image files; returns the exit status."""
    images = image_files(options.images)
    if options.output is not None:
        refuse_existing(options.output, options.overwrite, OVERLAYS)
    progress = Progress([f"loading {options.source}", f"working through {len(images)} images"])
    progress.start()
    workers = os.cpu_count() or 1
    network = open_network(
        options.source, workers, options.size, options.labels, tiles=options.tiles
    )
    progress.start()
    if isinstance(network, Segmenter):
        return segment_images(network, images, options, progress)
    if options.output is not None:
        raise InputError(
            "--output is for the overlays of a segmenter. Received: a classifier, whose classes "
            "are printed"
        )
    broken = BrokenImages(options.skip_broken)
    results = _classify(network, images, options.top_k or TOP_K, broken, progress)
    progress.finish()
    broken.check(len(images))
    _print(results, network.problem_type, options)
    return broken.report()


def _classify(
    scorer: Scorer,
    images: list[Path | EncodedImage],
    top_k: int,
    broken: BrokenImages,
    progress: Progress,
) -> Results:
    """The best classes of each image that can be read, in the order of the images."""
    batches = read_batches(
        [(path, number) for number, path in enumerate(images)],
        scorer.prepare,
        BATCH_SIZE if scorer.fixed_size else 1,
        on_broken=lambda _, error: broken.add(error),
    )
    results = {}
    for prepared, numbers in batches:
        for number, scores in zip(numbers.tolist(), scorer.scores(prepared), strict=True):
            results[str(images[number])] = scorer.top_classes(scores, top_k)
        progress.advance(number + 1, len(images))
    return results


def _print(results: Results, problem_type: str | None, options: argparse.Namespace) -> None:
    name = score_name(problem_type)
    if options.json:
        rows = {
            image: [{"label": label, name: score} for label, score in top]
            for image, top in results.items()
        }
        print(json_text(rows))
    elif options.csv:
        print(csv_text(
            {"image": image, "rank": rank, "label": label, name: score}
            for image, top in results.items()
            for rank, (label, score) in enumerate(top, start=1)
        ))  # fmt: skip
    else:
        for image, top in results.items():
            print(printable(image))
            for label, score in top:
                print(f"  {score_text(score, problem_type):>6}  {label}")

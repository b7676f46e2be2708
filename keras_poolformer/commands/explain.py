"""`keras-poolformer explain`: Grad-CAM maps of photographs, drawn on one sheet."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_poolformer.commands.arguments import (
    CommandGroup,
    add_command,
    add_output,
    add_overrides,
    add_source,
)
from keras_poolformer.commands.images import (
    BrokenImages,
    add_images,
    add_skip_broken,
    image_files,
)
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.images.files import EncodedImage
from keras_poolformer.images.options import as_pair
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.inspection.contact_sheet import (
    PAIR_SIDE,
    SCALE_SIZE,
    Legend,
    Pair,
    draw_pairs,
)
from keras_poolformer.models.opening import load_classifier
from keras_poolformer.scores import score_name, score_text, scores
from keras_poolformer.support.errors import ImageError, InputError
from keras_poolformer.support.files import refuse_existing, replacing
from keras_poolformer.support.messages import did_you_mean, json_text, shown
from keras_poolformer.support.progress import Progress

if TYPE_CHECKING:
    from keras_poolformer.models.classifier import MetaFormerImageClassifier

MAX_IMAGES = 200


class _Explained(NamedTuple):
    """An explained image: its pair on the sheet, and its row in the table."""

    pair: Pair
    row: dict[str, Any]


def add_parser(group: CommandGroup) -> None:
    """Adds the subcommand."""
    command = add_command(
        group,
        "explain",
        explain,
        "explain convformer_tiny_cifar10 photo.jpg -o photo_explained.png",
    )
    add_source(command)
    add_images(command)
    command.add_argument(
        "--class",
        dest="class_name",
        metavar="CLASS",
        help="label or number of the class to explain (default: the top class of each image)",
    )
    command.add_argument(
        "--layer",
        metavar="NAME",
        help="feature map to explain: P2 to P5, or a layer of the backbone (default: the last "
        "stage of at least 7 x 7 positions)",
    )
    add_skip_broken(command)
    add_overrides(command)
    add_output(command, "PNG file to write")


def explain(options: argparse.Namespace) -> int:
    """Draws images next to their maps; returns the exit status."""
    if Path(options.output).suffix.lower() != ".png":
        raise InputError(f"the output must end in .png. Received: {options.output}")
    refuse_existing(options.output, options.overwrite)
    images = image_files(options.images)
    if len(images) > MAX_IMAGES:
        raise InputError(f"at most {MAX_IMAGES} images fit on a sheet. Received: {len(images)}")
    progress = Progress([f"loading {options.source}", f"explaining {len(images)} images"])
    progress.start()
    model = load_classifier(options.source, size=options.size, labels=options.labels)
    class_index = _class_index(options.class_name, model.config)
    layer = options.layer or _default_layer(model)
    progress.start()
    explained: list[_Explained] = []
    broken = BrokenImages(options.skip_broken)
    for done, image in enumerate(images, start=1):
        try:
            explained.append(_explained(model, image, class_index, layer))
        except ImageError as error:
            broken.add(error)
        progress.advance(done, len(images))
    broken.check(len(images))
    with replacing(options.output, options.overwrite) as written:
        pairs = [entry.pair for entry in explained]
        draw_pairs(written, pairs, _legend(options.source, explained[0].row))
    progress.finish()
    _print([entry.row for entry in explained], model.config.problem_type, options)
    return broken.report()


def _print(
    rows: Sequence[dict[str, Any]], problem_type: str | None, options: argparse.Namespace
) -> None:
    if options.json:
        print(json_text({"path": options.output, "images": rows}))
        return
    for row in rows:
        score = row[score_name(problem_type)]
        print(f"{row['image']}: {row['label']} {score_text(score, problem_type)}")
    print(options.output)


def _explained(
    model: "MetaFormerImageClassifier",
    image: Path | EncodedImage,
    class_index: int | None,
    layer: str,
) -> _Explained:
    import PIL.Image as Image

    from keras_poolformer.inspection.grad_cam import grad_cam, overlay

    transform, problem_type = model.transform, model.config.problem_type
    batch = transform(image)[None]
    # Called as it is: to trace a graph for a few images would take longer.
    class_scores = scores(model(batch, training=False)[0], problem_type)
    index = int(class_scores.argmax()) if class_index is None else class_index
    (cam,) = grad_cam(model, batch, index, layer)
    photograph = Image.fromarray(_enlarged(transform).pixels(image))
    label = model.config.labels[index] if model.config.labels else str(index)
    row = {
        "image": str(image),
        "class": index,
        "label": label,
        score_name(problem_type): float(class_scores[index]),
        "layer": layer,
        "map": list(cam.shape),
    }
    caption = f"{label}  {score_text(class_scores[index], problem_type)}  ({image.name})"
    return _Explained((photograph, overlay(photograph, cam), caption), row)


def _default_layer(model: "MetaFormerImageClassifier") -> str:
    """The layer for the transform's size, or for its shorter side if images differ in size."""
    from keras_poolformer.inspection.grad_cam import default_layer

    transform = model.transform
    shape = transform.output_shape or as_pair(transform.resized_to or transform.size)
    return default_layer(model, *shape)


def _legend(source: str, row: dict[str, Any]) -> Legend:
    """The model and layer of the maps, and their colors on gray."""
    import numpy as np
    import PIL.Image as Image

    from keras_poolformer.inspection.grad_cam import overlay

    gray = Image.new("RGB", SCALE_SIZE, "#808080")
    height, width = row["map"]
    name = Path(source).name or source
    return Legend(
        title=f"{name}: Grad-CAM at {row['layer']}, {height} x {width} positions",
        low="evidence for the class: none",
        high="most",
        scale=overlay(gray, np.linspace(0, 1, SCALE_SIZE[0])[None]),
    )


def _enlarged(transform: ImageTransform) -> ImageTransform:
    """The transform with the same crop at least at the resolution of the sheet."""
    factor = math.ceil(PAIR_SIDE / max(transform.output_shape or (PAIR_SIDE,)))
    if factor == 1 or not transform.do_resize:
        return transform
    sides = {"size": transform.size, "crop_size": transform.crop_size}
    enlarged = {
        name: (
            tuple(factor * side for side in value) if isinstance(value, tuple) else factor * value
        )
        for name, value in sides.items()
        if value is not None
    }
    return transform.replace(**enlarged)


def _class_index(name: str | None, config: MetaFormerConfig) -> int | None:
    """The index of the class with this label or number; None for None."""
    if not config.num_classes or config.in_channels != 3:
        raise InputError(
            f"the source must classify RGB images. Received: {config.num_classes} classes, "
            f"{config.in_channels} channels"
        )
    if name is None:
        return None
    labels = config.labels or ()
    found = [index for index, label in enumerate(labels) if label.lower() == name.lower()]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"--class {name} is the label of several classes; give one of {found}")
    if name.isdecimal() and int(name) < config.num_classes:
        return int(name)
    hint = did_you_mean(name, labels)
    raise InputError(
        f"--class must be a label or a number from 0 to {config.num_classes - 1}.{hint} "
        f"Received: {shown(name)}"
    )

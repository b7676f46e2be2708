"""What `predict` does with a segmenter: an overlay of each image, and the shares of its classes."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_poolformer.commands.images import BrokenImages, csv_text
from keras_poolformer.evaluation.segmenter import Segmenter
from keras_poolformer.images.files import EncodedImage, load_image
from keras_poolformer.inspection.segments import draw_segments, find_segments
from keras_poolformer.support.errors import ImageError
from keras_poolformer.support.files import replacing
from keras_poolformer.support.messages import json_text, printable
from keras_poolformer.support.output_folders import OutputFolder
from keras_poolformer.support.progress import Progress

FOLDER = "overlays"  # unless --output names another
RECORD = "classes.json"
OVERLAYS = OutputFolder("a folder of overlays that predict wrote", ("*.png", RECORD), (RECORD,))


def segment_images(
    segmenter: Segmenter,
    images: Sequence[Path | EncodedImage],
    options: argparse.Namespace,
    progress: Progress,
) -> int:
    """Writes the overlays and their record, and prints the shares; returns the exit status.

    Args:
        segmenter: What segments the images.
        images: Image files.
        options: Options of `predict`.
        progress: Progress, in the step that works through the images.
    """
    output = options.output or FOLDER
    broken = BrokenImages(options.skip_broken)
    with replacing(output, options.overwrite, OVERLAYS) as folder:
        folder.mkdir()
        rows: list[dict[str, Any]] = []
        for name, (done, image) in zip(_names(images), enumerate(images, start=1), strict=True):
            try:
                rows.append(_segment(segmenter, image, folder / name, options.top_k))
            except ImageError as error:
                broken.add(error)
            progress.advance(done, len(images))
        broken.check(len(images))
        record = json_text({"path": output, "images": rows})
        (folder / RECORD).write_text(f"{record}\n", encoding="utf-8", newline="\n")
    progress.finish()
    if options.csv:
        print(csv_text(_csv_rows(rows)))
    else:
        print(record if options.json else _table(output, rows))
    return broken.report()


def _segment(
    segmenter: Segmenter, image: Path | EncodedImage, path: Path, top_k: int | None
) -> dict[str, Any]:
    picture = load_image(image)
    label_map = segmenter.segment(picture)
    segments = find_segments(label_map, segmenter.labels)[:top_k]
    draw_segments(picture, label_map, segments, segmenter.palette).save(path)
    return {
        "image": str(image),
        "overlay": path.name,
        "classes": [
            {"class": segment.index, "label": segment.label, "share": segment.share}
            for segment in segments
        ],
    }


def _names(images: Sequence[Path | EncodedImage]) -> list[str]:
    """A file name for the overlay of each image, all different, whatever the system's case."""
    names: dict[str, str] = {}
    for image in images:
        stem = Path(str(image)).stem
        name, number = stem, 1
        while name.lower() in names:
            number += 1
            name = f"{stem}_{number}"
        names[name.lower()] = f"{name}.png"
    return list(names.values())


def _csv_rows(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each class of each image."""
    for row in rows:
        for entry in row["classes"]:
            yield {"image": row["image"], "overlay": row["overlay"]} | entry


def _table(output: str, rows: Sequence[dict[str, Any]]) -> str:
    lines: list[str] = []
    for row in rows:
        lines.append(printable(row["image"]))
        lines += [f"  {entry['share']:>6.1%}  {entry['label']}" for entry in row["classes"]]
    overlays = "1 overlay" if len(rows) == 1 else f"{len(rows)} overlays"
    return "\n".join([*lines, f"{output}: {overlays}"])

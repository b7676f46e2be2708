"""Measures a segmenter on images with masks, at the images' own sizes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.data.masked import MaskedExamples, MaskedImages
from keras_poolformer.data.masks import MaskedImage
from keras_poolformer.evaluation.iou import IouMeter, SegmentationScores
from keras_poolformer.evaluation.measurement import Measurement, percentages
from keras_poolformer.evaluation.report import (
    CLASSES,
    IMAGES,
    PICTURE,
    WORST,
    class_label,
    write_confusion,
    write_table,
)
from keras_poolformer.evaluation.report_page import Table, write_page
from keras_poolformer.evaluation.segmenter import Segmenter
from keras_poolformer.evaluation.worst_images import draw_segmented
from keras_poolformer.support.errors import ImageError
from keras_poolformer.support.messages import printable

# What people call the figures.
NAMES = {"mIoU": "mean_iou", "mAcc": "mean_accuracy", "pixel accuracy": "pixel_accuracy"}
DRAWN = 8  # images, the worst ones


@dataclass(frozen=True)
class MeasuredImage:
    """The scores of one image by itself.

    Args:
        name: Name of the image.
        scores: Its scores; None if its mask labels no pixel.
    """

    name: str
    scores: SegmentationScores | None

    @property
    def mean_iou(self) -> float:
        """Mean over the classes that are true or predicted in it; infinite without a label."""
        return self.scores.mean_iou if self.scores else math.inf


@dataclass(frozen=True, eq=False, kw_only=True)
class SegmentationMeasurement(Measurement):
    """The mIoU of a segmenter, and what it was measured on.

    Args:
        scores: The figures.
        images: The images that were segmented, in order.
        worst: Those with the lowest mIoU, the worst first, with their files.
        segmenter: The model.
        examples: Where the images are from.
    """

    scores: SegmentationScores
    images: tuple[MeasuredImage, ...] = field(repr=False)
    worst: tuple[tuple[MeasuredImage, MaskedImage], ...] = field(repr=False)
    segmenter: Segmenter = field(repr=False)
    examples: MaskedExamples = field(repr=False)

    def to_dict(self) -> dict[str, int | float]:
        """See `Measurement.to_dict`."""
        return self.scores.to_dict()

    def class_figures(self) -> list[dict[str, Any]]:
        """See `Measurement.class_figures`: of the classes that are true or predicted anywhere."""
        pixels = self.scores.pairs.sum(1).tolist()
        return [
            {
                "class": index,
                "label": class_label(index, self.examples.class_names),
                "pixels": pixels[index],
                "iou": self.scores.iou[index],
                "accuracy": self.scores.accuracy[index] if pixels[index] else None,
            }
            for index in self._present().tolist()
        ]

    def summary(self) -> str:
        """See `Measurement.summary`."""
        return f"{self.scores.images:,} images: {percentages(NAMES, self.to_dict())}"

    def class_lines(self) -> list[str]:
        """See `Measurement.class_lines`."""
        lines = []
        for figures in self.class_figures():
            accuracy = figures["accuracy"]
            accuracy = "-" if accuracy is None else f"{accuracy:.2f} %"
            label = printable(figures["label"])
            lines.append(f"IoU {figures['iou']:6.2f} %  accuracy {accuracy:>8}  {label}")
        return lines

    def write_report(self, folder: Path) -> None:
        """Writes a report, with the files of `report.REPORT`.

        classes.csv has a line for each class; confusion.csv counts the pixels of each pair of true
        (row) and predicted class, and confusion.png shows them; images.csv has a line for each
        image, the worst first; worst/1.png, ... are pictures of the worst ones; index.html shows
        all of it.

        Args:
            folder: An existing, empty folder.
        """
        figures = self.class_figures()
        header, rows = list(figures[0]), [list(row.values()) for row in figures]
        write_table(folder / CLASSES, header, rows)
        present = self._present()
        matrix = self.scores.pairs[np.ix_(present, present)]
        write_confusion(folder, matrix, [row["label"] for row in figures])
        self._write_images(folder / IMAGES)
        (folder / WORST).mkdir()
        pictures = [("Confusion matrix", PICTURE)]
        for rank, (image, files) in enumerate(self.worst, start=1):
            picture, mask = self.examples.load(files)
            predicted = self.segmenter.segment(picture)
            title = f"{image.name}: mIoU {image.mean_iou:.2f} %"
            drawn = draw_segmented(picture, mask, predicted, title, self.segmenter.palette)
            drawn.save(folder / WORST / f"{rank}.png")
            pictures.append((title, f"{WORST}/{rank}.png"))
        table = Table("Classes", CLASSES, header, rows)
        write_page(folder, self.summary(), pictures, [table])

    def _present(self) -> np.ndarray:
        """Numbers of the classes that are true or predicted anywhere."""
        return np.flatnonzero(~np.isnan(self.scores.iou))

    def _write_images(self, path: Path) -> None:
        rows = (
            [image.name, f"{scores.mean_iou:.4g}", f"{scores.pixel_accuracy:.4g}"]
            if (scores := image.scores)
            else [image.name, "", ""]
            for image in sorted(self.images, key=lambda image: image.mean_iou)
        )
        write_table(path, ["image", "mean_iou", "pixel_accuracy"], rows)


@dataclass
class _Results:
    """What is kept of the images that were segmented so far.

    Args:
        meter: Counter of all pixels.
    """

    meter: IouMeter
    images: list[MeasuredImage] = field(default_factory=list[MeasuredImage])
    worst: list[tuple[MeasuredImage, MaskedImage]] = field(
        default_factory=list[tuple[MeasuredImage, MaskedImage]]
    )

    def add(self, files: MaskedImage, predicted: np.ndarray, mask: np.ndarray) -> None:
        image = MeasuredImage(str(files.image), self.meter.add(predicted, mask))
        self.images.append(image)
        if image.scores:  # at most `DRAWN` files stay in memory, of those that are not on disk
            ranked = sorted([*self.worst, (image, files)], key=lambda pair: pair[0].mean_iou)
            self.worst = ranked[:DRAWN]


def measure_segmenter(
    segmenter: Segmenter,
    masked: MaskedImages,
    limit: int | None = None,
    skip_broken: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> SegmentationMeasurement:
    """Measures the mIoU of one model, as mmsegmentation's `IoUMetric` counts it.

    Args:
        segmenter: The model.
        masked: Images and masks to measure on.
        limit: Number of images at most, evenly spread; None for all.
        skip_broken: Whether images that cannot be read, or do not fit their masks, are skipped and
            counted.
        progress: Function to call with (images segmented, of how many), or None.

    Raises:
        InputError: The classes do not match, no pixel has a label, or an image cannot be read.
    """
    examples = masked.masks_for(segmenter.labels, segmenter.num_classes, limit)
    results = _Results(IouMeter(examples.num_classes))
    broken: dict[str, ImageError] = {}
    for done, files in enumerate(examples.pairs, start=1):
        try:
            picture, mask = examples.load(files)
            results.add(files, segmenter.segment(picture), mask)
        except ImageError as error:
            if not skip_broken:
                raise
            broken[str(files.image)] = error
        if progress:
            progress(done, examples.total)
    if broken and not results.images:
        raise next(iter(broken.values()))
    return SegmentationMeasurement(
        scores=results.meter.scores(),
        images=tuple(results.images),
        worst=tuple(results.worst),
        segmenter=segmenter,
        examples=examples,
        skipped=tuple(broken),
    )

"""Sheets of classified photographs: with their top classes, or next to their Grad-CAM maps.

Drawn with Pillow, which the package needs anyway: Matplotlib would be a dependency of the base
install for two kinds of grid.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import PIL.Image as Image
import PIL.ImageDraw as ImageDraw
from PIL import ImageOps

from keras_poolformer.images.drawing import (
    BACKGROUND,
    LIGHT_ORANGE,
    LINE_HEIGHT,
    MARGIN,
    PALE_COLOR,
    SMALL_SIZE,
    TEXT_COLOR,
    TITLE_SIZE,
    Font,
    blank,
    fitted,
    font,
)
from keras_poolformer.images.files import load_image
from keras_poolformer.scores import top_classes

# Lengths are in pixels.
COLUMNS = 5  # photographs in a row
SIDE = 192  # of a photograph: six times those of CIFAR-10
TITLE_HEIGHT = 28  # of a group
BAR_WIDTH = 156  # of a probability of 1, left of the percentage
BAR_HEIGHT = 18
BAR_GAP = 2
SHOWN_CLASSES = 3  # for each photograph
PAIR_COLUMNS = 2  # pairs in a row
PAIR_SIDE = 224  # of each image of a pair
PAIR_GAP = 2
LEGEND_HEIGHT = 2 * LINE_HEIGHT
SCALE_SIZE = (160, 12)  # width and height of the colors in the legend

Pair: TypeAlias = tuple[Image.Image, Image.Image, str]  # two images and their caption


@dataclass(frozen=True, eq=False)
class Group:
    """Photographs below one title.

    Args:
        title: Title of the group.
        photographs: Image files.
        probabilities: Probabilities (N, classes), a row for each photograph.
        is_known: Whether the photographs show classes of the model. Of others the classes are
            drawn in gray, with a question mark.
    """

    title: str
    photographs: Sequence[Path]
    probabilities: np.ndarray
    is_known: bool = True

    @property
    def height(self) -> int:
        """Height of the group on the sheet in pixels."""
        return TITLE_HEIGHT + math.ceil(len(self.photographs) / COLUMNS) * _CELL_HEIGHT


@dataclass(frozen=True)
class Legend:
    """Meaning of the colors of a sheet.

    Args:
        title: First line of the legend.
        low: Text at the left end of the scale.
        high: Text at the right end of the scale.
        scale: Image of the colors, from left to right.
    """

    title: str
    low: str
    high: str
    scale: Image.Image


_CELL_HEIGHT = SIDE + BAR_GAP + SHOWN_CLASSES * (BAR_HEIGHT + BAR_GAP) + MARGIN


def draw_contact_sheet(
    path: str | os.PathLike[str], groups: Sequence[Group], labels: Sequence[str] | None
) -> None:
    """Draws photographs with their top classes, group below group.

    Args:
        path: PNG file to write.
        groups: Photographs and their probabilities.
        labels: Class names, or None.
    """
    width = MARGIN + COLUMNS * (SIDE + MARGIN)
    sheet, draw = blank(width, MARGIN + sum(group.height for group in groups))
    top = MARGIN
    for group in groups:
        draw.text((MARGIN, top), group.title, TEXT_COLOR, font(TITLE_SIZE))
        for index, photograph in enumerate(group.photographs):
            x = MARGIN + (index % COLUMNS) * (SIDE + MARGIN)
            y = top + TITLE_HEIGHT + (index // COLUMNS) * _CELL_HEIGHT
            sheet.paste(_thumbnail(photograph), (x, y))
            classes = top_classes(group.probabilities[index], labels, SHOWN_CLASSES)
            _draw_bars(draw, x, y + SIDE + BAR_GAP, classes, group.is_known)
        top += group.height
    sheet.save(path, optimize=True)


def draw_pairs(
    path: str | os.PathLike[str], pairs: Sequence[Pair], legend: Legend | None = None
) -> None:
    """Draws pairs of images side by side, each with a caption.

    Args:
        path: PNG file to write.
        pairs: Two PIL images and a caption for each pair.
        legend: Legend below the pairs, or None.
    """
    columns = min(PAIR_COLUMNS, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    cell_width = 2 * PAIR_SIDE + PAIR_GAP + MARGIN
    cell_height = PAIR_SIDE + LINE_HEIGHT + MARGIN
    below = LEGEND_HEIGHT if legend else 0
    sheet, draw = blank(MARGIN + columns * cell_width, MARGIN + rows * cell_height + below)
    caption_font = font()
    for index, (*images, caption) in enumerate(pairs):
        x = MARGIN + (index % columns) * cell_width
        y = MARGIN + (index // columns) * cell_height
        for image, left in zip(images, (x, x + PAIR_SIDE + PAIR_GAP), strict=True):
            sheet.paste(ImageOps.pad(image, (PAIR_SIDE, PAIR_SIDE), color=BACKGROUND), (left, y))
        caption = fitted(caption, 2 * PAIR_SIDE, draw, caption_font)
        draw.text((x, y + PAIR_SIDE + 3), caption, TEXT_COLOR, caption_font)
    if legend:
        _draw_legend(sheet, draw, caption_font, legend)
    sheet.save(path)


def _draw_legend(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, text_font: Font, legend: Legend
) -> None:
    """The title, and below it the scale between the texts at its ends."""
    x, y = MARGIN, sheet.height - LEGEND_HEIGHT - MARGIN // 2
    title = fitted(legend.title, sheet.width - 2 * MARGIN, draw, text_font)
    draw.text((x, y), title, TEXT_COLOR, text_font)
    y += LEGEND_HEIGHT // 2
    draw.text((x, y), legend.low, TEXT_COLOR, text_font)
    x += math.ceil(draw.textlength(legend.low, text_font)) + MARGIN // 2
    sheet.paste(legend.scale.resize(SCALE_SIZE), (x, y + 2))
    draw.text((x + SCALE_SIZE[0] + MARGIN // 2, y), legend.high, TEXT_COLOR, text_font)


def _thumbnail(photograph: Path) -> Image.Image:
    image = load_image(photograph)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box)


def _draw_bars(
    draw: ImageDraw.ImageDraw,
    x: int,
    y: int,
    classes: Sequence[tuple[str, float]],
    is_known: bool,
) -> None:
    text_font = font(SMALL_SIZE)
    for index, (label, probability) in enumerate(classes):
        top = y + index * (BAR_HEIGHT + BAR_GAP)
        length = max(1, round(BAR_WIDTH * probability))
        color = LIGHT_ORANGE if is_known and not index else PALE_COLOR
        draw.rectangle((x, top, x + length - 1, top + BAR_HEIGHT - 1), fill=color)
        middle = top + BAR_HEIGHT // 2
        name = fitted(label if is_known else f"{label}?", BAR_WIDTH - 4, draw, text_font)
        draw.text((x + 4, middle), name, TEXT_COLOR, text_font, anchor="lm")
        draw.text((x + SIDE, middle), f"{probability:.0%}", TEXT_COLOR, text_font, anchor="rm")

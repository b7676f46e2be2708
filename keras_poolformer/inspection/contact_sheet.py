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
import PIL.ImageFont as ImageFont
from PIL import ImageOps

from keras_poolformer.images.files import load_image
from keras_poolformer.scores import top_classes

# Lengths are in pixels.
MARGIN = 12
COLUMNS = 8  # photographs in a row
SIDE = 128  # of a photograph
BAR_HEIGHT = 16
BAR_GAP = 2
SHOWN_CLASSES = 3  # for each photograph
PAIR_COLUMNS = 2  # pairs in a row
PAIR_SIDE = 224  # of each image of a pair
PAIR_GAP = 2
CAPTION_HEIGHT = 20
LEGEND_HEIGHT = 40  # two lines of text
SCALE_SIZE = (160, 12)  # width and height of the colors in the legend
BACKGROUND = "#ffffff"
TEXT_COLOR = "#202124"
FIRST_COLOR = "#f4a261"  # bar of the top class
OTHER_COLOR = "#e3e7ec"  # bars of the other classes

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
Pair: TypeAlias = tuple[Image.Image, Image.Image, str]  # two images and their caption


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


def draw_contact_sheet(
    path: str | os.PathLike[str],
    photographs: Sequence[Path],
    probabilities: np.ndarray,
    labels: Sequence[str] | None,
) -> None:
    """Draws photographs with their top classes.

    Args:
        path: PNG file to write.
        photographs: Image files.
        probabilities: Probabilities (N, classes), a row for each photograph.
        labels: Class names, or None.
    """
    rows = math.ceil(len(photographs) / COLUMNS)
    cell_height = SIDE + SHOWN_CLASSES * (BAR_HEIGHT + BAR_GAP) + MARGIN
    width = MARGIN + COLUMNS * (SIDE + MARGIN)
    sheet = Image.new("RGB", (width, MARGIN + rows * (cell_height + MARGIN)), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for index, (photograph, scores) in enumerate(zip(photographs, probabilities, strict=True)):
        x = MARGIN + (index % COLUMNS) * (SIDE + MARGIN)
        y = MARGIN + (index // COLUMNS) * (cell_height + MARGIN)
        sheet.paste(_thumbnail(photograph), (x, y))
        _draw_bars(draw, x, y + SIDE + 4, top_classes(scores, labels, SHOWN_CLASSES))
    sheet.save(path)


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
    cell_height = PAIR_SIDE + CAPTION_HEIGHT + MARGIN
    below = LEGEND_HEIGHT if legend else 0
    size = (MARGIN + columns * cell_width, MARGIN + rows * cell_height + below)
    sheet = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=13)
    for index, (*images, caption) in enumerate(pairs):
        x = MARGIN + (index % columns) * cell_width
        y = MARGIN + (index // columns) * cell_height
        for image, left in zip(images, (x, x + PAIR_SIDE + PAIR_GAP), strict=True):
            sheet.paste(ImageOps.pad(image, (PAIR_SIDE, PAIR_SIDE), color=BACKGROUND), (left, y))
        caption = _fitted(caption, 2 * PAIR_SIDE, draw, font)
        draw.text((x, y + PAIR_SIDE + 3), caption, TEXT_COLOR, font)
    if legend:
        _draw_legend(sheet, draw, font, legend)
    sheet.save(path)


def _draw_legend(sheet: Image.Image, draw: ImageDraw.ImageDraw, font: Font, legend: Legend) -> None:
    """The title, and below it the scale between the texts at its ends."""
    x, y = MARGIN, sheet.height - LEGEND_HEIGHT - MARGIN // 2
    title = _fitted(legend.title, sheet.width - 2 * MARGIN, draw, font)
    draw.text((x, y), title, TEXT_COLOR, font)
    y += LEGEND_HEIGHT // 2
    draw.text((x, y), legend.low, TEXT_COLOR, font)
    x += math.ceil(draw.textlength(legend.low, font)) + MARGIN // 2
    sheet.paste(legend.scale.resize(SCALE_SIZE), (x, y + 2))
    draw.text((x + SCALE_SIZE[0] + MARGIN // 2, y), legend.high, TEXT_COLOR, font)


def _fitted(text: str, width: int, draw: ImageDraw.ImageDraw, font: Font) -> str:
    """As much of a text as fits into `width` pixels."""
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(f"{text}...", font) > width:
        text = text[:-1]
    return f"{text}..."


def _thumbnail(photograph: Path) -> Image.Image:
    image = load_image(photograph)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box)


def _draw_bars(
    draw: ImageDraw.ImageDraw, x: int, y: int, classes: Sequence[tuple[str, float]]
) -> None:
    font = ImageFont.load_default(size=11)
    for index, (label, probability) in enumerate(classes):
        top = y + index * (BAR_HEIGHT + BAR_GAP)
        length = max(1, round(SIDE * probability))
        color = OTHER_COLOR if index else FIRST_COLOR
        draw.rectangle((x, top, x + length - 1, top + BAR_HEIGHT - 1), fill=color)
        draw.text((x + 3, top + 1), label[:14], TEXT_COLOR, font)
        percent = f"{probability:.0%}"
        left = x + SIDE - 3 - draw.textlength(percent, font)
        draw.text((left, top + 1), percent, TEXT_COLOR, font)

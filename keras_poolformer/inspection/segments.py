"""The classes that a segmenter found in a picture: their shares, and a drawing with a legend."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image as Image

from keras_poolformer.images.drawing import GRAY, LINE_HEIGHT, MARGIN, TEXT_COLOR, blank, font
from keras_poolformer.images.overlays import overlay, voc_palette
from keras_poolformer.labels import Color
from keras_poolformer.support.messages import printable

# Lengths are in pixels.
SWATCH = 12
LEAST_WIDTH = 240  # of the drawing, so that a name fits below a small picture
MAX_NAME = 40  # characters


@dataclass(frozen=True)
class Segment:
    """A class that is in a picture.

    Args:
        index: Number of the class.
        label: Name of the class; its number if it has none.
        share: Share of the picture's pixels, more than 0 and up to 1.
    """

    index: int
    label: str
    share: float


def find_segments(label_map: np.ndarray, labels: Sequence[str] = ()) -> list[Segment]:
    """Returns the classes that are in a picture, the largest first.

    Args:
        label_map: Class of each pixel, whole numbers (H, W).
        labels: Class names; () if unknown.
    """
    indices, counts = np.unique(label_map, return_counts=True)
    pairs = sorted(zip((-counts).tolist(), indices.tolist(), strict=True))
    return [
        Segment(
            index, labels[index] if index < len(labels) else str(index), -count / label_map.size
        )
        for count, index in pairs
    ]


def draw_segments(
    picture: Image.Image,
    label_map: np.ndarray,
    segments: Sequence[Segment],
    palette: Sequence[Color] | None = None,
) -> Image.Image:
    """Draws the classes over a picture, half transparent, and a legend below it.

    Args:
        picture: The picture, in mode RGB.
        label_map: Class of each of its pixels (H, W).
        segments: Classes to name in the legend.
        palette: Colors of the classes; by default PASCAL VOC's.

    Returns:
        RGB image: the picture in its own size, at the top left, above the legend.
    """
    colors = voc_palette() if palette is None else palette
    drawn = overlay(picture, label_map, palette)
    width = max(drawn.width, LEAST_WIDTH)
    places = _places([_text(segment) for segment in segments], width)
    bottom = places[-1][1] + LINE_HEIGHT if places else 0
    sheet, draw = blank(width, drawn.height + MARGIN + bottom)
    sheet.paste(drawn, (0, 0))
    for segment, (x, line) in zip(segments, places, strict=True):
        y = drawn.height + MARGIN + line
        color = colors[segment.index] if segment.index < len(colors) else None
        draw.rectangle((x, y, x + SWATCH, y + SWATCH), fill=color, outline=GRAY)
        draw.text((x + SWATCH + MARGIN // 2, y - 2), _text(segment), TEXT_COLOR, font())
    return sheet


def _text(segment: Segment) -> str:
    name = printable(segment.label)
    name = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}..."
    return f"{name} {segment.share:.1%}"


def _places(texts: Sequence[str], width: int) -> list[tuple[int, int]]:
    """(x, y) of each entry of the legend, from left to right in as many lines as they need."""
    _, draw = blank(1, 1)
    places: list[tuple[int, int]] = []
    x, y = MARGIN, 0
    for text in texts:
        length = SWATCH + MARGIN // 2 + int(draw.textlength(text, font())) + 2 * MARGIN
        if x + length > width and x > MARGIN:
            x, y = MARGIN, y + LINE_HEIGHT
        places.append((x, y))
        x += length
    return places

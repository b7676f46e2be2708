"""Draws an image next to its mask and to what a segmenter made of it."""

from collections.abc import Sequence

import numpy as np
import PIL.Image as Image

from keras_poolformer.images.drawing import LINE_HEIGHT, MARGIN, TEXT_COLOR, blank, font
from keras_poolformer.images.overlays import overlay
from keras_poolformer.labels import Color
from keras_poolformer.support.messages import printable

SIDE = 512  # pixels of a panel, at most
PANELS = ("image", "mask", "prediction")


def draw_segmented(
    picture: Image.Image,
    mask: np.ndarray,
    predicted: np.ndarray,
    title: str,
    palette: Sequence[Color] | None = None,
) -> Image.Image:
    """Draws three panels: the image, its mask over it, and the prediction over it.

    Args:
        picture: The image, in mode RGB.
        mask: Label map (H, W) of its mask; pixels of the label 255 stay as they are.
        predicted: Label map (H, W) of the model.
        title: Text above the panels.
        palette: Colors of the classes; by default PASCAL VOC's.
    """
    panels = [picture.copy(), *(overlay(picture, one, palette) for one in (mask, predicted))]
    for panel in panels:
        panel.thumbnail((SIDE, SIDE))
    width, height = panels[0].size
    total = MARGIN + len(panels) * (width + MARGIN)
    sheet, draw = blank(total, 2 * LINE_HEIGHT + height + MARGIN)
    draw.text((MARGIN, 3), printable(title), TEXT_COLOR, font())
    for number, (panel, name) in enumerate(zip(panels, PANELS, strict=True)):
        x = MARGIN + number * (width + MARGIN)
        draw.text((x, LINE_HEIGHT + 3), name, TEXT_COLOR, font())
        sheet.paste(panel, (x, 2 * LINE_HEIGHT))
    return sheet

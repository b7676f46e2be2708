"""Draws an image next to its mask and to what a segmenter made of it."""

from collections.abc import Sequence

import numpy as np
import PIL.Image as Image
import PIL.ImageDraw as ImageDraw
import PIL.ImageFont as ImageFont

from keras_poolformer.images.overlays import overlay
from keras_poolformer.labels import Color
from keras_poolformer.support.messages import printable

# Lengths are in pixels.
SIDE = 512  # of a panel, at most
GAP = 8
LINE = 20
FONT = 12
BACKGROUND = "#ffffff"
TEXT = "#202124"
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
    size = (GAP + len(panels) * (width + GAP), 2 * LINE + height + GAP)
    sheet = Image.new("RGB", size, BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=FONT)
    draw.text((GAP, 3), printable(title), TEXT, font)
    for number, (panel, name) in enumerate(zip(panels, PANELS, strict=True)):
        x = GAP + number * (width + GAP)
        draw.text((x, LINE + 3), name, TEXT, font)
        sheet.paste(panel, (x, 2 * LINE))
    return sheet

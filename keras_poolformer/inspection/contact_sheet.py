"""Pictures of classified photographs: with their likeliest classes, or with what speaks for one."""

import math
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

from keras_poolformer.images.files import load_image
from keras_poolformer.scores import top_classes

COLUMNS, SIDE, MARGIN, BAR, SHOWN = 8, 128, 12, 16, 3
PAIR_COLUMNS, PAIR_SIDE, CAPTION = 2, 224, 20
LEGEND, SCALE_SIZE = 40, (160, 12)  # height of two lines; width and height of the colors
BACKGROUND, TEXT, FIRST, OTHERS = "#ffffff", "#202124", "#f4a261", "#e3e7ec"


@dataclass(frozen=True)
class Legend:
    """What the colors of a picture mean.

    Args:
        title: First line.
        low: Words for the left end of the scale.
        high: Words for its right end.
        scale: Image of the colors, from left to right.
    """

    title: str
    low: str
    high: str
    scale: Image.Image


def draw_contact_sheet(path, photographs, probabilities, labels):
    """Draws photographs with their top classes.

    Args:
        path: the PNG file to write.
        photographs: image files.
        probabilities: (N, classes), one row for each photograph.
        labels: class names, or None.
    """
    rows = math.ceil(len(photographs) / COLUMNS)
    cell_height = SIDE + SHOWN * (BAR + 2) + MARGIN
    width = MARGIN + COLUMNS * (SIDE + MARGIN)
    sheet = Image.new("RGB", (width, MARGIN + rows * (cell_height + MARGIN)), BACKGROUND)
    for place, (photograph, row) in enumerate(zip(photographs, probabilities, strict=True)):
        x = MARGIN + (place % COLUMNS) * (SIDE + MARGIN)
        y = MARGIN + (place // COLUMNS) * (cell_height + MARGIN)
        sheet.paste(_thumbnail(photograph), (x, y))
        _draw_bars(ImageDraw.Draw(sheet), x, y + SIDE + 4, top_classes(row, labels, SHOWN))
    sheet.save(path)


def draw_pairs(path, pairs, legend: Legend | None = None):
    """Draws photographs beside what was made of them.

    Args:
        path: the PNG file to write.
        pairs: [(PIL image, PIL image, caption), ...].
        legend: What to say below them, or None.
    """
    columns = min(PAIR_COLUMNS, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    cell_width, cell_height = 2 * PAIR_SIDE + 2 + MARGIN, PAIR_SIDE + CAPTION + MARGIN
    below = LEGEND if legend else 0
    size = (MARGIN + columns * cell_width, MARGIN + rows * cell_height + below)
    sheet = Image.new("RGB", size, BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for place, (*images, caption) in enumerate(pairs):
        x = MARGIN + (place % columns) * cell_width
        y = MARGIN + (place // columns) * cell_height
        for image, left in zip(images, (x, x + PAIR_SIDE + 2), strict=True):
            sheet.paste(ImageOps.pad(image, (PAIR_SIDE, PAIR_SIDE), color=BACKGROUND), (left, y))
        caption = _fitted(caption, 2 * PAIR_SIDE, draw, font)
        draw.text((x, y + PAIR_SIDE + 3), caption, TEXT, font)
    if legend:
        _draw_legend(sheet, draw, font, legend)
    sheet.save(path)


def _draw_legend(sheet, draw, font, legend):
    """The title, and below it the scale between the words for its ends."""
    x, y = MARGIN, sheet.height - LEGEND - MARGIN // 2
    draw.text((x, y), _fitted(legend.title, sheet.width - 2 * MARGIN, draw, font), TEXT, font)
    y += LEGEND // 2
    draw.text((x, y), legend.low, TEXT, font)
    x += math.ceil(draw.textlength(legend.low, font)) + MARGIN // 2
    sheet.paste(legend.scale.resize(SCALE_SIZE), (x, y + 2))
    draw.text((x + SCALE_SIZE[0] + MARGIN // 2, y), legend.high, TEXT, font)


def _fitted(text, width, draw, font):
    """As much of a text as has room in `width` pixels."""
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(f"{text}...", font) > width:
        text = text[:-1]
    return f"{text}..."


def _thumbnail(photograph):
    image = load_image(photograph)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box)


def _draw_bars(draw, x, y, top):
    font = ImageFont.load_default(size=11)
    for place, (label, probability) in enumerate(top):
        bar_top = y + place * (BAR + 2)
        length = max(1, round(SIDE * probability))
        colour = OTHERS if place else FIRST
        draw.rectangle((x, bar_top, x + length - 1, bar_top + BAR - 1), fill=colour)
        draw.text((x + 3, bar_top + 1), label[:14], TEXT, font)
        percent = f"{probability:.0%}"
        draw.text((x + SIDE - 3 - draw.textlength(percent, font), bar_top + 1), percent, TEXT, font)

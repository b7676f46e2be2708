"""The look of all pictures that the package draws: colors, lengths, and text.

Pictures have an opaque white background and a margin, so that they can be read on a page of any
color. Those of images are drawn with Pillow, which the package needs anyway; only plots need
Matplotlib, which takes the same colors from `plot_style`.
"""

from typing import Any, TypeAlias

import PIL.Image as Image
import PIL.ImageDraw as ImageDraw
import PIL.ImageFont as ImageFont

BACKGROUND = "#ffffff"
TEXT_COLOR = "#202124"
MUTED_COLOR = "#5f6368"  # of text that explains
LINE_COLOR = "#dadce0"  # of outlines and grids
PALE_COLOR = "#e3e7ec"  # of areas behind text
# Apart for color-blind readers, and on white; the first two are what is compared.
BLUE, ORANGE, GRAY = "#0b6e99", "#d1603d", "#8a8f96"
SERIES = (BLUE, ORANGE, "#2a8f5b", "#8e5ea2", "#b8860b", "#5f6368")
LIGHT_ORANGE = "#f4a261"  # behind text

# Lengths are in pixels.
MARGIN = 12
LINE_HEIGHT = 20
FONT_SIZE = 13
TITLE_SIZE = 16
SMALL_SIZE = 11

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


def font(size: int = FONT_SIZE) -> Font:
    """Returns Pillow's own font, which is the same on every machine.

    Args:
        size: Height of the letters in pixels.
    """
    return ImageFont.load_default(size=size)


def fitted(text: str, width: float, draw: ImageDraw.ImageDraw, text_font: Font) -> str:
    """Returns as much of a text as fits, with "..." where it was cut.

    Args:
        text: One line.
        width: Room for it in pixels.
        draw: Drawing that the text is for.
        text_font: Font of the text.
    """
    if draw.textlength(text, text_font) <= width:
        return text
    while text and draw.textlength(f"{text}...", text_font) > width:
        text = text[:-1]
    return f"{text}..."


def blank(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Returns an empty picture, and what draws on it.

    Args:
        width: Width in pixels.
        height: Height in pixels.
    """
    picture = Image.new("RGB", (width, height), BACKGROUND)
    return picture, ImageDraw.Draw(picture)


def plot_style() -> dict[str, Any]:
    """Returns Matplotlib's settings for plots, for `matplotlib.rc_context`."""
    from cycler import cycler

    return {
        "axes.axisbelow": True,
        "axes.edgecolor": MUTED_COLOR,
        "axes.grid": True,
        "axes.labelcolor": TEXT_COLOR,
        "axes.prop_cycle": cycler(color=SERIES),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "figure.constrained_layout.h_pad": 0.1,
        "figure.constrained_layout.w_pad": 0.1,
        "figure.dpi": 150,
        "figure.facecolor": BACKGROUND,
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "grid.color": LINE_COLOR,
        "legend.frameon": False,
        "savefig.dpi": 150,
        "savefig.facecolor": BACKGROUND,
        "text.color": TEXT_COLOR,
        "xtick.color": MUTED_COLOR,
        "ytick.color": MUTED_COLOR,
        "xtick.labelcolor": TEXT_COLOR,
        "ytick.labelcolor": TEXT_COLOR,
    }

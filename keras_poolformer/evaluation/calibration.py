"""Whether a classifier is as sure as it is right: calibration error and reliability diagram."""

from dataclasses import dataclass

import numpy as np
import PIL.Image as Image

from keras_poolformer.evaluation.accuracy import Answers
from keras_poolformer.images.drawing import (
    BLUE,
    LINE_COLOR,
    LINE_HEIGHT,
    MARGIN,
    MUTED_COLOR,
    ORANGE,
    PALE_COLOR,
    SMALL_SIZE,
    TEXT_COLOR,
    TITLE_SIZE,
    blank,
    font,
)

BINS = 15
# Lengths are in pixels.
_SIDE = 450  # of the diagram: 30 for each bin
_COUNTS = 60  # of the row of bars that count images
_LEFT = 60
_TOP = 48
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Bin:
    """The images whose confidence is in one interval.

    Args:
        low: Lower end of the interval, which does not belong to it.
        high: Upper end, which does.
        images: Number of images.
        confidence: Mean confidence, None without images.
        accuracy: Fraction of images that are predicted right, None without images.
    """

    low: float
    high: float
    images: int
    confidence: float | None = None
    accuracy: float | None = None

    @property
    def error(self) -> float:
        """Distance between confidence and accuracy; 0 without images."""
        if self.confidence is None or self.accuracy is None:
            return 0.0
        return abs(self.confidence - self.accuracy)


def calibration_bins(answers: Answers, count: int = BINS) -> list[Bin]:
    """Sorts predictions by their confidence into bins of equal width.

    Args:
        answers: Predictions for all images.
        count: Number of bins between 0 and 1.
    """
    is_right = answers.predicted == answers.classes
    edges = np.linspace(0, 1, count + 1)
    numbers = np.clip(np.searchsorted(edges, answers.confidences) - 1, 0, count - 1)
    bins = []
    for number, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        members = numbers == number
        if not members.any():
            bins.append(Bin(low, high, 0))
            continue
        confidence = float(answers.confidences[members].mean())
        bins.append(Bin(low, high, int(members.sum()), confidence, float(is_right[members].mean())))
    return bins


def calibration_error(bins: list[Bin]) -> float:
    """Returns the expected calibration error (arXiv 1706.04599, section 2), from 0 to 1.

    Args:
        bins: Result of `calibration_bins`.
    """
    return sum(one.images * one.error for one in bins) / sum(one.images for one in bins)


def draw_reliability(bins: list[Bin]) -> Image.Image:
    """Draws accuracy against confidence, and below it the number of images of each bin.

    Args:
        bins: Result of `calibration_bins`.
    """
    bottom = _TOP + _SIDE
    picture, draw = blank(
        _LEFT + _SIDE + 2 * MARGIN, bottom + _COUNTS + 3 * LINE_HEIGHT + 2 * MARGIN
    )
    title = f"Reliability: expected calibration error {calibration_error(bins):.1%}"
    draw.text((MARGIN, MARGIN), title, TEXT_COLOR, font(TITLE_SIZE))
    floor = bottom + LINE_HEIGHT + _COUNTS
    most = max(one.images for one in bins)
    for tick in _TICKS:
        x, y = _LEFT + round(_SIDE * tick), bottom - round(_SIDE * tick)
        draw.line((_LEFT, y, _LEFT + _SIDE, y), LINE_COLOR)
        draw.text((_LEFT - 6, y), f"{tick:.0%}", TEXT_COLOR, font(SMALL_SIZE), anchor="rm")
        draw.text((x, floor + 4), f"{tick:.0%}", TEXT_COLOR, font(SMALL_SIZE), anchor="mt")
    for one in bins:
        left, right = (_LEFT + round(_SIDE * end) for end in (one.low, one.high))
        if one.accuracy is not None and one.confidence is not None:
            accuracy, confidence = (
                bottom - round(_SIDE * share) for share in (one.accuracy, one.confidence)
            )
            draw.rectangle((left + 1, accuracy, right - 1, bottom), fill=BLUE)
            draw.line((left + 1, confidence, right - 1, confidence), ORANGE, 3)
        height = round(_COUNTS * one.images / most)
        draw.rectangle((left + 1, floor - height, right - 1, floor), fill=PALE_COLOR)
    draw.line((_LEFT, bottom, _LEFT + _SIDE, _TOP), MUTED_COLOR)
    draw.line((_LEFT, floor, _LEFT + _SIDE, floor), MUTED_COLOR)
    legend = "bars: accuracy; lines: mean confidence; diagonal: calibrated; below: images"
    y = floor + LINE_HEIGHT
    draw.text((_LEFT + _SIDE // 2, y), "confidence", TEXT_COLOR, font(), anchor="mt")
    draw.text((MARGIN, y + LINE_HEIGHT), legend, MUTED_COLOR, font(), anchor="lt")
    return picture

"""How `prepare` makes images smaller: plain data, which `dataset.json` holds."""

import numbers
from dataclasses import dataclass

from keras_poolformer.support.errors import InputError

DEFAULT_QUALITY = 90


@dataclass(frozen=True, kw_only=True)
class Resized:
    """How images are made smaller; none is enlarged.

    Args:
        max_side: Longest side in pixels, or None.
        short_side: Length of the shorter side in pixels, or None.
        quality: Quality of the JPEGs that are written, 1 to 100.

    Raises:
        InputError: Not exactly one side is given, or a number is out of range.
    """

    max_side: int | None = None
    short_side: int | None = None
    quality: int = DEFAULT_QUALITY

    def __post_init__(self) -> None:
        if (self.max_side is None) == (self.short_side is None):
            raise InputError(
                "one of `max_side` and `short_side` must be given to resize images. Received: "
                f"max_side={self.max_side!r}, short_side={self.short_side!r}"
            )
        for name in ("max_side", "short_side"):
            side = getattr(self, name)
            if side is not None and not _is_whole(side, 1, 65535):
                raise InputError(
                    f"`{name}` must be a whole number of pixels, 1 to 65,535. Received: {side!r}"
                )
        if not _is_whole(self.quality, 1, 100):
            raise InputError(f"`quality` must be 1 to 100. Received: {self.quality!r}")

    def __str__(self) -> str:
        side = f"a shorter side of {self.short_side}"
        if self.short_side is None:
            side = f"a longer side of {self.max_side}"
        return f"{side} pixels, JPEG quality {self.quality}"

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """Returns (width, height) of the result; the same where an image is small enough."""
        if self.short_side is not None:
            scale = self.short_side / min(width, height)
        else:
            assert self.max_side is not None
            scale = self.max_side / max(width, height)
        if scale >= 1:
            return width, height
        return max(1, round(width * scale)), max(1, round(height * scale))


def _is_whole(value: object, least: int, most: int) -> bool:
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return is_whole and least <= value <= most

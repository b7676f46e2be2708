"""Sizes and positions of an evaluation transform: how far to resize, and where to crop."""


def resized_size(target: int | tuple[int, int] | None, width: int, height: int) -> tuple[int, int]:
    """Returns (width, height) after resizing.

    Args:
        target: Length of the shorter side, (height, width) of the result, or None for no resizing.
        width: Width before resizing.
        height: Height before resizing.
    """
    if target is None:
        return width, height
    if isinstance(target, tuple):
        return target[1], target[0]
    longer = int(target * max(width, height) / min(width, height))
    return (target, longer) if width <= height else (longer, target)


def crop_start(crop_mode: str, length: int, cropped: int) -> int:
    """Returns the first row or column of a crop; negative where zeros precede the image.

    Args:
        crop_mode: "timm" rounds half a margin to the even number, "hf" rounds it down.
        length: Length of the resized image.
        cropped: Length of the crop.
    """
    margin = length - cropped
    if crop_mode == "hf":
        return margin // 2
    return round(margin / 2) if margin >= 0 else -(-margin // 2)


def crop_box(
    crop_mode: str, height: int, width: int, crop: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Returns (left, top, right, bottom) of the center crop, as Pillow expects it.

    Args:
        crop_mode: "timm" or "hf".
        height: Height of the resized image.
        width: Width of the resized image.
        crop: (height, width) of the crop.
    """
    top = crop_start(crop_mode, height, crop[0])
    left = crop_start(crop_mode, width, crop[1])
    return left, top, left + crop[1], top + crop[0]

import numpy as np
from PIL import Image, ImageColor

from keras_poolformer.images.drawing import LIGHT_ORANGE, LINE_HEIGHT, MARGIN, PALE_COLOR
from keras_poolformer.inspection import contact_sheet
from keras_poolformer.inspection.contact_sheet import (
    BAR_GAP,
    PAIR_SIDE,
    SIDE,
    TITLE_HEIGHT,
    Group,
)


def test_bars_are_as_long_as_the_probabilities(tmp_path, photographs):
    """In orange where the model knows the classes, in gray elsewhere."""
    probabilities = np.array([[0.25, 0.75, 0.0], [0.25, 0.75, 0.0], [1.0, 0.0, 0.0]])
    path = tmp_path / "sheet.png"
    groups = [
        Group("known", photographs[:3], probabilities),
        Group("unknown", photographs[:3], probabilities, is_known=False),
    ]
    contact_sheet.draw_contact_sheet(path, groups, ("a", "b", "c"))
    pixels = np.asarray(Image.open(path).convert("RGB"))
    for top, color in ((MARGIN, LIGHT_ORANGE), (MARGIN + groups[0].height, PALE_COLOR)):
        # A bar's uppermost line has no text.
        row = pixels[top + TITLE_HEIGHT + SIDE + BAR_GAP]
        lengths = [
            (row[x : x + SIDE] == ImageColor.getrgb(color)).all(-1).sum()
            for x in MARGIN + np.arange(3) * (SIDE + MARGIN)
        ]
        assert lengths == [117, 117, 156]


def test_pairs_lie_side_by_side(tmp_path, rgb_photographs):
    colors = ["red", "lime", "blue"]
    pairs = [
        (photo, Image.new("RGB", (30, 60), color), "a caption " * 30)
        for photo, color in zip(rgb_photographs, colors, strict=True)
    ]
    contact_sheet.draw_pairs(tmp_path / "sheet.png", pairs)
    with Image.open(tmp_path / "sheet.png") as file:
        sheet = file.convert("RGB")
    step = (
        2 * PAIR_SIDE + 2 + MARGIN,
        PAIR_SIDE + LINE_HEIGHT + MARGIN,
    )
    for place, (photo, other, _) in enumerate(pairs):
        x = MARGIN + place % 2 * step[0]
        y = MARGIN + place // 2 * step[1]
        middle = sheet.getpixel((x + PAIR_SIDE + 2 + PAIR_SIDE // 2, y + PAIR_SIDE // 2))
        assert middle == other.getpixel((0, 0))
        assert sheet.getpixel((x + PAIR_SIDE + 3, y)) == (255, 255, 255)  # it is narrower than high
        thumbnail = sheet.crop((x, y, x + PAIR_SIDE, y + PAIR_SIDE))
        if photo.width == photo.height:
            expected = np.asarray(photo.resize((PAIR_SIDE, PAIR_SIDE), Image.Resampling.BICUBIC))
            assert np.array_equal(np.asarray(thumbnail), expected)
    # A caption ends where its pair does.
    gap = np.asarray(sheet)[:, step[0] : step[0] + MARGIN]
    assert (gap == 255).all()

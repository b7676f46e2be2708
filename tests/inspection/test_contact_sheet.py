import numpy as np
from PIL import Image

from keras_poolformer.inspection import contact_sheet
from keras_poolformer.inspection.contact_sheet import CAPTION_HEIGHT, MARGIN, PAIR_SIDE


def test_bars_are_as_long_as_the_probabilities(tmp_path, photographs):
    probabilities = np.array([[0.25, 0.75, 0.0]] * 2 + [[1.0, 0.0, 0.0]])
    path = tmp_path / "sheet.png"
    contact_sheet.draw_contact_sheet(path, photographs[:3], probabilities, ("a", "b", "c"))
    pixels = np.asarray(Image.open(path).convert("RGB"))
    first = np.array([0xF4, 0xA2, 0x61])
    row = contact_sheet.MARGIN + contact_sheet.SIDE + 4  # a bar's uppermost line has no text
    lengths = [
        (pixels[row, x : x + contact_sheet.SIDE] == first).all(-1).sum()
        for x in contact_sheet.MARGIN + np.arange(3) * (contact_sheet.SIDE + contact_sheet.MARGIN)
    ]
    assert lengths == [96, 96, 128]


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
        PAIR_SIDE + CAPTION_HEIGHT + MARGIN,
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

import numpy as np
from PIL import Image

from keras_poolformer import contact_sheet


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

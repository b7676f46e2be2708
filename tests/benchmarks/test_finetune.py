"""The data sets and the table of the fine-tuning benchmark."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import finetune
from keras_poolformer.support.errors import InputError


def test_the_two_splits_share_no_image(tmp_path, monkeypatch):
    monkeypatch.setattr(finetune, "IMAGES", 3)
    pictures = [Image.new("L", (4, 4), number) for number in range(12)]
    labels = np.array([0, 1] * 6)
    folder = finetune._write(pictures, labels, ("even", "odd"), tmp_path / "set")
    for remainder, name in enumerate(("even", "odd")):
        numbers = {
            split: {int(path.stem) for path in (folder / split / name).iterdir()}
            for split in ("train", "val")
        }
        assert numbers["train"] | numbers["val"] == set(range(remainder, 12, 2))
        assert not numbers["train"] & numbers["val"]
    with pytest.raises(InputError, match=r"even must have 6 images\. Received: 5"):
        finetune._write(pictures, labels[:10], ("even", "odd"), tmp_path / "fewer")


def test_the_table_has_means():
    row = {"preset": "tiny", "data": "shoes", "mode": "whole network", "top1": [50.0, 55.0]}
    text = finetune.table({"seeds": [0, 1], "results": [row]})
    assert "| `tiny` | shoes | whole network | 52.5 % | 50.0, 55.0 |" in text

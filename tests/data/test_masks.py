"""Folders of images and masks: what is read, and the one line for what is not."""

import numpy as np
import pytest
from PIL import Image

from keras_poolformer import sample_micrograph
from keras_poolformer.data.masks import MaskedImage, find_masked_images, has_masks
from tests.helpers import error_line

LABELS = np.array([[0, 1, 2], [255, 2, 0]], np.uint8)


def write(path, array, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if mode == "P":
        image.putpalette([number // 3 for number in range(768)])
    image.save(path)


@pytest.fixture
def root(tmp_path):
    """Two images in a folder of their own, with masks as index and as palette PNGs."""
    for name, mode in (("a", None), ("b", "P")):
        write(tmp_path / "images" / "train" / f"{name}.jpg", np.zeros((2, 3, 3), np.uint8))
        write(tmp_path / "masks" / "train" / f"{name}.png", LABELS, mode)
    return tmp_path


def test_pairs_are_found_by_name(root):
    assert has_masks(root) and not has_masks(root / "images")
    for pairs in (find_masked_images(root), find_masked_images(root, "train")):
        assert [pair.image.name for pair in pairs] == ["a.jpg", "b.jpg"]
        for pair in pairs:
            image, mask = pair.load(num_classes=3, reduce_zero_label=False)
            assert (image.mode, image.size, mask.dtype) == ("RGB", (3, 2), np.uint8)
            assert np.array_equal(mask, LABELS)


def test_annotations_of_ade20k_count_from_1(root):
    (root / "masks").rename(root / "annotations")
    (pair, _) = find_masked_images(root)
    _, mask = pair.load(num_classes=2, reduce_zero_label=True)
    assert mask.tolist() == [[255, 0, 1], [255, 1, 255]]  # mmsegmentation's reduce_zero_label


def test_black_and_white_and_16_bits(root):
    path = root / "masks" / "train" / "a.png"
    (pair, _) = find_masked_images(root)
    write(path, LABELS == 1)
    assert pair.load(2, False)[1].tolist() == [[0, 1, 0], [0, 0, 0]]
    write(path, np.array([[0, 299, 255], [1, 2, 3]], np.uint16))
    mask = pair.load(300, False)[1]
    assert (mask.dtype, mask.max()) == (np.uint16, 299)


def test_what_does_not_fit_is_named(root):
    (pair, _) = find_masked_images(root)
    path = root / "masks" / "train" / "a.png"
    line = error_line(pair.load, 2, False)
    assert f"'{path}': labels must be 0 to 1, or 255 for no class. Received: 2" in line
    assert "set reduce_zero_label" in line
    assert "labels must be 1 to 1" in error_line(pair.load, 1, True)
    write(path, np.zeros((3, 2), np.uint8))
    assert "size of its image, 3 x 2. Received: 2 x 3" in error_line(pair.load, 3, False)
    write(path, np.zeros((2, 3, 3), np.uint8))
    assert "grayscale or have a palette" in error_line(pair.load, 3, False)
    path.write_bytes(b"no image")
    assert "a.png" in error_line(pair.load, 3, False)


def test_missing_and_double_masks_are_named(root):
    write(root / "masks" / "train" / "a.bmp", LABELS)
    line = error_line(find_masked_images, root)
    assert "a.jpg must have one mask" in line and "a.bmp" in line and "a.png" in line
    for path in (root / "masks" / "train").glob("a.*"):
        path.unlink()
    line = error_line(find_masked_images, root)
    assert line.endswith(f"{root}/masks/train/a.png. Received: no such file")


def test_folders_and_splits_are_named(root):
    assert "folders images and masks or annotations" in error_line(
        find_masked_images, root / "images"
    )
    assert "Did you mean 'train'?" in error_line(find_masked_images, root, "trian")


def test_nuclei_of_the_shipped_micrograph_are_bright():
    image, mask = MaskedImage(*sample_micrograph()).load(2, reduce_zero_label=False)
    brightness = np.asarray(image.convert("L")).astype(float)
    assert set(np.unique(mask)) == {0, 1}
    assert brightness[mask == 1].mean() > 2 * brightness[mask == 0].mean()

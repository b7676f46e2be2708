"""What the readers of the documents are assumed to have, made from the tiny preset."""

import shutil
import socket

import pytest
from PIL import Image

from keras_poolformer.shipped import ASSETS, sample_micrograph
from tests.helpers import PRESET

PHOTOS = ASSETS / "photos"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Whatever asks for an address fails at once, and no library tries again."""

    def getaddrinfo(host, *_, **__):
        raise NotImplementedError(f"{host} is asked for: say `not run here: needs the network`")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def reader_files(tmp_path, monkeypatch):
    """reader_files(names): makes those of the names that readers have; works in their folder."""

    def reader_files(names):
        for name in names:
            if name in GIVEN:
                GIVEN[name](tmp_path / name)
        return tmp_path

    monkeypatch.chdir(tmp_path)
    return reader_files


def _photo(path):
    shutil.copy(PHOTOS / "chelsea.jpg", path)


def _photos(path):
    """A few photographs of something."""
    path.mkdir()
    for name in ("coffee.jpg", "rocket.jpg"):
        shutil.copy(PHOTOS / name, path)


def _class_folders(path, copies=1):
    """path/LABEL/image, labelled as the tiny preset labels them."""
    for photo in PHOTOS.glob("cifar10_test_*_*.png"):
        folder = path / photo.stem.rpartition("_")[2]
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(copies):
            shutil.copy(photo, folder / f"{photo.stem}_{number}.png")


def _splits(path):
    """path/train and path/test: enough to train on for one batch of 64."""
    _class_folders(path / "train", copies=3)
    _class_folders(path / "test")


def _pytorch(path):
    """A small network of one's own, as the authors' code saves a checkpoint."""
    import torch
    from safetensors.torch import load_file

    from keras_poolformer import PoolFormerConfig, PoolFormerImageClassifier, save_torch_weights

    config = PoolFormerConfig(depths=(1, 1, 1, 1), widths=(8, 8, 16, 16), num_classes=3)
    weights = path.with_name("weights.safetensors")
    save_torch_weights(PoolFormerImageClassifier(config), weights)
    torch.save({"state_dict": load_file(weights)}, path)
    weights.unlink()


def _keras(path):
    from keras_poolformer import PoolFormerImageClassifier

    PoolFormerImageClassifier.from_preset(PRESET).save(path)


def _segmenter(path):
    """A small segmenter, as mmsegmentation saves a checkpoint."""
    from tests.segmenters import LABELS, PALETTE, randomized_segmenter, save_checkpoint

    save_checkpoint(randomized_segmenter(), path, CLASSES=LABELS, PALETTE=PALETTE)


def _masks(path):
    """Photographs with masks of the classes that the small segmenter has."""
    from tests.segmenters import LABELS

    for folder in ("images", "masks"):
        (path / folder).mkdir(parents=True)
    for name in ("coffee", "rocket"):
        shutil.copy(PHOTOS / f"{name}.jpg", path / "images")
        with Image.open(PHOTOS / f"{name}.jpg") as photo:
            mask = Image.linear_gradient("L").point(lambda value: value // 64).resize(photo.size)
        mask.save(path / "masks" / f"{name}.png")
    (path / "labels.txt").write_text(
        "".join(f"{label}\n" for label in LABELS), encoding="utf-8", newline="\n"
    )


def _scenes(path):
    """Drawn scenes with masks of three classes, in splits: enough for one batch of 8."""
    from tests.segmenters import draw_shapes_folder

    draw_shapes_folder(path, train=8, val=2)


def _micrograph(path):
    shutil.copy(sample_micrograph()[0], path)


def _labels(path):
    """As many class names as the tiny preset has classes."""
    path.write_text(
        "".join(f"kind {number}\n" for number in range(10)), encoding="utf-8", newline="\n"
    )


# By the names that the documents have for them.
GIVEN = {
    "photo.jpg": _photo,
    "holiday": _photos,
    "photos": _splits,
    "DIR": _class_folders,
    "FOLDER": _photos,
    "my.pth.tar": _pytorch,
    "my.keras": _keras,
    "labels.txt": _labels,
    "segmenter.pth": _segmenter,
    "MASKS": _masks,
    "scenes": _scenes,
    "micrograph.png": _micrograph,
}

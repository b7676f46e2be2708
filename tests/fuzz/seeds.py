"""Small valid files of every kind that a reader meets, to be damaged."""

import argparse
import functools
import io
import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from keras_poolformer import PoolFormerConfig
from keras_poolformer.shipped import ASSETS
from tests.helpers import ROOT

CONFIG = PoolFormerConfig(
    depths=(1, 1, 1, 1), widths=(8, 8, 16, 16), num_classes=3, labels=("a", "b", "c")
)
TIMM_CONFIG = {
    "architecture": "poolformer_s12",
    "num_classes": 3,
    "label_names": ["a", "b", "c"],
    "model_args": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16], "drop_path_rate": 0.1},
    "pretrained_cfg": {"input_size": [3, 64, 64], "crop_pct": 0.9, "mean": [0.5, 0.5, 0.5],
                       "std": [0.5, 0.5, 0.5], "interpolation": "bicubic"},
}  # fmt: skip
FORMATS = {
    "AVIF": "avif", "BMP": "bmp", "DDS": "dds", "GIF": "gif", "ICO": "ico",
    "JPEG": "jpg", "JPEG2000": "jp2", "PCX": "pcx", "PNG": "png", "PPM": "ppm", "SGI": "sgi",
    "TGA": "tga", "TIFF": "tiff", "WEBP": "webp",
}  # fmt: skip


@functools.cache
def folder() -> Path:
    """A temporary folder for the seeds of this process."""
    _keep.append(tempfile.TemporaryDirectory(prefix="fuzz_"))
    return Path(_keep[0].name)


_keep: list = []


@functools.cache
def model(head: str = "norm_pool"):
    """A tiny classifier with fresh weights."""
    from keras_poolformer import PoolFormerImageClassifier

    return PoolFormerImageClassifier(CONFIG.replace(head=head))


@functools.cache
def exported_model():
    """A classifier of two stages: all operators of four, and exported in half the time."""
    from keras_poolformer import PoolFormerImageClassifier

    return PoolFormerImageClassifier(CONFIG.replace(depths=(1, 1), widths=(8, 16)))


@functools.cache
def hub_directory(layout: str) -> Path:
    """A directory as timm or transformers writes it."""
    from keras_poolformer import save_torch_weights

    path = folder() / layout
    if not path.exists():
        save_torch_weights(model("pool_norm" if layout == "timm" else "norm_pool"), path, layout)
    if layout == "timm":  # which has no name for a network of this size
        (path / "config.json").write_bytes(document(TIMM_CONFIG))
    return path


@functools.cache
def safetensors() -> bytes:
    """The weights with transformers' names."""
    return (hub_directory("hf") / "model.safetensors").read_bytes()


@functools.cache
def torch_files(legacy: bool) -> list[bytes]:
    """Checkpoints as torch.save writes them: weights alone, and a training script's."""
    import torch
    from safetensors.numpy import load

    weights = {name: torch.from_numpy(value) for name, value in load(safetensors()).items()}
    trained = {
        "state_dict": weights,
        "epoch": 3,
        "arch": "poolformer",
        "args": argparse.Namespace(lr=1e-3, data="x"),
        "metric": np.float64(76.5),
        "half": {"a": torch.zeros(3, dtype=torch.float16), "size": torch.Size([1, 2])},
    }
    return [_saved(torch, content, legacy) for content in (weights, trained)]


def _saved(torch, content, legacy):
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


@functools.cache
def keras_file() -> bytes:
    """The model as a .keras file."""
    path = folder() / "seed.keras"
    model().save(path)
    return path.read_bytes()


@functools.cache
def preset_folder() -> Path:
    """The model as `save_to_preset` writes it."""
    path = folder() / "preset"
    model().save_to_preset(path)
    return path


def kerashub_folder() -> Path:
    """A classifier as KerasHub wrote it."""
    return ROOT / "tests" / "earlier_files" / "keras_hub_0_32_0" / "classifier"


@functools.cache
def kerashub_shards() -> Path:
    """A backbone as KerasHub writes it, with its weights in several files."""
    from keras_poolformer import ImageTransform, PoolFormerBackbone

    path = folder() / "kerashub_shards"
    backbone = PoolFormerBackbone(CONFIG.replace(num_classes=0, labels=None))
    backbone.save_to_preset(path, ImageTransform(size=32), max_shard_size=2e-5)
    return path


@functools.cache
def tflite_files() -> list[bytes]:
    """Exports in floats and in integers, with descriptions."""
    from keras_poolformer import ImageTransform, export_tflite

    transform, files = ImageTransform(size=32, crop_pct=1.0), []
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    for recipe in ("fp32", "int8"):
        path = folder() / f"{recipe}.tflite"
        calibration = images if recipe == "int8" else None
        export_tflite(exported_model(), path, recipe, transform=transform, calibration=calibration)
        files.append(path.read_bytes())
    return files


@functools.cache
def saved_model() -> Path:
    """The exported model as a SavedModel."""
    from keras_poolformer import export_saved_model

    path = folder() / "saved_model"
    export_saved_model(exported_model(), path)
    return path


@functools.cache
def images() -> list[bytes]:
    """One photograph in every format that Pillow writes, with orientation where it can be."""
    photograph = Image.open(sorted((ASSETS / "photos").glob("*.jpg"))[0]).resize((48, 32))
    exif = Image.Exif()
    exif[0x112] = 6
    files = []
    for kind in FORMATS:
        file = io.BytesIO()
        options = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {}
        photograph.save(file, kind, **options)
        files.append(file.getvalue())
    for mode in ("L", "LA", "P", "1", "I;16", "RGBA"):
        file = io.BytesIO()
        grey = Image.fromarray(np.asarray(photograph.convert("L"), np.uint16) * 257)
        (grey if mode == "I;16" else photograph.convert(mode)).save(file, "PNG")
        files.append(file.getvalue())
    return files


@functools.cache
def records() -> Path:
    """A small data set as `prepare` writes it."""
    from keras_poolformer.data.splits.opening import open_splits
    from keras_poolformer.data.splits.record_writer import write_records

    root, photograph = folder() / "photos", images()[list(FORMATS).index("JPEG")]
    for split in ("train", "val"):
        for label in ("cat", "dog"):
            (root / split / label).mkdir(parents=True)
            for number in range(3):
                (root / split / label / f"{number}.jpg").write_bytes(photograph)
    path = folder() / "records"
    write_records(open_splits(root), path)
    return path


def document(value: object) -> bytes:
    """A value as JSON."""
    return json.dumps(value).encode()

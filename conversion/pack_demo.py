"""Packs a trained demo network into the assets that the package ships.

    python -m conversion pack-demo run/model.keras --preset convformer_tiny_cifar10 \\
        --data package/cifar-10-batches-bin22

The weights are written in half precision, with the names of a PyTorch library. Its own class then
classifies all test images with them; beside the weights go its logits on the first images, and
those images as PNG files.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from conversion import cifar10
from conversion.checkpoints import read_checkpoint
from conversion.oracles import build_oracle
from conversion.packing import WEIGHTS, initialization, write_card, write_json
from keras_poolformer import MetaFormerImageClassifier, save_torch_weights
from keras_poolformer.training import get_recipe

LAYOUTS = {"convformer_tiny_cifar10": "timm", "poolformer_tiny_cifar10": "sail"}  # of the presets
SHIPPED_IMAGES = 24  # of CIFAR-10's test images
BATCH = 250  # images


def pack(
    source: str,
    preset: str,
    data: str | Path,
    assets: str | Path,
    advance: Callable[[int, int], object] | None = None,
) -> str:
    """Writes the folder of a preset, and photos/cifar10_test_*.png.

    Args:
        source: Path of the trained network.
        preset: Name of the preset, which is also that of its recipe.
        data: Folder with CIFAR-10's binary files.
        assets: Folder to write into.
        advance: Function called with (images classified, images in total), or None.

    Returns:
        What was written, in one line.
    """
    trained = MetaFormerImageClassifier.from_preset(source)
    images, labels = cifar10.load_split(data, "test")
    folder, photos = Path(assets) / preset, Path(assets) / "photos"
    for path in (folder, photos):
        path.mkdir(parents=True, exist_ok=True)
    weights = folder / WEIGHTS
    save_torch_weights(trained, weights, layout=LAYOUTS[preset], dtype="float16", overwrite=True)
    logits = _logits(weights, preset, images, advance)
    shipped = {}
    for number in range(SHIPPED_IMAGES):
        name = f"cifar10_test_{number:02d}_{cifar10.LABELS[labels[number]]}.png"
        Image.fromarray(images[number]).save(photos / name, optimize=True)
        shipped[name] = logits[number].tolist()
    write_json(folder / "torch_logits.json", shipped, indent=1)
    card = {
        "parameters": trained.count_params(),
        "config": initialization(get_recipe(preset).config),
        "top1": round(100 * float((logits.argmax(1) == labels).mean()), 2),
    }
    return write_card(folder, card)


def _logits(
    weights: Path,
    preset: str,
    images: np.ndarray,
    advance: Callable[[int, int], object] | None,
) -> np.ndarray:
    """The logits (N, 10) that the PyTorch class gives uint8 images (N, 32, 32, 3)."""
    contents, named = read_checkpoint(str(weights))
    oracle = build_oracle(contents.config, named.layout.name)
    oracle.load(named.tensors)
    transform = get_recipe(preset).transform
    logits = []
    for start in range(0, len(images), BATCH):
        batch = transform([Image.fromarray(image) for image in images[start : start + BATCH]])
        logits.append(oracle.run(batch)["logits"])
        if advance:
            advance(start + len(batch), len(images))
    return np.concatenate(logits)

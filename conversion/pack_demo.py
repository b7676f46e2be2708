"""Packs what `train-demo` left behind into the assets that the package ships.

The half-precision weights get the authors' (sail-sg) tensor names; beside them go the
PyTorch class's own logits on the first test images, and those images as PNG files.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from conversion import cifar10
from conversion.oracles import sail_name
from conversion.train_demo import ARCHITECTURE

SHIPPED_IMAGES = 24  # of CIFAR-10's test images


def pack(data: str | Path, workdir: str | Path, assets: str | Path) -> None:
    """Writes poolformer_tiny_cifar10/ and photos/cifar10_test_*.png.

    Args:
        data: Folder with CIFAR-10's binary files.
        workdir: Folder that `train_demo.train` wrote.
        assets: Folder to write into.
    """
    workdir = Path(workdir)
    folder = Path(assets) / "poolformer_tiny_cifar10"
    photos = Path(assets) / "photos"
    folder.mkdir(parents=True, exist_ok=True)
    photos.mkdir(parents=True, exist_ok=True)

    half = torch.load(workdir / "half.pt", weights_only=True)
    tensors = {sail_name(name): tensor.contiguous() for name, tensor in half.items()}
    weights = folder / "model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})

    images, labels = cifar10.load_split(data, "test")
    names = [f"cifar10_test_{i:02d}_{cifar10.LABELS[labels[i]]}.png" for i in range(SHIPPED_IMAGES)]
    for name, image in zip(names, images, strict=False):
        Image.fromarray(image).save(photos / name, optimize=True)
    logits = np.load(workdir / "test_logits.npy")[:SHIPPED_IMAGES]
    reference = dict(zip(names, logits.tolist(), strict=True))
    (folder / "torch_logits.json").write_text(
        json.dumps(reference, indent=1) + "\n", encoding="utf-8", newline="\n"
    )

    results = json.loads((workdir / "results.json").read_text(encoding="utf-8"))
    card = {
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "layer_scale_init": ARCHITECTURE["layer_scale_init_value"],
        "epochs": results["epochs"],
        "held_out_top1": round(100 * results["held_out_top1"], 2),
        "top1": round(100 * results["test_top1"], 2),
    }
    (folder / "preset.json").write_text(
        json.dumps(card, indent=2) + "\n", encoding="utf-8", newline="\n"
    )
    print(f"{weights}: {weights.stat().st_size / 1e6:.2f} MB, {card}")

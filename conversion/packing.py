"""What is written beside the weights of a preset inside the package."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_poolformer.config import MetaFormerConfig

WEIGHTS, CARD = "model.safetensors", "preset.json"


def initialization(config: MetaFormerConfig) -> dict[str, Any]:
    """Returns the fields of a config that its trained weights do not show."""
    return {name: getattr(config, name) for name in ("layer_scale_init", "initializer_range")}


def write_card(folder: Path, card: Mapping[str, Any]) -> str:
    """Writes preset.json, which has the checksum of the weights too; returns a line on both.

    Args:
        folder: Folder of the preset, with its weights.
        card: What else `sources.presets` and the documents say about it.
    """
    weights = folder / WEIGHTS
    card = {"sha256": hashlib.sha256(weights.read_bytes()).hexdigest(), **card}
    write_json(folder / CARD, card)
    return f"{weights}: {weights.stat().st_size / 1e6:.2f} MB, {card}"


def write_json(path: Path, content: Mapping[str, Any], indent: int = 2) -> None:
    """Writes a JSON object for people to read."""
    path.write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8", newline="\n")

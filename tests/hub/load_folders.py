"""Loads folders in a fresh process: `python -m tests.hub.load_folders FOLDER`.

Of each network in FOLDER, writes what it gives for `images()` to NAME.npz.
"""

import sys
from pathlib import Path

import numpy as np

import keras_poolformer.hub  # noqa: F401 - registers the classes
from tests.hub.networks import LOADERS, images, outputs


def main(folder):
    """Loads what is there."""
    for name, loader in LOADERS.items():
        if (folder / name).is_dir():
            model = loader.from_preset(str(folder / name))
            np.savez(folder / f"{name}.npz", **outputs(model, images()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

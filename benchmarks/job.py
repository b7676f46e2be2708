"""What all processes of one comparison share: network, weights, images, folder."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_poolformer.config import PoolFormerConfig
from keras_poolformer.data.folders import spread
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.shipped import ASSETS

CHECKED_IMAGES = 8
TIMM_EPSILON = 1e-6  # of the norm in an MLP head; the authors' is 1e-5
PHOTOGRAPHS = sorted((ASSETS / "photos").iterdir())


@dataclass(frozen=True)
class Job:
    """One comparison; everything it makes is in its folder.

    Args:
        config: Architecture of the network, with timm's head: pool_norm, and its epsilon.
        size: Side of the images in pixels.
        folder: Absolute path of the folder.
    """

    config: PoolFormerConfig
    size: int
    folder: Path

    def write(self):
        """Writes the job where `read` finds it."""
        document = {"config": self.config.to_dict(), "size": self.size}
        self._document(self.folder).write_text(json.dumps(document), encoding="utf-8", newline="\n")

    @classmethod
    def read(cls, folder):
        """Reads the job of a folder."""
        document = json.loads(cls._document(folder).read_text(encoding="utf-8"))
        return cls(PoolFormerConfig(**document["config"]), document["size"], Path(folder))

    @staticmethod
    def _document(folder):
        return Path(folder) / "job.json"

    @property
    def weights(self):
        """The checkpoint that every contestant loads, in the job's layout."""
        return self.folder / "weights.safetensors"

    @property
    def layout(self):
        """timm's; for random mixing, which timm does not have, that of sail-sg/metaformer."""
        return "metaformer" if "random" in self.config.token_mixers else "timm"

    @property
    def expected(self):
        """Where the Keras model's logits on the checked images are kept."""
        return self.folder / "expected.npy"

    @property
    def transform(self):
        """How photographs become images of this size."""
        return ImageTransform(size=self.size, crop_pct=1.0)

    def images(self, feed, checked_only=True):
        """Photographs that the package ships.

        Args:
            feed: "normalized" or "pixels".
            checked_only: Whether to return a few images, or all that int8 is calibrated with.

        Returns:
            (N, size, size, 3), float32 or uint8.
        """
        files = spread(PHOTOGRAPHS, CHECKED_IMAGES) if checked_only else PHOTOGRAPHS
        pixels = self.transform.pixels(files)
        return pixels if feed == "pixels" else self.transform.normalize(pixels)


def new_job(config, size, folder):
    """Makes a folder and the job in it."""
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    config = dataclasses.replace(
        config, head="pool_norm", head_norm_epsilon=TIMM_EPSILON, drop_path_rate=0.0
    )
    job = Job(config, size, folder)
    job.write()
    return job


def relative_error(received, expected):
    """Relative L2 distance."""
    return float(np.linalg.norm(received - expected) / np.linalg.norm(expected))

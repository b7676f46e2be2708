"""Segmentation with an exported .tflite file."""

import os
from typing import Any

import numpy as np
import PIL.Image as Image

from keras_poolformer.images import overlays
from keras_poolformer.images.files import load_image
from keras_poolformer.label_maps import label_map
from keras_poolformer.labels import Color
from keras_poolformer.runtime.description import LABEL_MAP, SCORES, Description
from keras_poolformer.runtime.tflite_model import TFLiteModel
from keras_poolformer.support.errors import InputError

TINY = float(np.finfo(np.float32).tiny)


class TFLiteSegmenter(TFLiteModel):
    """An exported .tflite file, ready to label each pixel of an image.

    Args:
        path: File to run.
        num_threads: Number of threads that share the work on one image.
        num_workers: Number of interpreters that share the images of a batch of `predict`.

    Raises:
        InputError: The file is not a segmenter that this package exported, or does not name all
            of its classes.
        MissingExtraError: ai-edge-litert is not installed.
    """

    def __init__(
        self, path: str | os.PathLike[str], num_threads: int = 1, num_workers: int = 1
    ) -> None:
        super().__init__(path, num_threads, num_workers)
        description = self.description
        if description is None or not description.is_segmenter:
            described = description and f"one that returns {description.outputs}"
            raise InputError(
                f"{self.path.name} must be a segmenter's file that this package exported. "
                f"Received: {described or 'one without a description'}"
            )
        self._described: Description = description
        self._check_output()

    @property
    def palette(self) -> tuple[Color, ...] | None:
        """Colors (red, green, blue) of the classes, or None if the file has none."""
        return self._described.palette

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Runs the network.

        Args:
            images: Images (N, H, W, 3), uint8 pixels or normalized float32, as `input_kind` says;
                `prepare` makes them.

        Returns:
            float32: logits or probabilities (N, H/4, W/4, classes), or labels (N, H, W), as
            exported.

        Raises:
            InputError: The images have the wrong shape or dtype.
        """
        return next(iter(self.run(images).values()))

    def segment(self, image: Any) -> np.ndarray:
        """Labels each pixel of an image.

        Logits are resized as mmsegmentation does it: bilinearly to the size of the file's input,
        then to the image's. The labels of a file that returns labels are repeated.

        Args:
            image: Path, PIL image or uint8 array (H, W, 3).

        Returns:
            uint8 (H, W) of the image's own size, upright; uint16 for more than 256 classes.

        Raises:
            InputError: The image cannot be read.
        """
        picture = load_image(image)
        size = (picture.height, picture.width)
        output = self.predict(self.prepare(picture)[None])[0]
        outputs = self._described.outputs
        if outputs == LABEL_MAP:
            return _nearest(output.astype(np.uint8), size)
        if outputs == "probabilities":  # apart from a constant for each pixel, the logits
            output = np.log(np.maximum(output, TINY))
        height, width, _ = self.input_shape
        return label_map(output, (height, width), size)

    def overlay(self, image: Any, labels: np.ndarray) -> Image.Image:
        """Draws labels over an image, half transparent, in the colors of the palette.

        Args:
            image: Path, PIL image or uint8 array (H, W, 3).
            labels: Labels (H, W) of the image's own size, as `segment` returns them. Pixels of a
                class without a color stay as they are.

        Returns:
            RGB image of the same size; in PASCAL VOC's colors if the file has no palette.

        Raises:
            InputError: The image cannot be read, or the labels are not of its size.
        """
        return overlays.overlay(image, labels, self.palette)

    def _check_output(self) -> None:
        """Rejects a file whose output is not what its description says."""
        shapes = [tuple(map(int, output["shape"])) for output in self._outputs.values()]
        outputs = self._described.outputs
        if outputs not in (*SCORES, LABEL_MAP) or len(shapes) != 1:
            raise InputError(
                f"{self.path.name} must return {', '.join(SCORES)} or {LABEL_MAP}. "
                f"Received: {outputs}, {len(shapes)} outputs"
            )
        if len(shapes[0]) != (3 if outputs == LABEL_MAP else 4):
            raise InputError(
                f"{self.path.name} must return {outputs} of each pixel. Received: {shapes[0]}"
            )
        if outputs in SCORES:
            self._require_labels(shapes[0][-1])


def _nearest(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Labels (h, w) at another size."""
    rows, columns = (
        ((np.arange(new) + 0.5) * (old / new)).astype(int)
        for old, new in zip(labels.shape, size, strict=True)
    )
    return labels[rows[:, None], columns]

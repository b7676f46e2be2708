"""Segmentation with an exported .tflite file."""

import os
from typing import Any

import numpy as np
import PIL.Image as Image

from keras_poolformer.images import overlays
from keras_poolformer.images.files import load_image
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.label_maps import label_map
from keras_poolformer.labels import Color
from keras_poolformer.runtime.description import LABEL_MAP, SCORES, Description
from keras_poolformer.runtime.tflite_model import TFLiteModel
from keras_poolformer.runtime.tiles import average_tiles
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
    def num_classes(self) -> int | None:
        """Number of classes; None for a file that returns labels and has no names for them."""
        if self._described.outputs in SCORES:
            (output,) = self._outputs.values()
            return int(output["shape"][-1])
        return len(self.labels or self.palette or ()) or None

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

    def segment(
        self, image: Any, *, tiles: bool = False, short_side: int | None = None
    ) -> np.ndarray:
        """Labels each pixel of an image.

        Logits are resized as mmsegmentation does it: bilinearly to the size of what the network
        saw, then to the image's. The labels of a file that returns labels are repeated.

        An image is stretched to the size that the file takes. With `tiles` it keeps its aspect
        ratio and, if it is large, its details: it is resized as `MetaFormerSegmenter` resizes it,
        and the logits of overlapping tiles are averaged. Where the resized image is one tile,
        both give the same.

        Args:
            image: Path, PIL image or uint8 array (H, W, 3).
            tiles: Whether to work through the image in tiles of the size that the file takes.
            short_side: Length in pixels that tiles are cut at: of the image's shorter side, while
                its longer one has at most four times that. By default the shorter side of the
                file's input. Objects should be as large as in training, so this is the `size` of
                the transform that the model was trained for, if the file takes smaller images.

        Returns:
            uint8 (H, W) of the image's own size, upright; uint16 for more than 256 classes.

        Raises:
            InputError: The image cannot be read, or tiles are not possible: the file returns
                labels, or its transform is not mmsegmentation's.
        """
        if tiles:
            transform = self._whole(short_side)
        elif short_side is None:
            transform = self._require_transform()
        else:
            raise InputError(f"`short_side` needs `tiles`=True. Received: short_side={short_side}")
        picture = load_image(image)
        pixels = transform.pixels(picture)
        size = (picture.height, picture.width)
        if self._described.outputs == LABEL_MAP:
            return _nearest(self._predict_pixels(pixels[None])[0].astype(np.uint8), size)
        if tiles:
            logits = average_tiles(self._logits, pixels, self._input_size, self._output_size)
        else:
            logits = self._logits(pixels[None])[0]
        return label_map(logits, (pixels.shape[0], pixels.shape[1]), size)

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

    @property
    def _input_size(self) -> tuple[int, int]:
        return self.input_shape[0], self.input_shape[1]

    @property
    def _output_size(self) -> tuple[int, int, int]:
        _, height, width, classes = map(int, next(iter(self._outputs.values()))["shape"])
        return height, width, classes

    def _whole(self, short_side: int | None) -> ImageTransform:
        """The transform of images that are cut into tiles."""
        transform, outputs = self._require_transform(), self._described.outputs
        if outputs == LABEL_MAP:
            raise InputError(
                f"{self.path.name} must return {' or '.join(SCORES)}, which are averaged where "
                f"`tiles` overlap. Received: {outputs}"
            )
        if transform.crop_mode != "mmseg":
            raise InputError(
                f"{self.path.name} must have a transform with `crop_mode`='mmseg' for `tiles`. "
                f"Received: {transform.crop_mode!r}"
            )
        return transform.replace(size=short_side or min(self._input_size))

    def _logits(self, pixels: np.ndarray) -> np.ndarray:
        """Logits (N, H/4, W/4, classes) of uint8 pixels, apart from a constant for each pixel."""
        output = self._predict_pixels(pixels)
        if self._described.outputs == "probabilities":
            return np.log(np.maximum(output, TINY))
        return output

    def _predict_pixels(self, pixels: np.ndarray) -> np.ndarray:
        return self.predict(self.from_pixels(pixels))

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

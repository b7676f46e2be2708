"""Classification with an exported .tflite file."""

import os
from typing import Any

import numpy as np

from keras_poolformer.runtime.description import SCORES
from keras_poolformer.runtime.tflite_model import TFLiteModel
from keras_poolformer.scores import scores, top_classes
from keras_poolformer.support.errors import InputError


class TFLiteClassifier(TFLiteModel):
    """An exported .tflite file, ready to classify.

    Args:
        path: File to run.
        num_threads: Number of threads that share the work on one image.
        num_workers: Number of interpreters that share the images of a batch. For throughput, as
            many workers as cores with one thread each beat one worker with many threads.

    Raises:
        InputError: The file is not a valid TFLite model of one image with one output, or does not
            name all of its classes.
        MissingExtraError: ai-edge-litert is not installed.
    """

    def __init__(
        self, path: str | os.PathLike[str], num_threads: int = 1, num_workers: int = 1
    ) -> None:
        super().__init__(path, num_threads, num_workers)
        if len(self.output_names) != 1:
            raise InputError(
                f"{self.path} must have one output, as a classifier has. "
                f"Received: {len(self.output_names)} outputs"
            )
        if self.description and self.description.is_segmenter:
            raise InputError(
                f"{self.path.name} must be a classifier's file; TFLiteSegmenter opens this one. "
                "Received: a segmenter's"
            )
        if self.description and self.description.outputs in SCORES:
            self._require_labels(self.num_classes)

    @property
    def num_classes(self) -> int:
        """Number of values that the file returns for an image."""
        (output,) = self._outputs.values()
        return int(output["shape"][-1]) if len(output["shape"]) else 1

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Runs the network.

        Args:
            images: Images (N, H, W, channels), uint8 pixels or normalized float32, as
                `input_kind` says; `prepare` makes them.

        Returns:
            Logits or probabilities, as exported: float32 (N, num_classes).

        Raises:
            InputError: The images have the wrong shape or dtype.
        """
        return next(iter(self.run(images).values()))

    def classify(self, image: Any, top_k: int = 5) -> list[tuple[str, float]]:
        """Classifies an image.

        Args:
            image: Path, PIL image or uint8 array (H, W, 3).
            top_k: Number of classes to return.

        Returns:
            [(label, score), ...], the highest score first. Scores are probabilities, or the values
            of a regression. Without labels in the file the label is the class's number.

        Raises:
            InputError: The image cannot be read, `top_k` is not a number of classes, or the file
                does not say how to prepare images, or returns no scores.
        """
        description = self.description
        if description and description.outputs not in SCORES:
            raise InputError(
                f"{self.path.name} must return {' or '.join(SCORES)} to classify. "
                f"Received: {description.outputs}"
            )
        outputs = self.predict(self.prepare(image)[None])[0]
        if description and description.outputs == "logits":
            outputs = scores(outputs, description.problem_type)
        return top_classes(outputs, self.labels, top_k)

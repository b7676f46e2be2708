"""Feature maps with an exported .tflite file."""

import numpy as np

from keras_poolformer.runtime.tflite_model import TFLiteModel


class TFLiteBackbone(TFLiteModel):
    """A .tflite file that was exported with `outputs="pyramid"`.

    Args:
        path: File to run.
        num_threads: Number of threads that share the work on one image.
        num_workers: Number of interpreters that share the images of a batch.

    Raises:
        InputError: The file is not a valid TFLite model of one image.
        MissingExtraError: ai-edge-litert is not installed.
    """

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Runs the network.

        Args:
            images: Images (N, H, W, channels), uint8 pixels or normalized float32, as
                `input_kind` says; `prepare` makes them.

        Returns:
            Output of each stage: {"P2": float32 (N, H/4, W/4, C), ...}.

        Raises:
            InputError: The images have the wrong shape or dtype.
        """
        return dict(sorted(self.run(images).items()))

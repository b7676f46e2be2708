"""Feature maps with an exported .tflite file."""

from keras_poolformer.runtime.tflite_model import TFLiteModel


class TFLiteBackbone(TFLiteModel):
    """A .tflite file that was exported with `outputs="pyramid"`.

    Args:
        path: the file.
        num_threads: threads inside one image.
        num_workers: interpreters that share the images of a batch.

    Raises:
        InputError: the file is no TFLite model of one image.
        MissingExtraError: ai-edge-litert is not installed.
    """

    def predict(self, images):
        """Runs the network.

        Args:
            images: (N, size, size, channels), uint8 pixels or float32 normalised, as
                `input_kind` says.

        Returns:
            {"P2": float32 (N, size/4, size/4, C), ...}, the output of each stage.
        """
        return dict(sorted(self.run(images).items()))

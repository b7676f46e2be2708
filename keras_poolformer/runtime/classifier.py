"""Classification with an exported .tflite file."""

from keras_poolformer.runtime.description import SCORES
from keras_poolformer.runtime.tflite_model import TFLiteModel
from keras_poolformer.scores import scores, top_classes
from keras_poolformer.support.errors import InputError


class TFLiteClassifier(TFLiteModel):
    """An exported .tflite file, ready to classify.

    Args:
        path: the file.
        num_threads: threads inside one image.
        num_workers: interpreters that share the images of a batch. For throughput, as many
            workers as cores with one thread each beat one worker with many threads.

    Raises:
        InputError: the file is no TFLite model of one image with one output, or does not name
            all of its classes.
        MissingExtraError: ai-edge-litert is not installed.
    """

    def __init__(self, path, num_threads=1, num_workers=1):
        super().__init__(path, num_threads, num_workers)
        if len(self.output_names) != 1:
            raise InputError(
                f"{self.path} must have one output, as a classifier has. "
                f"Received: {len(self.output_names)} outputs"
            )
        outputs = self.description.outputs if self.description else None
        if self.labels and outputs in SCORES and len(self.labels) != self.num_classes:
            raise InputError(
                f"{self.path.name} must have a label for each of its {self.num_classes} classes. "
                f"Received: {len(self.labels)} labels"
            )

    @property
    def num_classes(self) -> int:
        """Length of what the file returns for an image."""
        (output,) = self._outputs.values()
        return int(output["shape"][-1]) if len(output["shape"]) else 1

    def predict(self, images):
        """Runs the network.

        Args:
            images: (N, size, size, channels), uint8 pixels or float32 normalised, as
                `input_kind` says.

        Returns:
            float32 (N, num_classes), logits or probabilities as exported.
        """
        return next(iter(self.run(images).values()))

    def classify(self, image, top_k=5):
        """Classifies a picture.

        Args:
            image: a path, a PIL image or a uint8 array (H, W, 3).
            top_k: how many classes to return.

        Returns:
            [(label, score), ...], the highest score first. Scores are probabilities, of a
            regression its values. Without labels in the file the label is the class's number.

        Raises:
            InputError: the image cannot be read, `top_k` is not a number of classes, or the file
                does not say how to prepare images, or returns no scores.
        """
        if self.description is None or self.transform is None:
            raise InputError(
                f"{self.path.name} does not say how images are prepared: it was not exported "
                f"by this package. Prepare them and call predict"
            )
        if self.description.outputs not in SCORES:
            raise InputError(
                f"{self.path.name} must return {' or '.join(SCORES)} to classify. "
                f"Received: {self.description.outputs}"
            )
        pixels = self.transform.pixels(image)
        prepared = pixels if self.input_kind == "pixels" else self.transform.normalize(pixels)
        outputs = self.predict(prepared[None])[0]
        if self.description.outputs == "logits":
            outputs = scores(outputs, self.description.problem_type)
        return top_classes(outputs, self.labels, top_k)

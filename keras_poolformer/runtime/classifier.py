"""Classification with an exported .tflite file on LiteRT's interpreter."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from keras_poolformer.errors import InputError
from keras_poolformer.image_transform import ImageTransform
from keras_poolformer.ranking import softmax, top_classes
from keras_poolformer.runtime.delegation import count_partitions, operators_outside
from keras_poolformer.runtime.description import read_description
from keras_poolformer.runtime.interpreters import load_interpreter, read_model


class TFLiteClassifier:
    """An exported .tflite file, ready to classify.

    Args:
        path: the file.
        num_threads: threads inside one image.
        num_workers: interpreters that share the images of a batch. For throughput, as many
            workers as cores with one thread each beat one worker with many threads.

    Attributes:
        input_kind: "pixels" (uint8) or "normalized" (float32), what `predict` takes.
        input_shape: (size, size, channels) of one image.
        input_dtype: numpy type of an image.
        labels: class names, () if the file has none.
        transform: the `ImageTransform` that makes its input, None if the file has none.

    Raises:
        InputError: the file is no TFLite model of one image.
        MissingExtraError: ai-edge-litert is not installed.
    """

    def __init__(self, path, num_threads=1, num_workers=1):
        self.path = Path(path)
        self._num_threads = num_threads
        self._num_workers = num_workers
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(num_workers) if num_workers > 1 else None
        self._model = read_model(self.path)
        self._description = read_description(self.path)
        one_input = self._one_input()
        self.input_shape = tuple(int(side) for side in one_input["shape"][1:])
        self.input_dtype = np.dtype(one_input["dtype"])
        self.input_kind = "pixels" if self.input_dtype == np.uint8 else "normalized"
        self.labels = self._description.labels if self._description else ()
        self.transform = None
        if self._description:
            self.transform = ImageTransform.from_dict(self._description.transform)

    def predict(self, images):
        """Runs the network.

        Args:
            images: (N, size, size, channels), uint8 pixels or float32 normalised, as
                `input_kind` says.

        Returns:
            float32 (N, num_classes), logits or probabilities as exported.
        """
        images = np.asarray(images)
        if images.shape[1:] != self.input_shape or images.dtype != self.input_dtype:
            raise InputError(
                f"{self.path.name} takes {self.input_dtype.name} images of shape "
                f"(N, {', '.join(map(str, self.input_shape))}). Received: {images.dtype} "
                f"{images.shape}"
            )
        run = self._pool.map if self._pool else map
        return np.stack(list(run(self._predict_one, images)))

    def classify(self, image, top_k=5):
        """Classifies a picture.

        Args:
            image: a path, a PIL image or a uint8 array (H, W, 3).
            top_k: how many classes to return.

        Returns:
            [(label, probability), ...], the most probable first. Without labels in the file
            the label is the class's number.

        Raises:
            InputError: the image cannot be read, or the file does not say how to prepare it.
        """
        if self._description is None or self.transform is None:
            raise InputError(
                f"{self.path.name} does not say how images are prepared: it was not exported "
                f"by this package. Prepare them and call predict"
            )
        pixels = self.transform.pixels(image)
        prepared = pixels if self.input_kind == "pixels" else self.transform.normalize(pixels)
        scores = self.predict(prepared[None])[0]
        if self._description.outputs == "logits":
            scores = softmax(scores)
        return top_classes(scores, self.labels, top_k)

    def warm_up(self):
        """Runs an empty image on every worker, so that the next images find them all loaded."""
        blank = np.zeros(self.input_shape, self.input_dtype)
        if self._pool is None:
            self._predict_one(blank)
            return
        # Nobody goes on before all are here: a thread that were done would serve again, and
        # another one would not be started.
        all_here = threading.Barrier(self._num_workers)

        def meet_and_run(_):
            all_here.wait()
            self._predict_one(blank)

        try:
            list(self._pool.map(meet_and_run, range(self._num_workers)))
        finally:
            all_here.abort()

    def operators(self):
        """Names of the operators in the file, with repetition; no delegate among them."""
        interpreter = self._load(without_delegates=True)
        return [operator["op_name"] for operator in interpreter._get_ops_details()]

    def partitions(self):
        """Into how many pieces XNNPACK took the graph; 1 is best."""
        return count_partitions(self._interpreter()._get_ops_details())

    def operators_outside_xnnpack(self):
        """Names of the operators that XNNPACK did not take, with repetition; none is best."""
        return operators_outside(self._interpreter()._get_ops_details())

    def _predict_one(self, image):
        interpreter = self._interpreter()
        (one_input,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.set_tensor(one_input["index"], image[None])
        interpreter.invoke()
        scores = interpreter.get_tensor(output["index"])[0]
        scale, zero_point = output["quantization"]
        if scores.dtype != np.float32:
            scores = (scores.astype(np.float32) - zero_point) * scale
        return scores

    def _interpreter(self):
        """One interpreter for each thread: LiteRT's are not to be shared."""
        if not hasattr(self._local, "interpreter"):
            self._local.interpreter = self._load()
        return self._local.interpreter

    def _load(self, without_delegates=False):
        return load_interpreter(self._model, self.path, self._num_threads, without_delegates)

    def _one_input(self):
        """What LiteRT says of the only input; refuses files that do not take one image."""
        interpreter = self._interpreter()
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        shapes = [tuple(map(int, one["shape_signature"])) for one in inputs]
        one_image = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][0] in (1, -1)
        if not one_image or min(shapes[0][1:]) < 1 or len(outputs) != 1:
            raise InputError(
                f"{self.path} must have one input, an image of a fixed size (1, H, W, C) or "
                f"(1, C, H, W), and one output. Received: inputs {shapes}, "
                f"{len(outputs)} outputs"
            )
        return inputs[0]

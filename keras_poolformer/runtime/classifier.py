"""Classification with an exported .tflite file on LiteRT's interpreter."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from keras_poolformer.errors import InputError, MissingExtraError
from keras_poolformer.image_transform import ImageTransform
from keras_poolformer.ranking import softmax, top_classes
from keras_poolformer.runtime.description import read_description


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
        labels: class names, () if the file has none.
        transform: the `ImageTransform` that makes its input, None if the file has none.

    Raises:
        InputError: the file is no TFLite model of one image.
        MissingExtraError: ai-edge-litert is not installed.
    """

    def __init__(self, path, num_threads=1, num_workers=1):
        self.path = Path(path)
        self._num_threads = num_threads
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(num_workers) if num_workers > 1 else None
        if not self.path.is_file():
            raise InputError(f"{path} must be a .tflite file. Received: no such file")
        self._model = self.path.read_bytes()
        self._description = read_description(self.path)
        (one_input,) = self._interpreter().get_input_details()
        self.input_shape = tuple(int(side) for side in one_input["shape"][1:])
        self._input_dtype = one_input["dtype"]
        self.input_kind = "pixels" if self._input_dtype == np.uint8 else "normalized"
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
        if images.shape[1:] != self.input_shape or images.dtype != self._input_dtype:
            raise InputError(
                f"{self.path.name} takes {np.dtype(self._input_dtype).name} images of shape "
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

    def operators(self):
        """Names of the operators in the file, with repetition; no delegate among them."""
        interpreter = self._load(without_delegates=True)
        return [operator["op_name"] for operator in interpreter._get_ops_details()]

    def partitions(self):
        """Into how many pieces XNNPACK took the graph; 1 is best."""
        names = [one["op_name"] for one in self._interpreter()._get_ops_details()]
        return names.count("DELEGATE")

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
        try:
            from ai_edge_litert.interpreter import Interpreter, OpResolverType
        except ImportError:
            raise MissingExtraError("ai-edge-litert", "runtime") from None
        resolver = OpResolverType.AUTO
        if without_delegates:
            resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            interpreter = Interpreter(
                model_content=self._model,
                num_threads=self._num_threads,
                experimental_op_resolver_type=resolver,
            )
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            first_line = str(error).partition("\n")[0]
            raise InputError(f"{self.path} is no usable TFLite model: {first_line}") from None
        return interpreter

"""A .tflite file run by LiteRT, whatever it returns."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.runtime.benchmark.delegation import count_partitions, operators_outside
from keras_poolformer.runtime.description import Description, read_description
from keras_poolformer.runtime.interpreters import litert_errors, load_interpreter, read_model
from keras_poolformer.runtime.workers import Workers, check_threads
from keras_poolformer.support.errors import InputError


class TFLiteModel:
    """A .tflite file that takes one image.

    Threads may share it. A forked process loads interpreters of its own on first use. A pickled
    copy opens `path` again, so that it can be sent to a spawned process as long as the file is
    there.

    Args:
        path: File to run.
        num_threads: Number of threads that share the work on one image.
        num_workers: Number of interpreters that share the images of a batch. For throughput, as
            many workers as cores with one thread each beat one worker with many threads.

    Attributes:
        path: Path as it was given.
        input_kind: Kind of input: "pixels" (uint8) or "normalized" (float32).
        input_shape: Shape of one image, (H, W, channels).
        input_dtype: dtype of an image.
        output_names: Names of the outputs.
        description: Description in the file, or None if it has none.
        labels: Class names, () if the file has none.
        transform: Transform that prepares images, None if the file does not say.

    Raises:
        InputError: The file is not a valid TFLite model of one image.
        MissingExtraError: ai-edge-litert is not installed.
    """

    path: Path
    input_kind: str
    input_shape: tuple[int, ...]
    input_dtype: np.dtype[Any]
    output_names: tuple[str, ...]
    description: Description | None
    labels: tuple[str, ...]
    transform: ImageTransform | None

    def __init__(
        self, path: str | os.PathLike[str], num_threads: int = 1, num_workers: int = 1
    ) -> None:
        check_threads(num_threads=num_threads, num_workers=num_workers)
        self.path = Path(path)
        self._absolute_path = self.path.absolute()  # for copies: the working directory may change
        self._num_threads = num_threads
        self._num_workers = num_workers
        self._workers = Workers(self._load, num_workers)
        self._model = read_model(self.path)
        self.description = read_description(self.path)
        details = self._input_details()
        self.input_shape = tuple(int(side) for side in details["shape"][1:])
        self.input_dtype = np.dtype(details["dtype"])
        self.input_kind = "pixels" if self.input_dtype == np.uint8 else "normalized"
        with litert_errors(self.path):
            self._outputs = _named_outputs(self._interpreter())
        self.output_names = tuple(self._outputs)
        self.labels = self.description.labels if self.description else ()
        self.transform = self.description.transform if self.description else None

    def prepare(self, image: Any) -> np.ndarray:
        """Prepares an image as the file takes it: pixels or normalized.

        Args:
            image: Path, PIL image or uint8 array (H, W, 3), or a list of these for a batch.

        Returns:
            Image of `input_shape` and `input_dtype`, of which `run` takes a batch.

        Raises:
            InputError: The image cannot be read, or the file does not say how to prepare images.
        """
        return self.from_pixels(self._require_transform().pixels(image))

    def from_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Turns cropped pixels into what the file takes; see `prepare` for images.

        Args:
            pixels: uint8 (..., H, W, 3), as `transform.pixels` returns them.

        Raises:
            InputError: The file does not say how to prepare images.
        """
        transform = self._require_transform()
        return pixels if self.input_kind == "pixels" else transform.normalize(pixels)

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Runs the network.

        Args:
            images: Images (N, H, W, channels), uint8 pixels or normalized float32, as
                `input_kind` says.

        Returns:
            {name of the output: float32 (N, ...)}.

        Raises:
            InputError: The images have the wrong shape or dtype.
        """
        images = np.asarray(images)
        if images.shape[1:] != self.input_shape or images.dtype != self.input_dtype:
            raise InputError(
                f"{self.path.name} takes {self.input_dtype.name} images of shape "
                f"(N, {', '.join(map(str, self.input_shape))}). Received: {images.dtype} "
                f"{images.shape}"
            )
        if not len(images):
            return {name: _no_values(output) for name, output in self._outputs.items()}
        results = self._current_workers().map(self._run_one, images)
        return {name: np.stack([result[name] for result in results]) for name in self._outputs}

    def warm_up(self) -> None:
        """Runs an empty image on every worker, so that all are loaded when the next images come."""
        blank = np.zeros(self.input_shape, self.input_dtype)
        self._current_workers().on_each(lambda: self._run_one(blank))

    def operators(self) -> list[str]:
        """Returns the names of the operators in the file, with repetition, without delegates."""
        return [operator["op_name"] for operator in self._nodes(self._load(True))]

    def partitions(self) -> int:
        """Returns into how many partitions XNNPACK took the graph; 1 is best."""
        return count_partitions(self._nodes(self._interpreter()))

    def operators_outside_xnnpack(self) -> list[str]:
        """Returns the names of the operators that XNNPACK did not take, with repetition."""
        return operators_outside(self._nodes(self._interpreter()))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._absolute_path, self._num_threads, self._num_workers)

    def _require_transform(self) -> ImageTransform:
        if self.transform is None:
            raise InputError(
                f"{self.path.name} does not say how images are prepared: it was not exported "
                f"by this package. Prepare them and call predict"
            )
        return self.transform

    def _require_labels(self, num_classes: int) -> None:
        """Rejects a file that names some of its classes, but not all."""
        if self.labels and len(self.labels) != num_classes:
            raise InputError(
                f"{self.path.name} must have a label for each of its {num_classes} classes. "
                f"Received: {len(self.labels)} labels"
            )

    def _nodes(self, interpreter: Any) -> list[dict[str, Any]]:
        with litert_errors(self.path):
            # Private (here of 2.3.0), and the only list of operators that LiteRT has.
            return interpreter._get_ops_details()

    def _run_one(self, image: np.ndarray) -> dict[str, np.ndarray]:
        interpreter = self._interpreter()
        with litert_errors(self.path):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
            interpreter.invoke()
            return {
                name: _of_one_image(interpreter.get_tensor(output["index"]), output)
                for name, output in self._outputs.items()
            }

    def _interpreter(self) -> Any:
        return self._current_workers().interpreter()

    def _current_workers(self) -> Workers:
        """The threads of this process: those of the process it was forked from do not exist."""
        if self._workers.process != os.getpid():
            self._workers = Workers(self._load, self._num_workers)
        return self._workers

    def _load(self, without_delegates: bool = False) -> Any:
        return load_interpreter(self._model, self.path, self._num_threads, without_delegates)

    def _input_details(self) -> dict[str, Any]:
        """What LiteRT says of the only input; rejects files that do not take one image."""
        with litert_errors(self.path):
            inputs = self._interpreter().get_input_details()
        shapes = [tuple(map(int, details["shape_signature"])) for details in inputs]
        one_image = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][0] in (1, -1)
        if not one_image or min(shapes[0][1:]) < 1:
            raise InputError(
                f"{self.path} must have one input, an image of a fixed size (1, H, W, C) or "
                f"(1, C, H, W). Received: inputs {shapes}"
            )
        return inputs[0]


def _named_outputs(interpreter: Any) -> dict[str, dict[str, Any]]:
    """{name: what LiteRT says of the output}, by the names of the signature if there is one."""
    outputs = {int(details["index"]): details for details in interpreter.get_output_details()}
    for signature in interpreter.get_signature_list():
        named = interpreter.get_signature_runner(signature).get_output_details()
        if {int(details["index"]) for details in named.values()} == outputs.keys():
            return named
    return {details["name"]: details for details in outputs.values()}


def _no_values(output: dict[str, Any]) -> np.ndarray:
    """An output for a batch of no images."""
    return np.zeros((0, *map(int, output["shape"][1:])), np.float32)


def _of_one_image(values: np.ndarray, output: dict[str, Any]) -> np.ndarray:
    """float32 values of an output, without the axis of the batch if it has one."""
    values = values[0] if np.ndim(values) else values
    scale, zero_point = output["quantization"]
    if not scale:  # not quantized
        return np.asarray(values, np.float32)
    return (values.astype(np.float32) - zero_point) * scale

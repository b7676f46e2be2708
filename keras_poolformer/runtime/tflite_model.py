"""An exported .tflite file on LiteRT's interpreters, whatever it returns."""

import os
from pathlib import Path

import numpy as np

from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.runtime.benchmark.delegation import count_partitions, operators_outside
from keras_poolformer.runtime.description import read_description
from keras_poolformer.runtime.interpreters import litert_errors, load_interpreter, read_model
from keras_poolformer.runtime.workers import Workers, check_threads
from keras_poolformer.support.errors import InputError


class TFLiteModel:
    """A .tflite file that takes one image.

    Threads may share it. A forked process loads interpreters of its own on first use. A pickled
    copy opens `path` again, so that it can be sent to a process that was spawned, as long as the
    file is there.

    Args:
        path: the file.
        num_threads: threads inside one image.
        num_workers: interpreters that share the images of a batch. For throughput, as many
            workers as cores with one thread each beat one worker with many threads.

    Attributes:
        input_kind: "pixels" (uint8) or "normalized" (float32), what it takes.
        input_shape: (size, size, channels) of one image.
        input_dtype: numpy type of an image.
        output_names: of what it returns.
        description: the file's `Description`, None if it has none.
        labels: class names, () if the file has none.
        transform: the `ImageTransform` that makes its input, None if the file has none.

    Raises:
        InputError: the file is no TFLite model of one image.
        MissingExtraError: ai-edge-litert is not installed.
    """

    def __init__(self, path, num_threads=1, num_workers=1):
        check_threads(num_threads=num_threads, num_workers=num_workers)
        self.path = Path(path)
        self._absolute_path = self.path.absolute()  # for copies: the working directory may change
        self._num_threads = num_threads
        self._num_workers = num_workers
        self._workers = Workers(self._load, num_workers)
        self._model = read_model(self.path)
        self.description = read_description(self.path)
        one_input = self._one_input()
        self.input_shape = tuple(int(side) for side in one_input["shape"][1:])
        self.input_dtype = np.dtype(one_input["dtype"])
        self.input_kind = "pixels" if self.input_dtype == np.uint8 else "normalized"
        with litert_errors(self.path):
            self._outputs = _named_outputs(self._interpreter())
        self.output_names = tuple(self._outputs)
        self.labels = self.description.labels if self.description else ()
        self.transform = None
        if self.description:
            self.transform = ImageTransform.from_dict(self.description.transform)

    def run(self, images):
        """Runs the network.

        Args:
            images: (N, size, size, channels), uint8 pixels or float32 normalised, as
                `input_kind` says.

        Returns:
            {name of the output: float32 (N, ...)}.
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

    def warm_up(self):
        """Runs an empty image on every worker, so that the next images find them all loaded."""
        blank = np.zeros(self.input_shape, self.input_dtype)
        self._current_workers().on_each(lambda: self._run_one(blank))

    def operators(self):
        """Names of the operators in the file, with repetition; no delegate among them."""
        return [operator["op_name"] for operator in self._nodes(self._load(True))]

    def partitions(self):
        """Into how many pieces XNNPACK took the graph; 1 is best."""
        return count_partitions(self._nodes(self._interpreter()))

    def operators_outside_xnnpack(self):
        """Names of the operators that XNNPACK did not take, with repetition; none is best."""
        return operators_outside(self._nodes(self._interpreter()))

    def __reduce__(self):
        return type(self), (self._absolute_path, self._num_threads, self._num_workers)

    def _nodes(self, interpreter):
        with litert_errors(self.path):
            return interpreter._get_ops_details()

    def _run_one(self, image):
        interpreter = self._interpreter()
        with litert_errors(self.path):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
            interpreter.invoke()
            return {
                name: _of_one_image(interpreter.get_tensor(output["index"]), output)
                for name, output in self._outputs.items()
            }

    def _interpreter(self):
        return self._current_workers().interpreter()

    def _current_workers(self):
        """The threads of this process: those of the one that it was forked from do not exist."""
        if self._workers.process != os.getpid():
            self._workers = Workers(self._load, self._num_workers)
        return self._workers

    def _load(self, without_delegates=False):
        return load_interpreter(self._model, self.path, self._num_threads, without_delegates)

    def _one_input(self):
        """What LiteRT says of the only input; refuses files that do not take one image."""
        with litert_errors(self.path):
            inputs = self._interpreter().get_input_details()
        shapes = [tuple(map(int, one["shape_signature"])) for one in inputs]
        one_image = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][0] in (1, -1)
        if not one_image or min(shapes[0][1:]) < 1:
            raise InputError(
                f"{self.path} must have one input, an image of a fixed size (1, H, W, C) or "
                f"(1, C, H, W). Received: inputs {shapes}"
            )
        return inputs[0]


def _named_outputs(interpreter):
    """{name: what LiteRT says of the output}, by the names of the signature if there is one."""
    outputs = {int(one["index"]): one for one in interpreter.get_output_details()}
    for signature in interpreter.get_signature_list():
        named = interpreter.get_signature_runner(signature).get_output_details()
        if {int(one["index"]) for one in named.values()} == outputs.keys():
            return named
    return {one["name"]: one for one in outputs.values()}


def _no_values(output):
    """What an output is for a batch of no images."""
    return np.zeros((0, *map(int, output["shape"][1:])), np.float32)


def _of_one_image(values, output):
    """float32 values of an output, without the axis of the batch if it has one."""
    values = values[0] if np.ndim(values) else values
    scale, zero_point = output["quantization"]
    if np.asarray(values).dtype == np.float32:
        return values
    return (values.astype(np.float32) - zero_point) * scale

"""4-bit weights for the 1x1 convolutions of a file that has 8-bit weights.

XNNPACK multiplies weights of 4 bits, one scale an output channel, with inputs that it rounds to 8
bits while it runs; but only in FULLY_CONNECTED, which a 1x1 convolution therefore becomes. All
other weights stay as they are. What is rounded is the weights of 8 bits, whose own error is a
twentieth of what 4 bits add.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from keras_poolformer.export.rounding import (
    InputStatistics,
    corrected_bias,
    round_for_inputs,
)
from keras_poolformer.export.tflite_graph import (
    add_buffer,
    builtin_code,
    operator_code,
    read_graph,
    require_runtime,
    write_graph,
)

FULLY_CONNECTED_VERSION = 12  # the first with float inputs and a scale for each output
RUNTIME = "2.17.0"  # the oldest version of TensorFlow Lite that has it


def with_four_bits(
    flatbuffer: bytes,
    images: np.ndarray,
    progress: Callable[[int, int], object] | None = None,
) -> bytes:
    """Returns a flatbuffer whose 1x1 convolutions have weights of 4 bits.

    Args:
        flatbuffer: Bytes that the converter made, with 8-bit weights and float inputs.
        images: Calibration images as the file takes them, (N, H, W, channels).
        progress: Function that is called with (images run, number of images), or None.
    """
    model = read_graph(flatbuffer)
    layers = _pointwise_layers(model)
    statistics = _input_statistics(flatbuffer, {layer.source for layer in layers}, images, progress)
    for layer in layers:
        layer.round(statistics[layer.source])
    if layers:
        require_runtime(model, RUNTIME)
    return write_graph(model)


def pack_four_bits(levels: np.ndarray) -> np.ndarray:
    """Returns signed numbers of 4 bits as bytes, two in each, the first in the lower half.

    Args:
        levels: int8, an even number of them.
    """
    halves = levels.reshape(-1, 2).view(np.uint8) & 0x0F
    return halves[:, 0] | (halves[:, 1] << 4)


@dataclass(frozen=True)
class _PointwiseLayer:
    """A 1x1 convolution of a graph.

    Args:
        model: `ModelT` that it is part of.
        operator: Its CONV_2D.
    """

    model: Any
    operator: Any

    @property
    def source(self) -> int:
        """Number of the tensor that is its input."""
        return int(self.operator.inputs[0])

    def round(self, statistics: InputStatistics) -> None:
        """Makes it a FULLY_CONNECTED with weights of 4 bits."""
        source, kernel_number, bias_number = self.operator.inputs
        kernel, bias = self._tensor(kernel_number), self._tensor(bias_number)
        levels = self._values(kernel, np.int8).reshape(kernel.shape[0], -1)
        weights = (levels * kernel.quantization.scale[:, None].astype(np.float64)).T
        rounded = round_for_inputs(weights, statistics)
        offsets = self._values(bias, np.float32)
        offsets = corrected_bias(offsets, weights, rounded, statistics.mean)
        corrected = self._add_bias(bias, np.float32(offsets))
        self.operator.inputs = np.int32([source, kernel_number, corrected])
        kernel.shape = np.int32(levels.shape)
        kernel.type = schema.TensorType.INT4
        kernel.buffer = add_buffer(self.model, pack_four_bits(rounded.levels.T.copy()))
        kernel.quantization.scale = rounded.scales
        self._become_fully_connected()

    def _add_bias(self, bias: Any, values: np.ndarray) -> int:
        """Adds a bias of its own; zeros, for instance, may be that of several operators."""
        tensors = self.model.subgraphs[0].tensors
        added = copy.copy(bias)
        added.name = b"%s/4 bits/%d" % (bias.name, len(tensors))
        added.buffer = add_buffer(self.model, values)
        tensors.append(added)
        return len(tensors) - 1

    def _become_fully_connected(self) -> None:
        options: Any = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = self.operator.builtinOptions.fusedActivationFunction
        options.keepNumDims = True
        self.operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        self.operator.builtinOptions = options
        self.operator.opcodeIndex = operator_code(
            self.model, schema.BuiltinOperator.FULLY_CONNECTED, FULLY_CONNECTED_VERSION
        )

    def _tensor(self, number: int) -> Any:
        return self.model.subgraphs[0].tensors[number]

    def _values(self, tensor: Any, dtype: type[np.generic]) -> np.ndarray:
        return self.model.buffers[tensor.buffer].data.view(dtype)


def _pointwise_layers(model: Any) -> list[_PointwiseLayer]:
    """The 1x1 convolutions with 8-bit weights of their own and an even number of inputs.

    Two convolutions that share their weights keep them, and an odd row would end inside a byte.
    """
    graph = model.subgraphs[0]
    convolutions = [
        operator
        for operator in graph.operators
        if builtin_code(model, operator) == schema.BuiltinOperator.CONV_2D
    ]
    kernels = [int(operator.inputs[1]) for operator in convolutions]
    return [
        _PointwiseLayer(model, operator)
        for operator, number in zip(convolutions, kernels, strict=True)
        if kernels.count(number) == 1 and _is_pointwise(operator, graph.tensors[number])
    ]


def _is_pointwise(operator: Any, kernel: Any) -> bool:
    strides = (operator.builtinOptions.strideH, operator.builtinOptions.strideW)
    _, height, width, inputs = kernel.shape
    is_pointwise = (height, width, *strides) == (1, 1, 1, 1)
    return is_pointwise and kernel.type == schema.TensorType.INT8 and inputs % 2 == 0


def _input_statistics(
    flatbuffer: bytes,
    sources: set[int],
    images: np.ndarray,
    progress: Callable[[int, int], object] | None,
) -> dict[int, InputStatistics]:
    """Statistics of tensors of a graph: it runs with these as its outputs."""
    model = read_graph(flatbuffer)
    model.signatureDefs = []  # which name the outputs that it had
    model.subgraphs[0].outputs = np.int32(sorted(sources))
    interpreter = Interpreter(model_content=write_graph(model))
    interpreter.allocate_tensors()
    image_index = interpreter.get_input_details()[0]["index"]
    tensors = model.subgraphs[0].tensors
    statistics = {number: InputStatistics(int(tensors[number].shape[-1])) for number in sources}
    for done, image in enumerate(images, start=1):
        interpreter.set_tensor(image_index, image[None])
        interpreter.invoke()
        for number, entry in statistics.items():
            entry.add(interpreter.get_tensor(number))
        if progress:
            progress(done, len(images))
    return statistics

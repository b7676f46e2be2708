"""int8 files in a form that microcontrollers run: GELU becomes a table of its 256 values.

TensorFlow Lite Micro has kernels for all operators of an int8 file except GELU. LiteRT's own
kernel looks its results up in a table; the same table as a constant, read by GATHER, gives the
same bytes.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from keras_poolformer.export.tflite_graph import (
    add_buffer,
    builtin_code,
    operator_code,
    read_graph,
    write_graph,
)

LEVELS = np.arange(-128, 128)  # values of an int8 tensor
VERSIONS = {"Gather": 2}  # the first that takes int8


def without_gelu(flatbuffer: bytes) -> bytes:
    """Returns an int8 flatbuffer whose GELU operators are looked up in tables.

    Args:
        flatbuffer: Bytes that the converter made with the recipe int8.
    """
    model = read_graph(flatbuffer)
    graph = model.subgraphs[0]
    writer = _Writer(model)
    replaced = []
    for operator in graph.operators:
        is_gelu = builtin_code(model, operator) == schema.BuiltinOperator.GELU
        replaced += writer.table_lookup(operator) if is_gelu else [operator]
    graph.operators = replaced
    return write_graph(model)


class _Writer:
    """Adds constants, tensors and operators to a model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.subgraphs[0]
        self._offset: int | None = None  # index of the tensor that holds 128

    def table_lookup(self, gelu: Any) -> list[Any]:
        """Returns operators that do what a GELU operator does: table[int32(x) + 128]."""
        source = self.graph.tensors[gelu.inputs[0]]
        result = self.graph.tensors[gelu.outputs[0]]
        values = _table(source.quantization, result.quantization, gelu.builtinOptions)
        name = result.name.decode()
        kind = schema.TensorType.INT32
        if self._offset is None:
            self._offset = self._constant("table/offset", np.int32(-LEVELS[0]), kind)
        table = self._constant(f"{name}/table", values, schema.TensorType.INT8, result.quantization)
        level = self._tensor(f"{name}/level", source.shape, kind)
        index = self._tensor(f"{name}/index", source.shape, kind)
        cast = schema.CastOptionsT()
        cast.inDataType, cast.outDataType = schema.TensorType.INT8, kind
        return [
            self._operator("Cast", [gelu.inputs[0]], level, cast),
            self._operator("Add", [level, self._offset], index, schema.AddOptionsT()),
            self._operator("Gather", [table, index], gelu.outputs[0], schema.GatherOptionsT()),
        ]

    def _constant(
        self, name: str, values: np.ndarray | np.generic, kind: int, quantization: Any = None
    ) -> int:
        return self._tensor(name, values.shape, kind, add_buffer(self.model, values), quantization)

    def _tensor(
        self, name: str, shape: Any, kind: int, buffer: int = 0, quantization: Any = None
    ) -> int:
        tensor: Any = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, np.int32(shape), kind
        tensor.buffer, tensor.quantization = buffer, quantization
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _operator(self, name: str, inputs: list[int], output: int, options: Any) -> Any:
        operator: Any = schema.OperatorT()
        builtin = getattr(schema.BuiltinOperator, name.upper())
        operator.opcodeIndex = operator_code(self.model, builtin, VERSIONS.get(name, 1))
        operator.inputs, operator.outputs = np.int32(inputs), np.int32([output])
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{name}Options")
        operator.builtinOptions = options
        return operator


def _table(source: Any, result: Any, options: Any) -> np.ndarray:
    """GELU of each of the 256 values of an int8 tensor, quantized as the operator's result is."""
    inputs = (LEVELS - source.zeroPoint[0]) * float(source.scale[0])
    outputs = tf.nn.gelu(tf.constant(inputs, tf.float64), approximate=bool(options.approximate))
    levels = np.round(outputs.numpy() / float(result.scale[0])) + result.zeroPoint[0]
    return np.clip(levels, LEVELS[0], LEVELS[-1]).astype(np.int8)

"""Reading, changing and writing the graph of a .tflite flatbuffer."""

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_poolformer.export.flatbuffer import write_bytes

MODEL_IDENTIFIER = b"TFL3"
_RUNTIME = b"min_runtime_version"  # name of metadata
_RUNTIME_BYTES = 16


def read_graph(flatbuffer: bytes) -> Any:
    """Returns a .tflite flatbuffer as the schema's `ModelT`."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(flatbuffer))


def write_graph(model: Any) -> bytes:
    """Returns the flatbuffer of a model.

    Constants are written at multiples of 16 bytes, which the converter does not care for; those
    that no operator uses are left out.

    Args:
        model: `ModelT` to write.
    """
    used = {entry.buffer for entry in model.metadata or ()}
    for graph in model.subgraphs:
        used.update(graph.tensors[number].buffer for number in _tensors_in_use(graph))
    model.buffers = [
        _AlignedBuffer(buffer.data if number in used else None, buffer.offset, buffer.size)
        for number, buffer in enumerate(model.buffers)
    ]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=MODEL_IDENTIFIER)
    return bytes(builder.Output())


def builtin_code(model: Any, operator: Any) -> int:
    """Returns the number of an operator in the schema."""
    return model.operatorCodes[operator.opcodeIndex].builtinCode


def operator_code(model: Any, builtin: int, version: int) -> int:
    """Returns the index of an operator in the model's list, to which it is added if necessary.

    Args:
        model: `ModelT` to change.
        builtin: Number of the operator in the schema.
        version: Version of its kernel.
    """
    for index, code in enumerate(model.operatorCodes):
        if (code.builtinCode, code.version) == (builtin, version):
            return index
    code: Any = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def add_buffer(model: Any, values: np.ndarray | np.generic) -> int:
    """Adds a constant to a model; returns the number of its buffer."""
    model.buffers.append(schema.BufferT(np.frombuffer(values.tobytes(), np.uint8)))
    return len(model.buffers) - 1


def _tensors_in_use(graph: Any) -> set[int]:
    """Numbers of the tensors that operators or the quantization of other tensors refer to."""
    numbers = {number for operator in graph.operators for number in operator.inputs}
    for tensor in graph.tensors:
        details = tensor.quantization and tensor.quantization.details
        if isinstance(details, schema.BlockwiseQuantizationT):
            numbers.add(details.scales)
    return numbers - {-1}  # an optional input that is left out


def require_runtime(model: Any, version: str) -> None:
    """Notes the oldest version of TensorFlow Lite that runs a model, unless it notes a newer one.

    Args:
        model: `ModelT` that the converter made.
        version: Version, as "2.17.0".
    """
    entry = next(entry for entry in model.metadata if entry.name == _RUNTIME)
    noted = model.buffers[entry.buffer].data.tobytes().rstrip(b"\0").decode()
    newest = max(noted, version, key=lambda text: tuple(map(int, text.split("."))))
    padded = newest.encode().ljust(_RUNTIME_BYTES, b"\0")
    model.buffers[entry.buffer].data = np.frombuffer(padded, np.uint8)


class _AlignedBuffer(schema.BufferT):
    """A constant at an aligned offset, as the schema requires; the generated class does not."""

    def Pack(self, builder: flatbuffers.Builder) -> int:
        if self.data is None:
            return super().Pack(builder)
        offset = write_bytes(builder, np.ascontiguousarray(self.data, np.uint8).tobytes())
        schema.BufferStart(builder)
        schema.BufferAddData(builder, offset)
        return schema.BufferEnd(builder)

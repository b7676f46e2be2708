"""Checks the structure of a .tflite file before LiteRT reads it.

LiteRT trusts a file, so that a corrupt one can crash the process or take all memory. This finds
what can be found without knowing what each operator does: offsets and indices out of range,
operators that read what nothing has written, and tensors far larger than the image that they are
computed from. The layout is that of schema.fbs in LiteRT's repository.
"""

import math
from collections.abc import Sequence

import numpy as np

from keras_poolformer.runtime.flatbuffer_reader import CorruptError, FlatbufferReader, Table

IDENTIFIER = b"TFL3"
MAX_INPUT = 2**29  # bytes of all inputs: an image of 4096 x 4096 floats in RGB has 201 MB
MIN_LIMIT = 2**26  # bytes that any tensor may have, however small the input is
# Bytes of a tensor for each byte of input: wide first layers have up to 86; the full-size logits
# of a segmenter of 256 classes, from which it takes its labels, 341.
EXPANSION = 512
MAX_RANK = 8
# Bytes of a number: {type in TensorType: bytes}.
BYTES = {0: 4, 1: 2, 2: 4, 4: 8, 7: 2, 8: 8, 10: 8, 11: 16, 12: 8, 15: 4, 16: 2, 18: 2}
ZERO_POINTS = {3: (0, 255), 7: (-(2**15), 2**15 - 1), 9: (-128, 127)}  # of uint8, int16, int8
OPTIONAL = -1  # index of an input that is absent
# Options that refer to vectors of whole numbers: {type in BuiltinOptions: field}.
RESHAPE = 17
SQUEEZE = 30
BUCKETIZE = 115
VECTOR_OPTIONS = {RESHAPE: 0, SQUEEZE: 0, BUCKETIZE: 0}
LSTM = (16, 44, 52)  # builtin operators whose second input is optional too
SUMS = (0, 41)  # ADD and SUB, whose kernels crash if the steps of a result are too fine
FINEST_STEP = 2**-14  # of a quantized sum, relative to its terms; it would clip everything


def check_model(content: bytes) -> None:
    """Raises CorruptError unless the bytes of a .tflite file have a sound structure."""
    if content[4:8] != IDENTIFIER:
        raise CorruptError("it does not begin as TFLite files do")
    try:
        _Model(FlatbufferReader(content)).check()
    except UnicodeDecodeError:
        raise CorruptError("a name in it is not UTF-8") from None


class _Model:
    """One file, and what the checks of its graphs share."""

    def __init__(self, reader: FlatbufferReader) -> None:
        self.reader = reader
        self.root = reader.root()
        self.has_data = [self._buffer_has_data(buffer) for buffer in reader.children(self.root, 4)]
        self.codes = [self._code(code) for code in reader.children(self.root, 1)]

    def check(self) -> None:
        """Raises CorruptError unless all graphs are sound."""
        read, graphs = self.reader, self.reader.children(self.root, 2)
        read.text(self.root, 3)
        if not graphs:
            raise CorruptError("it has no graph")
        counts = [_Graph(self, graph).check() for graph in graphs]
        for entry in read.children(self.root, 6):
            read.text(entry, 0)
            _require_index(read.scalar(entry, 1, "I"), len(self.has_data), "buffer")
        for signature in read.children(self.root, 7):
            graph = read.scalar(signature, 4, "I")
            _require_index(graph, len(counts), "graph")
            read.text(signature, 2)
            for tensor in (*read.children(signature, 0), *read.children(signature, 1)):
                read.text(tensor, 0)
                _require_index(read.scalar(tensor, 1, "I"), counts[graph], "tensor")

    def _buffer_has_data(self, buffer: Table) -> bool:
        start, size = (self.reader.scalar(buffer, slot, "Q") for slot in (1, 2))
        if start > 1 and start + size > len(self.reader.content):
            raise CorruptError("a buffer is outside of the file")
        return start > 1 or len(self.reader.numbers(buffer, 0, "u1")) > 0

    def _code(self, table: Table) -> int:
        self.reader.text(table, 1)
        return max(self.reader.scalar(table, 0, "b"), self.reader.scalar(table, 3, "i"))


class _Graph:
    """One graph of a model."""

    def __init__(self, model: _Model, table: Table) -> None:
        self.model, self.read, self.table = model, model.reader, table
        self.tensors = self.read.children(table, 0)
        self.inputs = [int(index) for index in self.read.numbers(table, 1)]
        self.outputs = [int(index) for index in self.read.numbers(table, 2)]

    def check(self) -> int:
        """Checks the graph; returns the number of its tensors."""
        self.read.text(self.table, 4)
        for index in (*self.inputs, *self.outputs):
            _require_index(index, len(self.tensors), "tensor")
        self._check_sizes()
        written = set(self.inputs) | {
            index for index, tensor in enumerate(self.tensors) if self._is_stored(tensor)
        }
        for operator in self.read.children(self.table, 3):
            self._check_operator(operator, written)
        if not written.issuperset(self.outputs):
            raise CorruptError("nothing computes one of its outputs")
        return len(self.tensors)

    def _check_sizes(self) -> None:
        sizes = [self._checked_bytes(tensor) for tensor in self.tensors]
        of_inputs = sum(sizes[index] for index in self.inputs)
        if of_inputs > MAX_INPUT:
            raise CorruptError(f"its inputs have {of_inputs:,} bytes; the limit is {MAX_INPUT:,}")
        limit = max(MIN_LIMIT, EXPANSION * of_inputs)
        for tensor, size in zip(self.tensors, sizes, strict=True):
            if size > limit and not self._is_constant(tensor):
                raise CorruptError(
                    f"a tensor has {size:,} bytes; the limit for its inputs is {limit:,}"
                )

    def _checked_bytes(self, tensor: Table) -> int:
        """Size of a tensor in bytes."""
        read = self.read
        read.text(tensor, 3)
        _require_index(read.scalar(tensor, 2, "I"), len(self.model.has_data), "buffer")
        shape = [int(side) for side in read.numbers(tensor, 0)]
        if len(shape) > MAX_RANK or min(shape, default=0) < 0:
            raise CorruptError(f"a tensor has the shape {shape[: MAX_RANK + 1]}")
        read.numbers(tensor, 7)
        quantization = read.child(tensor, 4)
        if quantization:
            self._check_quantization(quantization, shape, read.scalar(tensor, 1, "b"))
        if sparsity := read.child(tensor, 6):
            read.numbers(sparsity, 0)
            read.numbers(sparsity, 1)
            read.children(sparsity, 2)
        return math.prod(shape) * BYTES.get(read.scalar(tensor, 1, "b"), 1)

    def _check_quantization(self, table: Table, shape: Sequence[int], kind: int) -> None:
        read = self.read
        scales, zero_points = read.numbers(table, 2, "<f4"), read.numbers(table, 3, "<i8")
        read.numbers(table, 0, "<f4")
        read.numbers(table, 1, "<f4")
        axis = read.scalar(table, 6)
        per_channel = len(scales) > 1
        if not np.isfinite(scales).all() or not (scales >= 0 if per_channel else scales > 0).all():
            raise CorruptError("a tensor is quantized by a scale that is not a positive number")
        if per_channel and not (0 <= axis < len(shape) and shape[axis] == len(scales)):
            raise CorruptError("the scales of a tensor do not fit its shape")
        if len(zero_points) not in (0, min(1, len(scales)), len(scales)):
            raise CorruptError("a tensor must have as many zero points as scales")
        low, high = ZERO_POINTS.get(kind, (-(2**63), 2**63 - 1))
        if ((zero_points < low) | (zero_points > high)).any():
            raise CorruptError("the zero point of a tensor is not one of its values")

    def _is_constant(self, tensor: Table) -> bool:
        return self.model.has_data[self.read.scalar(tensor, 2, "I")]

    def _is_stored(self, tensor: Table) -> bool:
        return self._is_constant(tensor) or bool(self.read.scalar(tensor, 5, "B"))

    def _check_operator(self, operator: Table, written: set[int]) -> None:
        """Checks one operator, and adds its outputs to the tensors that are written."""
        read, count = self.read, len(self.tensors)
        index = read.scalar(operator, 0, "I")
        _require_index(index, len(self.model.codes), "operator code")
        code = self.model.codes[index]
        required = 1 if code in LSTM else 2
        for place, tensor in enumerate(read.numbers(operator, 1)):
            if place >= required and tensor == OPTIONAL:
                continue
            _require_index(tensor, count, "tensor")
            if int(tensor) not in written:
                raise CorruptError("an operator reads what nothing has computed")
        for tensor in map(int, read.numbers(operator, 2)):
            _require_index(tensor, count, "tensor")
            if self._is_constant(self.tensors[tensor]) or tensor in self.inputs:
                raise CorruptError("an operator writes to a constant or to an input")
            written.add(tensor)
        for tensor in read.numbers(operator, 8):
            if tensor != OPTIONAL:
                _require_index(tensor, count, "tensor")
        if code in SUMS:
            self._check_steps(operator)
        self._check_options(operator)

    def _check_steps(self, operator: Table) -> None:
        terms, results = (
            [self._scale(self.tensors[int(i)]) for i in self.read.numbers(operator, slot)]
            for slot in (1, 2)
        )
        if min(results, default=1.0) < FINEST_STEP * max(terms, default=0.0):
            raise CorruptError("the scale of a sum does not fit its terms")

    def _scale(self, tensor: Table) -> float:
        """Step of a quantized tensor, 1 for others."""
        quantization = self.read.child(tensor, 4)
        scales = self.read.numbers(quantization, 2, "<f4") if quantization else ()
        return float(scales[0]) if len(scales) == 1 else 1.0

    def _check_options(self, operator: Table) -> None:
        read = self.read
        read.numbers(operator, 5, "u1")
        read.numbers(operator, 7, "u1")
        options, kind = read.child(operator, 4), read.scalar(operator, 3, "B")
        if options and kind in VECTOR_OPTIONS:
            read.numbers(options, VECTOR_OPTIONS[kind])
        read.child(operator, 12)
        start, size = read.scalar(operator, 9, "Q"), read.scalar(operator, 10, "Q")
        if start > 1 and start + size > len(read.content):
            raise CorruptError("the options of an operator are outside of the file")


def _require_index(index: int, count: int, name: str) -> None:
    if not 0 <= index < count:
        raise CorruptError(f"it refers to {name} {index} of {count}")

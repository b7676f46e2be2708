"""Unpickles PyTorch checkpoints into plain data, without importing or calling anything they name.

A pickle is a program. The machine here runs only the instructions that `torch.save` writes, and
every global that a file may ask for is an entry of a fixed table of inert stand-ins: tensors
become descriptions of where their bytes are, and what training scripts keep with the weights
becomes an object without content. Everything else is rejected by its name.

This stays our own code: the restricted unpickler of `torch.load(weights_only=True)` needs PyTorch,
and the standard library's, even with `find_class` overridden, runs instructions that a weight file
never needs.
"""

import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from keras_poolformer.checkpoints.reading.standins import (
    GLOBALS,
    INERT,
    Global,
    Inert,
    Rejected,
    Storage,
    is_count,
    is_dict,
    is_list,
    is_tuple,
)
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

# Of all pickles in a file. Real checkpoints need some 200 bytes and 40 instructions per tensor;
# the hungriest instruction takes about 150 bytes of memory, the hungriest byte of text four.
MAX_PICKLE_BYTES = 16 * 2**20
MAX_INSTRUCTIONS = 1_000_000
MAX_NAME_BYTES = 1000
# What the pickle module's own instructions raise on a corrupt stream: stack underflow, unknown
# instruction, text that is not UTF-8.
_STREAM_ERRORS = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    LookupError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
# The pure Python machine of the pickle module. Its name is private, but every CPython has it.
_PythonMachine: Any = vars(pickle)["_Unpickler"]


class PickleReader:
    """Reads a stream exactly: never short, never beyond the limits of what a file may hold.

    Args:
        file: Binary stream.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._bytes = MAX_PICKLE_BYTES
        self._instructions = MAX_INSTRUCTIONS

    def read(self, count: int) -> bytes:
        """Returns exactly `count` bytes."""
        if count > self._bytes:
            raise Rejected(f"holds more than {MAX_PICKLE_BYTES >> 20} MiB apart from the tensors")
        data = self._file.read(count)
        if len(data) != count:
            raise EOFError
        self._bytes -= count
        return data

    def readline(self) -> bytes:
        """Returns the bytes up to the next line break, and the break."""
        line = self._file.readline(min(self._bytes, MAX_NAME_BYTES))
        if not line.endswith(b"\n"):
            raise EOFError
        self._bytes -= len(line)
        return line

    def read_instruction(self) -> int:
        """Returns the next byte, which is an instruction."""
        self._instructions -= 1
        if self._instructions < 0:
            raise Rejected(
                f"holds more than {MAX_INSTRUCTIONS} values and names apart from the tensors: save "
                "only model.state_dict()"
            )
        return self.read(1)[0]


class _WeightUnpickler(_PythonMachine):
    """A pickle machine that runs only the instructions in `dispatch`.

    It extends the pure Python machine, because the one in C cannot be restricted: that answers EXT
    instructions from the process' extension cache without asking `find_class`, hashes nested
    tuples without a guard against stack overflow, and sets the attributes of whatever a BUILD
    names.

    Args:
        reader: Reader of the stream.
        legacy: Whether storages are named as before PyTorch 1.6.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {}

    def __init__(self, reader: PickleReader, legacy: bool) -> None:
        _PythonMachine.__init__(self, reader, encoding="latin1")
        self.storages: dict[str, Storage] = {}
        self.stack: list[Any] = []
        self._legacy = legacy
        self._reader = reader

    def load(self) -> Any:
        """Runs the instructions up to STOP. (pickle's own loop counts nothing.)"""
        self.read, self.readline = self._reader.read, self._reader.readline
        self.metastack: list[list[Any]] = []
        self.stack = []
        self.proto = 0
        self.append = self.stack.append
        while (instruction := self._reader.read_instruction()) != pickle.STOP[0]:
            self.dispatch[instruction](self)
        return self.stack.pop()

    def find_class(self, module: str, name: str) -> Global:
        """Returns the stand-in of a global."""
        try:
            return GLOBALS[f"{module} {name}"]
        except KeyError:
            asked = shown(f"{module}.{name}").strip("'\"")
            is_first = not self.stack and not self.metastack
            kind = "is a whole pickled model or another object: it " if is_first else ""
            raise Rejected(
                f"{kind}asks for {asked}, which is not weight data; "
                "nothing of it was run: save model.state_dict() instead"
            ) from None

    def persistent_load(self, pid: Any) -> Storage:
        """Returns the storage that a tensor refers to."""
        expected = 6 if self._legacy else 5
        if not is_tuple(pid) or len(pid) != expected or pid[0] != "storage":
            raise Rejected("asks for an outside object that is not a tensor storage")
        kind, key, _, numel = pid[1:5]
        if not isinstance(kind, Global) or not kind.is_storage:
            raise Rejected("is corrupt: a tensor storage has an unknown type")
        if type(key) is not str or not is_count(numel):
            raise Rejected("is corrupt: a tensor storage has no name or size")
        root = Storage(key, kind.dtype, numel, 0, numel)
        if self.storages.setdefault(key, root) != root:
            raise Rejected(f"is corrupt: it describes the tensor storage {shown(key)} twice")
        return self._view(root, pid[5]) if self._legacy and pid[5] is not None else root

    def _view(self, root: Storage, view: Any) -> Storage:
        if not is_tuple(view) or len(view) != 3 or not all(map(is_count, view[1:])):
            raise Rejected("is corrupt: a view of a storage has no place or size")
        _, start, numel = view
        if start + numel > root.numel:
            raise Rejected("is corrupt: a view is larger than its storage")
        return Storage(root.key, root.dtype, root.numel, start, numel)

    def reject_instruction(self) -> None:
        raise Rejected("holds a pickle instruction that torch.save never writes")

    def load_reduce(self) -> None:
        args = self.stack.pop()
        function = self.stack[-1]
        if not isinstance(function, Global) or function.call is None or not is_tuple(args):
            raise Rejected("is corrupt: it calls something that is not a function")
        self.stack[-1] = function.call(args)

    def load_build(self) -> None:
        # The state (`_metadata` of a state dict, the options of a Namespace) holds no weights.
        self.stack.pop()
        if not is_dict(self.stack[-1]) and not isinstance(self.stack[-1], Inert):
            raise Rejected("is corrupt: it sets the state of something that has none")

    def _store_items(self, items: list[Any]) -> None:
        # Only text can name a weight. Other keys are dropped unhashed: a file could choose
        # integers that all collide, or tuples nested deeper than the C stack.
        target = self.stack[-1]
        if not (is_dict(target) or isinstance(target, Inert)) or len(items) % 2:
            raise Rejected("is corrupt: it sets items of something that is not a dictionary")
        if is_dict(target):
            pairs = zip(items[::2], items[1::2], strict=True)
            target.update((key, value) for key, value in pairs if type(key) is str)

    def load_setitem(self) -> None:
        items = [self.stack.pop(), self.stack.pop()]
        self._store_items(items[::-1])

    def load_setitems(self) -> None:
        self._store_items(self.pop_mark())

    def _store_elements(self, elements: list[Any]) -> None:
        target = self.stack[-1]
        if is_list(target):
            target.extend(elements)
        elif not isinstance(target, Inert):
            raise Rejected("is corrupt: it appends to something that is not a list")

    def load_append(self) -> None:
        element = self.stack.pop()
        self._store_elements([element])

    def load_appends(self) -> None:
        self._store_elements(self.pop_mark())

    def load_frame(self) -> None:
        self.read(8)  # how much to read ahead, which nothing here does

    def load_empty_set(self) -> None:
        self.stack.append(INERT)

    def load_frozenset(self) -> None:
        self.pop_mark()
        self.stack.append(INERT)


# These only move numbers, text, tuples and memo entries about; the pickle module's own code for
# them calls nothing. GLOBAL, STACK_GLOBAL and BINPERSID end in `find_class` and `persistent_load`.
_SAFE = (
    "PROTO MARK POP POP_MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT "
    "BINSTRING SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES "
    "BINBYTES8 TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST EMPTY_DICT BINGET LONG_BINGET "
    "BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL BINPERSID"
)


def _dispatch_table() -> dict[int, Callable[[Any], None]]:
    original: dict[int, Callable[[Any], None]] = _PythonMachine.dispatch
    safe = [getattr(pickle, name)[0] for name in _SAFE.split()]
    return {
        **dict.fromkeys(original, _WeightUnpickler.reject_instruction),
        **{instruction: original[instruction] for instruction in safe},
        pickle.REDUCE[0]: _WeightUnpickler.load_reduce,
        pickle.NEWOBJ[0]: _WeightUnpickler.load_reduce,
        pickle.BUILD[0]: _WeightUnpickler.load_build,
        pickle.SETITEM[0]: _WeightUnpickler.load_setitem,
        pickle.SETITEMS[0]: _WeightUnpickler.load_setitems,
        pickle.APPEND[0]: _WeightUnpickler.load_append,
        pickle.APPENDS[0]: _WeightUnpickler.load_appends,
        pickle.ADDITEMS[0]: _WeightUnpickler.load_appends,
        pickle.FRAME[0]: _WeightUnpickler.load_frame,
        pickle.EMPTY_SET[0]: _WeightUnpickler.load_empty_set,
        pickle.FROZENSET[0]: _WeightUnpickler.load_frozenset,
    }


_WeightUnpickler.dispatch = _dispatch_table()


def load_pickle(
    reader: PickleReader, path: Path, legacy: bool = False
) -> tuple[Any, dict[str, Storage]]:
    """Reads one pickle from a stream, and stops right behind it.

    Args:
        reader: Reader of the stream.
        path: Path of the file, for messages.
        legacy: Whether storages are named as before PyTorch 1.6, with a view as sixth value.

    Returns:
        (object, storages): the object, made of dict, list, tuple, str, numbers, `StoredTensor`
        and stand-ins without content; the storages it names, by key.

    Raises:
        InputError: The stream is corrupt, or asks for anything that is not weight data.
    """
    machine = _WeightUnpickler(reader, legacy)
    try:
        return machine.load(), machine.storages
    except Rejected as error:
        raise InputError(f"{path} {error}") from None
    except _STREAM_ERRORS as error:
        raise InputError(
            f"{path} is corrupt: its pickled part ends or breaks off "
            f"({type(error).__name__}); download or save it again"
        ) from None

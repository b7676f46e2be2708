"""Unpickles PyTorch checkpoints into plain data, without importing or calling anything they name.

A pickle is a program. The machine here runs only the instructions that `torch.save` writes, and
every global that a file may ask for is a row of a fixed table of inert stand-ins: tensors become
descriptions of where their bytes lie, and what training scripts keep beside the weights becomes
an object without content. Everything else is refused by its name.
"""

import pickle
import struct
from collections.abc import Callable
from typing import ClassVar

from keras_poolformer.checkpoints.reading.standins import (
    GLOBALS,
    INERT,
    Global,
    Inert,
    Refused,
    Storage,
    is_count,
)
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

# Of all pickles in a file. Real checkpoints need some 200 bytes and 40 instructions per tensor;
# the hungriest instruction takes about 150 bytes of memory, the hungriest byte of text four.
MAX_PICKLE_BYTES = 16 * 2**20
MAX_INSTRUCTIONS = 1_000_000
MAX_NAME_BYTES = 1000


class PickleReader:
    """Reads a stream exactly: never short, never beyond the limits of what a file may hold.

    Args:
        file: Binary stream.
    """

    def __init__(self, file):
        self._file = file
        self._bytes = MAX_PICKLE_BYTES
        self._instructions = MAX_INSTRUCTIONS

    def read(self, count):
        """Returns exactly `count` bytes."""
        if count > self._bytes:
            raise Refused(f"holds more than {MAX_PICKLE_BYTES >> 20} MiB beside the tensors")
        data = self._file.read(count)
        if len(data) != count:
            raise EOFError
        self._bytes -= count
        return data

    def readline(self):
        """Returns the bytes up to and with the next line break."""
        line = self._file.readline(min(self._bytes, MAX_NAME_BYTES))
        if not line.endswith(b"\n"):
            raise EOFError
        self._bytes -= len(line)
        return line

    def read_instruction(self):
        """Returns the next byte, which is an instruction."""
        self._instructions -= 1
        if self._instructions < 0:
            raise Refused(
                f"holds more than {MAX_INSTRUCTIONS} values and names beside the tensors: save "
                "model.state_dict() alone"
            )
        return self.read(1)[0]


class _WeightUnpickler(pickle._Unpickler):
    """The pure Python machine, because the C one cannot be closed.

    The C machine answers EXT instructions from the process' extension cache without asking
    `find_class`, hashes nested tuples without a guard against stack overflow, and sets the
    attributes of whatever a BUILD names. Here an instruction runs only if it is in `dispatch`.
    """

    dispatch: ClassVar[dict[int, Callable]] = {}

    def __init__(self, reader, legacy):
        super().__init__(reader, encoding="latin1")
        self.storages: dict[str, Storage] = {}
        self._legacy = legacy
        self._reader = reader

    def load(self):
        """Runs the instructions up to STOP. (pickle's own loop counts nothing.)"""
        self.read, self.readline = self._reader.read, self._reader.readline
        self.metastack, self.stack, self.proto = [], [], 0
        self.append = self.stack.append
        try:
            while True:
                self.dispatch[self._reader.read_instruction()](self)
        except pickle._Stop as stop:
            return stop.value

    def find_class(self, module, name):
        try:
            return GLOBALS[f"{module} {name}"]
        except KeyError:
            asked = shown(f"{module}.{name}").strip("'\"")
            is_first = not self.stack and not self.metastack
            kind = "is a whole pickled model or another object: it " if is_first else ""
            raise Refused(
                f"{kind}asks for {asked}, which is no weight data; "
                "nothing of it was run: save model.state_dict() instead"
            ) from None

    def persistent_load(self, pid):
        expected = 6 if self._legacy else 5
        if type(pid) is not tuple or len(pid) != expected or pid[0] != "storage":
            raise Refused("asks for an outside object that is no tensor storage")
        kind, key, _, numel = pid[1:5]
        if not isinstance(kind, Global) or not kind.is_storage:
            raise Refused("is damaged: it holds a tensor storage of no known type")
        if type(key) is not str or not is_count(numel):
            raise Refused("is damaged: it holds a tensor storage without name or size")
        root = Storage(key, kind.dtype, numel, 0, numel)
        if self.storages.setdefault(key, root) != root:
            raise Refused(f"is damaged: it describes the tensor storage {shown(key)} twice")
        return self._view(root, pid[5]) if self._legacy and pid[5] is not None else root

    def _view(self, root, view):
        if type(view) is not tuple or len(view) != 3 or not all(map(is_count, view[1:])):
            raise Refused("is damaged: it holds a view of a storage without place or size")
        _, start, numel = view
        if start + numel > root.numel:
            raise Refused("is damaged: it holds a view that is larger than its storage")
        return Storage(root.key, root.dtype, root.numel, start, numel)

    def _refuse_instruction(self):
        raise Refused("holds a pickle instruction that torch.save never writes")

    def _load_reduce(self):
        args = self.stack.pop()
        function = self.stack[-1]
        if not isinstance(function, Global) or function.call is None or type(args) is not tuple:
            raise Refused("is damaged: it calls something that is no function")
        self.stack[-1] = function.call(args)

    def _load_build(self):
        # The state (`_metadata` of a state dict, the options of a Namespace) holds no weights.
        self.stack.pop()
        if not isinstance(self.stack[-1], dict | Inert):
            raise Refused("is damaged: it sets the state of something that has none")

    def _store_items(self, items):
        # Only text can name a weight. Other keys are dropped unhashed: a file could choose
        # integers that all collide, or tuples nested deeper than the C stack.
        target = self.stack[-1]
        if not isinstance(target, dict | Inert) or len(items) % 2:
            raise Refused("is damaged: it sets items of something that is no dictionary")
        if type(target) is dict:
            pairs = zip(items[::2], items[1::2], strict=True)
            target.update((key, value) for key, value in pairs if type(key) is str)

    def _load_setitem(self):
        items = [self.stack.pop(), self.stack.pop()]
        self._store_items(items[::-1])

    def _load_setitems(self):
        self._store_items(self.pop_mark())

    def _store_elements(self, elements):
        if not isinstance(self.stack[-1], list | Inert):
            raise Refused("is damaged: it appends to something that is no list")
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(elements)

    def _load_append(self):
        element = self.stack.pop()
        self._store_elements([element])

    def _load_appends(self):
        self._store_elements(self.pop_mark())

    def _load_frame(self):
        self.read(8)  # how much to read ahead, which nothing here does

    def _load_empty_set(self):
        self.stack.append(INERT)

    def _load_frozenset(self):
        self.pop_mark()
        self.stack.append(INERT)

    # PROTO to MEMOIZE only move numbers, text, tuples and memo entries about; the pickle module's
    # own code for them calls nothing. GLOBAL and BINPERSID end in the two methods above.
    _SAFE = (
        "PROTO STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 "
        "LONG4 BINFLOAT BINSTRING SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES "
        "SHORT_BINBYTES BINBYTES8 TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST EMPTY_DICT "
        "BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL BINPERSID"
    )
    dispatch.update(dict.fromkeys(pickle._Unpickler.dispatch, _refuse_instruction))
    for _name in _SAFE.split():
        dispatch[getattr(pickle, _name)[0]] = pickle._Unpickler.dispatch[getattr(pickle, _name)[0]]
    dispatch |= {
        pickle.REDUCE[0]: _load_reduce, pickle.NEWOBJ[0]: _load_reduce,
        pickle.BUILD[0]: _load_build, pickle.SETITEM[0]: _load_setitem,
        pickle.SETITEMS[0]: _load_setitems, pickle.APPEND[0]: _load_append,
        pickle.APPENDS[0]: _load_appends, pickle.ADDITEMS[0]: _load_appends,
        pickle.FRAME[0]: _load_frame,
        pickle.EMPTY_SET[0]: _load_empty_set, pickle.FROZENSET[0]: _load_frozenset,
    }  # fmt: skip


def load_pickle(reader, path, legacy=False):
    """Reads one pickle from a stream, which then stands right behind it.

    Args:
        reader: A `PickleReader`.
        path: name of the file, for messages.
        legacy: whether storages are named as before PyTorch 1.6, with a view as sixth value.

    Returns:
        (object, storages): the object, made of dict, list, tuple, str, numbers, `StoredTensor`
        and stand-ins without content; the storages it names, by key.

    Raises:
        InputError: the stream is damaged or asks for anything that is no weight data.
    """
    machine = _WeightUnpickler(reader, legacy)
    try:
        return machine.load(), machine.storages
    except Refused as error:
        raise InputError(f"{path} {error}") from None
    except (
        *(pickle.UnpicklingError, EOFError, LookupError, AttributeError, TypeError, ValueError),
        *(OverflowError, RecursionError, struct.error),
    ) as error:
        # Only a broken stream gets here: stack underflow, unknown opcode, text that is no UTF-8.
        raise InputError(
            f"{path} is damaged: its pickled part ends or breaks off "
            f"({type(error).__name__}); download or save it again"
        ) from None

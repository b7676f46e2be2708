"""The inert stand-ins that a pickled checkpoint gets for the globals it asks for.

Tensors become descriptions of where their bytes are; what training scripts keep with the weights
becomes an object without content. `GLOBALS` is the whole table: there is no other name.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeGuard

MAX_DIMENSIONS = 32
MAX_ELEMENTS = 2**48

# The dtypes of torch and how their bytes are read; None: known by name, not readable with numpy.
DTYPES: dict[str, str | None] = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "<u2",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "|i1",
    "uint64": "<u8",
    "uint32": "<u4",
    "uint16": "<u2",
    "uint8": "|u1",
    "bool": "|b1",
    "complex64": None,
    "complex128": None,
    "float8_e4m3fn": None,
    "float8_e5m2": None,
    "float8_e4m3fnuz": None,
    "float8_e5m2fnuz": None,
    "float8_e8m0fnu": None,
}
WIDTHS = {dtype: int(code[-1]) for dtype, code in DTYPES.items() if code}  # bytes
_STORAGE_DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


class Rejected(pickle.UnpicklingError):
    """Something in the stream is not weight data; the message follows the file's name."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of elements in the file: `numel` of them from `start`, of the `root_numel` at `key`.

    `dtype` is None for an untyped storage, whose elements are bytes.
    """

    key: str
    dtype: str | None
    root_numel: int
    start: int
    numel: int

    @property
    def width(self) -> int:
        """Bytes per element."""
        return WIDTHS[self.dtype] if self.dtype else 1


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that has not been read yet; offset and strides count elements, as in torch."""

    storage: Storage
    dtype: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Global:
    """What the file gets for a global: its name, and what a call of it returns."""

    name: str
    call: Callable[[tuple[Any, ...]], Any] | None = None
    dtype: str | None = None
    is_storage: bool = False


class Inert:
    """Stands for a value that holds no weights; whatever the file puts into it is dropped."""

    __slots__ = ()


INERT = Inert()


def is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    """Whether a value read from a file is a tuple."""
    return type(value) is tuple


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a value read from a file is a list."""
    return type(value) is list


def is_dict(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value read from a file is a dictionary; only texts are kept as its keys."""
    return type(value) is dict


def is_count(value: object) -> bool:
    """Whether a value read from a file is a plausible number of elements."""
    return type(value) is int and 0 <= value <= MAX_ELEMENTS


def _counts(value: Any) -> tuple[int, ...]:
    if not is_tuple(value) or len(value) > MAX_DIMENSIONS:
        raise Rejected("is corrupt: a tensor's shape is not a short tuple")
    if not all(map(is_count, value)):
        raise Rejected("is corrupt: a tensor's shape is negative or not a number")
    return value


def _describe_tensor(args: tuple[Any, ...], dtype: str | None = None) -> StoredTensor:
    if len(args) < 4:
        raise Rejected("is corrupt: a tensor has too few properties")
    storage, offset, size, stride = args[:4]
    if not isinstance(storage, Storage) or not is_count(offset):
        raise Rejected("is corrupt: a tensor has no place in the file")
    dtype = dtype or storage.dtype
    if dtype is None or len(_counts(size)) != len(_counts(stride)):
        raise Rejected("is corrupt: a tensor has no dtype or too few strides")
    return StoredTensor(storage, dtype, offset, size, stride)


def _rebuild_tensor_v2(args: tuple[Any, ...]) -> StoredTensor:
    # The seventh value marks conjugated or negated views, whose bytes are not the values.
    if len(args) > 6 and args[6]:
        raise Rejected("holds a conjugated or negated tensor, which cannot be read as weights")
    return _describe_tensor(args)


def _rebuild_tensor_v3(args: tuple[Any, ...]) -> StoredTensor:
    if len(args) < 7 or not isinstance(args[6], Global) or args[6].dtype is None:
        raise Rejected("is corrupt: a tensor has no dtype")
    return _describe_tensor(args, args[6].dtype)


def _rebuild_parameter(args: tuple[Any, ...]) -> StoredTensor:
    if not args or not isinstance(args[0], StoredTensor):
        raise Rejected("is corrupt: a parameter has no tensor")
    return args[0]


def _rebuild_from_type(args: tuple[Any, ...]) -> StoredTensor:
    if len(args) != 4 or not isinstance(args[0], Global) or not is_tuple(args[2]):
        raise Rejected("is corrupt: a tensor has no properties")
    rebuild = args[0].call
    if rebuild is None or rebuild not in (
        _rebuild_tensor_v2,
        _rebuild_tensor_v3,
        _rebuild_parameter,
    ):
        raise Rejected(f"is corrupt: it calls {args[0].name} to build a tensor")
    return rebuild(args[2])


def _new_dict(args: tuple[Any, ...]) -> dict[str, Any]:
    if not args:
        return {}
    # Python 2 wrote OrderedDict as one list of pairs.
    pairs: Any = args[0]
    if len(args) != 1 or not is_list(pairs):
        raise Rejected("is corrupt: an OrderedDict is malformed")
    if not all((is_list(pair) or is_tuple(pair)) and len(pair) == 2 for pair in pairs):
        raise Rejected("is corrupt: an OrderedDict entry is malformed")
    items = {key: value for key, value in pairs if type(key) is str}
    pairs.clear()  # torch.save writes each list once; a file could name one a million times
    return items


def _ignore(args: tuple[Any, ...]) -> Inert:
    return INERT


def _statistic(args: tuple[Any, ...]) -> Inert:
    """A method that mmengine keeps in the history of a training's logs."""
    if len(args) != 2 or not isinstance(args[0], Global) or args[0].name != _HISTORY:
        raise Rejected(
            "asks for builtins.getattr, which is not weight data; nothing of it was run: save "
            "model.state_dict() instead"
        )
    return INERT


_HISTORY = "mmengine.logging.history_buffer.HistoryBuffer"
_CALLS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "collections OrderedDict": _new_dict,
    "torch._utils _rebuild_tensor": _describe_tensor,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor_v2,
    "torch._utils _rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils _rebuild_parameter": _rebuild_parameter,
    "torch._utils _rebuild_parameter_with_state": _rebuild_parameter,
    "torch._tensor _rebuild_from_type_v2": _rebuild_from_type,
    "__builtin__ getattr": _statistic,
    "builtins getattr": _statistic,
}
# Values that training scripts keep with the weights: module, and names in it. The encoded bytes of
# numpy scalars are among them: nothing here needs their value, so not even a codec is looked up.
_PATHS = tuple(
    f"{kind}{flavor}" for kind in ("", "Pure") for flavor in ("Path", "PosixPath", "WindowsPath")
)
_BUILTINS = ("set", "frozenset", "list", "dict", "slice", "complex", "bytearray")
_INERT_NAMES = {
    "argparse": ("Namespace",),
    "collections": ("defaultdict", "Counter"),
    "_codecs": ("encode",),
    "torch": ("Size", "device", "Tensor"),
    "torch.nn.parameter": ("Parameter",),
    "torch.serialization": ("_get_layout",),
    "torch.torch_version": ("TorchVersion",),
    "mmengine.logging.history_buffer": ("HistoryBuffer",),
    "numpy": ("dtype", "ndarray"),
    "numpy.core.multiarray": ("scalar", "_reconstruct"),
    "numpy._core.multiarray": ("scalar", "_reconstruct"),
    "pathlib": _PATHS,
    "pathlib._local": _PATHS,
    "builtins": _BUILTINS,
    "__builtin__": _BUILTINS,
}


def _global_table() -> dict[str, Global]:
    table = {key: Global(key.replace(" ", "."), call) for key, call in _CALLS.items()}
    for module, names in _INERT_NAMES.items():
        table |= {f"{module} {name}": Global(f"{module}.{name}", _ignore) for name in names}
    table |= {f"torch {name}": Global(f"torch.{name}", dtype=name) for name in DTYPES}
    for name, dtype in _STORAGE_DTYPES.items():
        table[f"torch {name}"] = Global(f"torch.{name}", dtype=dtype, is_storage=True)
    for module in ("torch", "torch.storage"):
        table[f"{module} UntypedStorage"] = Global(f"{module}.UntypedStorage", is_storage=True)
    return table


GLOBALS = _global_table()

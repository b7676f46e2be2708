"""The inert stand-ins that a pickled checkpoint gets for the globals it asks for.

Tensors become descriptions of where their bytes lie; what training scripts keep beside the
weights becomes an object without content. `GLOBALS` is the whole table: there is no other name.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_DIMENSIONS = 32
MAX_ELEMENTS = 2**48

# The dtypes of torch and how their bytes are read; None: known by name, not readable with numpy.
DTYPES: dict[str, str | None] = {
    "float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "<u2",
    "int64": "<i8", "int32": "<i4", "int16": "<i2", "int8": "|i1",
    "uint64": "<u8", "uint32": "<u4", "uint16": "<u2", "uint8": "|u1", "bool": "|b1",
    "complex64": None, "complex128": None, "float8_e4m3fn": None, "float8_e5m2": None,
    "float8_e4m3fnuz": None, "float8_e5m2fnuz": None, "float8_e8m0fnu": None,
}  # fmt: skip
WIDTHS = {dtype: int(code[-1]) for dtype, code in DTYPES.items() if code}
_STORAGE_DTYPES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
    "BoolStorage": "bool",
}  # fmt: skip


class Refused(pickle.UnpicklingError):
    """Something in the stream is no weight data; the message follows the file's name."""


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
    def width(self):
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
    """What the file gets when it asks for a global: a name and what a call of it stands for."""

    name: str
    call: Callable[[tuple], Any] | None = None
    dtype: str | None = None
    is_storage: bool = False


class Inert:
    """Stands for a value that holds no weights; whatever the file puts into it is dropped."""

    __slots__ = ()


INERT = Inert()


def is_count(value):
    """Whether a value read from a file is a plausible number of elements."""
    return type(value) is int and 0 <= value <= MAX_ELEMENTS


def _counts(value):
    if type(value) is not tuple or len(value) > MAX_DIMENSIONS:
        raise Refused("is damaged: it holds a tensor whose shape is no short tuple")
    if not all(is_count(item) for item in value):
        raise Refused("is damaged: it holds a tensor whose shape is negative or no number")
    return value


def _describe_tensor(args, dtype=None):
    if len(args) < 4:
        raise Refused("is damaged: it holds a tensor with too few properties")
    storage, offset, size, stride = args[:4]
    if not isinstance(storage, Storage) or not is_count(offset):
        raise Refused("is damaged: it holds a tensor without a place in the file")
    dtype = dtype or storage.dtype
    if dtype is None or len(_counts(size)) != len(_counts(stride)):
        raise Refused("is damaged: it holds a tensor without dtype or with too few strides")
    return StoredTensor(storage, dtype, offset, size, stride)


def _rebuild_tensor_v2(args):
    # The seventh value marks conjugated or negated views, whose bytes are not the values.
    if len(args) > 6 and args[6]:
        raise Refused("holds a conjugated or negated tensor, which cannot be read as weights")
    return _describe_tensor(args)


def _rebuild_tensor_v3(args):
    if len(args) < 7 or not isinstance(args[6], Global) or args[6].dtype is None:
        raise Refused("is damaged: it holds a tensor without dtype")
    return _describe_tensor(args, args[6].dtype)


def _rebuild_parameter(args):
    if not args or not isinstance(args[0], StoredTensor):
        raise Refused("is damaged: it holds a parameter without a tensor")
    return args[0]


def _rebuild_from_type(args):
    if len(args) != 4 or not isinstance(args[0], Global) or type(args[2]) is not tuple:
        raise Refused("is damaged: it holds a tensor without properties")
    if args[0].call not in (_rebuild_tensor_v2, _rebuild_tensor_v3, _rebuild_parameter):
        raise Refused(f"is damaged: it calls {args[0].name} to build a tensor")
    return args[0].call(args[2])


def _new_dict(args):
    if not args:
        return {}
    # Python 2 wrote OrderedDict as one list of pairs.
    pairs = args[0]
    if len(args) != 1 or type(pairs) is not list:
        raise Refused("is damaged: it holds a dictionary that is none")
    if any(type(pair) not in (list, tuple) or len(pair) != 2 for pair in pairs):
        raise Refused("is damaged: it holds a dictionary whose items are no pairs")
    items = {key: value for key, value in pairs if type(key) is str}
    pairs.clear()  # torch.save writes each list once; a file could name one a million times
    return items


def _ignore(args):
    return INERT


_CALLS = {
    "collections OrderedDict": _new_dict,
    "torch._utils _rebuild_tensor": _describe_tensor,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor_v2,
    "torch._utils _rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils _rebuild_parameter": _rebuild_parameter,
    "torch._utils _rebuild_parameter_with_state": _rebuild_parameter,
    "torch._tensor _rebuild_from_type_v2": _rebuild_from_type,
}
# Values that training scripts keep beside the weights. The encoded bytes of numpy scalars are
# among them: nothing here needs their value, so not even a codec is looked up.
_INERT_NAMES = (
    *("argparse Namespace", "collections defaultdict", "collections Counter", "_codecs encode"),
    *("torch Size", "torch device", "torch Tensor", "torch.nn.parameter Parameter"),
    *("torch.serialization _get_layout", "torch.torch_version TorchVersion"),
    *("numpy dtype", "numpy ndarray"),
    *(f"numpy.{core}.multiarray {name}" for core in ("core", "_core")
      for name in ("scalar", "_reconstruct")),
    *(f"{module} {kind}{flavour}" for module in ("pathlib", "pathlib._local")
      for kind in ("", "Pure") for flavour in ("Path", "PosixPath", "WindowsPath")),
    *(f"{module} {name}" for module in ("builtins", "__builtin__")
      for name in ("set", "frozenset", "list", "dict", "slice", "complex", "bytearray")),
)  # fmt: skip


def _global_table():
    table = {key: Global(key.replace(" ", "."), call) for key, call in _CALLS.items()}
    table |= {key: Global(key.replace(" ", "."), _ignore) for key in _INERT_NAMES}
    table |= {f"torch {name}": Global(f"torch.{name}", dtype=name) for name in DTYPES}
    for name, dtype in _STORAGE_DTYPES.items():
        table[f"torch {name}"] = Global(f"torch.{name}", dtype=dtype, is_storage=True)
    for module in ("torch", "torch.storage"):
        table[f"{module} UntypedStorage"] = Global(f"{module}.UntypedStorage", is_storage=True)
    return table


GLOBALS = _global_table()

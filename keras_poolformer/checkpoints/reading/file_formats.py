"""Recognizes files that are not PyTorch weights, and says what to do with them."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from keras_poolformer.support.errors import InputError

SAVE = "save model.state_dict() with torch.save"


@dataclass(frozen=True)
class Format:
    """A kind of file, recognized by its first bytes.

    Args:
        name: Name for messages, with an article.
        advice: What to do instead.
        magic: Byte strings, one of which such a file holds at `offset`.
        offset: Offset in the file.
        suffix: Suffix of such files where bytes do not suffice; "" where they do.
    """

    name: str
    advice: str
    magic: tuple[bytes, ...]
    offset: int = 0
    suffix: str = ""

    def fits(self, head: bytes, path: Path) -> bool:
        """Whether a file with these first bytes is of this kind."""
        has_magic = head.startswith(self.magic, self.offset)
        return has_magic and path.suffix.lower().endswith(self.suffix)


_PYTORCH = "convert the PyTorch weights that it was made from"
_ONNX_STARTS = tuple(
    b"\x08%c%c" % (version, tag) for version in range(1, 32) for tag in b"\x12\x3a\x42"
)
FORMATS = (
    Format(
        "a Git LFS pointer, not the file itself",
        "run `git lfs pull` to fetch it",
        (b"version https://git-lfs",),
    ),
    Format(
        "a tar archive, as PyTorch 0.1 wrote them or around other files",
        f"unpack it, or {SAVE}",
        (b"ustar",),
        offset=257,
    ),
    Format(
        "compressed", "unpack it first", (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
    ),
    Format(
        "an HDF5 file, as Keras and TensorFlow write weights of their own networks",
        "give a .keras file that this package saved, or PyTorch weights",
        (b"\x89HDF\r\n\x1a\n",),
    ),
    Format("a GGUF file of quantized language models", _PYTORCH, (b"GGUF",)),
    Format("a NumPy array", f"{SAVE} instead", (b"\x93NUMPY",)),
    Format(
        "a TensorFlow Lite model",
        "`keras-poolformer predict` and `benchmark` run it; to convert, give the weights that it "
        "was made from",
        (b"TFL3",),
        offset=4,
    ),
    Format("an ONNX program", _PYTORCH, (b"\x08",), suffix=".onnx"),
    Format("an ONNX program", _PYTORCH, _ONNX_STARTS),
)
# By a file that gives the directory away.
_DIRECTORIES = {
    "saved_model.pb": "a TensorFlow SavedModel: `keras-poolformer predict` runs it; to convert, "
    "give the weights that it was made from",
    "adapter_config.json": "an adapter (PEFT) without its base model: merge it into the base "
    "model and save that",
    "tf_model.h5": "a directory of TensorFlow weights: add the PyTorch weights",
    "flax_model.msgpack": "a directory of Flax weights: add the PyTorch weights",
    "model.onnx": f"an ONNX program: {_PYTORCH}",
}


def reject_file(head: bytes, path: Path) -> None:
    """Raises an InputError that names the format of a file, if it is a known one.

    Args:
        head: First bytes of the file.
        path: Path of the file.
    """
    for kind in FORMATS:
        if kind.fits(head, path):
            raise InputError(f"{path} is {kind.name}: {kind.advice}")


def reject_directory(path: Path) -> None:
    """Raises an InputError that names a directory without PyTorch weights, if it is a known one."""
    for name, meaning in _DIRECTORIES.items():
        if (path / name).exists():
            raise InputError(f"{path} is {meaning}")


def reject_archive(names: Collection[str], path: Path) -> None:
    """Raises an InputError that names a zip archive without a pickle, if it is a known one.

    Args:
        names: Names of its entries.
        path: Path of the file.
    """
    if names and all(name.endswith(".npy") for name in names):
        raise InputError(f"{path} is an archive of NumPy arrays (.npz): {SAVE} instead")
    if {"config.json", "model.weights.h5"} <= set(names):
        raise InputError(f"{path} is a .keras file under another name: rename it to end in .keras")

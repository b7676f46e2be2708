"""A folder of splits, ROOT/split/label/image; needs neither Keras nor TensorFlow."""

from collections.abc import Callable
from pathlib import Path

from keras_poolformer.data.folders import find_class_folders
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import did_you_mean, shown

TRAINING_FOLDER = "train"
EVALUATION_FOLDERS = ("val", "validation", "test")


def has_splits(root: str | Path) -> bool:
    """Whether a folder contains `train` with class folders, rather than a class of that name."""
    return _holds_folders(Path(root) / TRAINING_FOLDER)


def evaluation_folder(root: str | Path) -> Path | None:
    """Returns the first of `val`, `validation` and `test` in a folder of splits, or None."""
    folders = [Path(root) / name for name in EVALUATION_FOLDERS]
    return next((folder for folder in folders if folder.is_dir()), None)


def find_split(
    root: str | Path, split: str | None = None, note: Callable[[str], None] | None = None
) -> dict[str, list[Path]]:
    """Lists the images of one split, or of a folder of class folders.

    Args:
        root: Folder of splits, or of class folders.
        split: Name of the split; None for `val`, `validation` or `test`, whichever comes first.
        note: Function to call with a line about files that are skipped, or None.

    Returns:
        {name of the class folder: [path, ...]}, as `find_class_folders` returns it.

    Raises:
        InputError: There is no such split, or its images are not in class folders.
    """
    root = Path(root)
    if split is None:
        folder = evaluation_folder(root) if has_splits(root) else root
        if folder is None:
            raise InputError(
                f"{root} must hold one of {', '.join(EVALUATION_FOLDERS)} next to train: --split "
                "train measures on the training images. Received: none of them"
            )
        return find_class_folders(folder, note)
    found = sorted(path.name for path in root.glob("[!.]*") if _holds_folders(path))
    if split not in found:
        expected = f"one of {', '.join(found)}" if found else "omitted: there are no splits"
        raise InputError(
            f"--split must be {expected} in {root}.{did_you_mean(split, found)} "
            f"Received: {shown(split)}"
        )
    return find_class_folders(root / split, note)


def _holds_folders(path: Path) -> bool:
    return path.is_dir() and any(inside.is_dir() for inside in path.glob("[!.]*"))

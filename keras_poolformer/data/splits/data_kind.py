"""What data are: folders, records, a data set of tfds, or images in memory."""

import os
from enum import Enum
from pathlib import Path

from keras_poolformer.data.splits.in_memory import ImageData, is_in_memory, name_of
from keras_poolformer.data.splits.record_description import description_path, is_address
from keras_poolformer.support.errors import InputError


class DataKind(Enum):
    """What data can be."""

    FOLDERS = "folders of images"
    RECORDS = "a folder or address of records, as `keras-poolformer prepare` writes them"
    TFDS = "a data set of tensorflow-datasets"
    MEMORY = "arrays or a tf.data.Dataset"


def data_kind(
    data: ImageData, data_dir: str | os.PathLike[str] | None = None, **of_memory: object
) -> DataKind:
    """Infers what `data` is; a folder that exists takes precedence over a data set of its name.

    Args:
        data: Path, address (gs://...), name, or images in memory.
        data_dir: Folder of tfds data sets, where one was given.
        **of_memory: Options that only images in memory take; None where they were not given.

    Raises:
        InputError: `data_dir` was given with other data than a name, or an option of images in
            memory with others.
    """
    kind, name = _kind(data)
    if data_dir is not None and kind is not DataKind.TFDS:
        raise InputError(f"--data-dir goes with a tfds data set. Received: {name}")
    for option, value in of_memory.items():
        if value is not None and kind is not DataKind.MEMORY:
            raise InputError(
                f"`{option}` goes with images in memory, arrays or a tf.data.Dataset. "
                f"Received: {name}"
            )
    return kind


def _kind(data: ImageData) -> tuple[DataKind, str]:
    """What data are, and their name in errors."""
    if is_in_memory(data):
        return DataKind.MEMORY, name_of(data)
    if not is_address(data) and not Path(data).exists():
        return DataKind.TFDS, str(data)
    is_records = is_address(data) or Path(description_path(data)).exists()
    return DataKind.RECORDS if is_records else DataKind.FOLDERS, f"{data}, a path"

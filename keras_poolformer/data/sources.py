"""Finds labelled images to train on: class folders, records, or tensorflow-datasets."""

from pathlib import Path

import tensorflow as tf

from keras_poolformer.data.folder_split import open_folders
from keras_poolformer.data.records import description_path, open_records
from keras_poolformer.data.split import Split
from keras_poolformer.data.tfds_split import open_tfds
from keras_poolformer.errors import InputError

__all__ = ["Split", "open_splits"]


def open_splits(data, data_dir=None, note=None):
    """Opens labelled images; a folder that exists wins over a data set of that name.

    Args:
        data: folder ROOT/split/label/image, where the splits are `train` and perhaps `val`,
            `validation` or `test`; folder ROOT/label/image; folder or address (gs://...) of
            records that `keras-poolformer prepare` wrote; or NAME[/CONFIG][:VERSION] of a data
            set of tensorflow-datasets, of which `train` and `validation`, else `test`, are taken.
        data_dir: where data sets of tensorflow-datasets lie or are put; its own default if None.
        note: function to call with a line about files in folders that are left out, or None.

    Returns:
        (`Split` to train on, `Split` to evaluate on, or None if the data have none).

    Raises:
        InputError: there are no such data, or they are not images with a class each.
        MissingExtraError: tensorflow-datasets is needed and not installed.
    """
    is_address = "://" in str(data)
    if not is_address and not Path(data).exists():
        return open_tfds(str(data), data_dir)
    if data_dir is not None:
        raise InputError(f"--data-dir goes with a tfds data set. Received: {data}, a path")
    if is_address or tf.io.gfile.exists(description_path(data)):
        return open_records(data)
    return open_folders(data, note)

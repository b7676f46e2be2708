"""Finds labelled images to train on: class folders, records, or tensorflow-datasets."""

from pathlib import Path

import tensorflow as tf

from keras_poolformer.data.splits.folder_split import open_folders
from keras_poolformer.data.splits.record_description import checked_class_names
from keras_poolformer.data.splits.records import description_path, open_records
from keras_poolformer.data.splits.split import Split
from keras_poolformer.data.splits.tfds_split import open_tfds
from keras_poolformer.support.errors import InputError

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
        InputError: there are no such data, they are not images with a class each, or the name of
            a class is not valid.
        MissingExtraError: tensorflow-datasets is needed and not installed.
    """
    training, evaluation = _opened(data, data_dir, note)
    checked_class_names(training.class_names, f"the class names of {data}")
    return training, evaluation


def _opened(data, data_dir, note):
    if not is_address(data) and not Path(data).exists():
        return open_tfds(str(data), data_dir)
    if data_dir is not None:
        raise InputError(f"--data-dir goes with a tfds data set. Received: {data}, a path")
    return open_records(data) if holds_records(data) else open_folders(data, note)


def is_address(data):
    """Whether data are named by an address, as in gs://bucket/imagenet."""
    return "://" in str(data)


def holds_records(data):
    """Whether a folder or address holds records, as `keras-poolformer prepare` writes them."""
    return is_address(data) or tf.io.gfile.exists(description_path(data))

"""Checkpoints as files: written whole, listed by step, and read whatever their folder is called.

TensorFlow's own `CheckpointManager` takes paths for patterns: in a folder called `lr=[1e-3]` it
finds nothing. Here a checkpoint is known by its index file, which is written last.
"""

import contextlib
import os
import re
import shutil
from pathlib import Path

import tensorflow as tf

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.patterns import refuse_patterns, without_patterns

_INDEX = re.compile(r"ckpt-(\d+)\.index", re.ASCII)
_FILE = re.compile(r"ckpt-(\d+)(?:\.index|\.data-\d+-of-\d+|_temp/?)", re.ASCII)


class CheckpointFiles:
    """The checkpoints in one folder.

    Args:
        folder: Local path, or address as in gs://bucket/run.
        kept: Number of checkpoints to keep.

    Raises:
        InputError: The address holds a character that TensorFlow takes for a pattern.
    """

    def __init__(self, folder: str | Path, kept: int) -> None:
        self.folder, self._kept = str(folder), kept
        refuse_patterns(self.folder, "an address of checkpoints")

    def path(self, step: int) -> str:
        """Path of a checkpoint, without the suffixes of its files."""
        return f"{self.folder}/ckpt-{step}"

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, in ascending order."""
        found = [_INDEX.fullmatch(name) for name in self._names()]
        return sorted(int(match[1]) for match in found if match)

    def write(self, checkpoint: tf.train.Checkpoint, step: int) -> None:
        """Writes a checkpoint, then deletes old ones and those of steps after it.

        Later ones are corrupt: the run was resumed from an earlier one.
        """
        tf.io.gfile.makedirs(self.folder)
        if _is_address(self.folder):  # an object appears there when it is complete
            checkpoint.write(self.path(step))
        else:
            self._write_and_rename(checkpoint, step)
        kept = [found for found in self.steps() if found <= step][-self._kept :]
        # Index files first: without its index a checkpoint does not exist.
        for name in sorted(self._names(), key=lambda name: not name.endswith(".index")):
            match = _FILE.fullmatch(name)
            if match and (int(match[1]) not in kept or _is_temporary(name)):
                _delete(f"{self.folder}/{name}")

    def _write_and_rename(self, checkpoint: tf.train.Checkpoint, step: int) -> None:
        """Puts the files in place when they are on the disk, the index last."""
        target, temporary = Path(self.path(step)), Path(f"{self.path(step)}_temp")
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            checkpoint.write(str(temporary / target.name))
            index = target.with_name(f"{target.name}.index")
            index.unlink(missing_ok=True)
            parts = sorted(temporary.glob(f"{target.name}.data-*"))
            for part in [*parts, temporary / index.name]:
                _flush(part)
                part.replace(target.with_name(part.name))
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def read(self, checkpoint: tf.train.Checkpoint, step: int) -> None:
        """Reads a checkpoint into the variables of `checkpoint`.

        Raises:
            InputError: The checkpoint is corrupt, or another model's.
        """
        try:
            with without_patterns(self.folder) as folder:
                status = checkpoint.read(f"{folder}/ckpt-{step}")
                status.assert_existing_objects_matched()
        except (
            AssertionError,
            IndexError,
            KeyError,
            OSError,
            RuntimeError,
            tf.errors.OpError,
            TypeError,
            ValueError,
        ) as error:
            raise InputError(
                f"{self.path(step)} must be a whole checkpoint of this model. "
                f"Received: {' '.join(str(error).split())[:300]}"
            ) from None

    def _names(self) -> list[str]:
        try:
            return tf.io.gfile.listdir(self.folder)
        except tf.errors.NotFoundError:
            return []


def _is_address(path: str) -> bool:
    return "://" in path


def _is_temporary(name: str) -> bool:
    return name.rstrip("/").endswith("_temp")


def _flush(path: Path) -> None:
    """Waits until a file is on the disk, so that a power cut leaves no empty one."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _delete(path: str) -> None:
    with contextlib.suppress(tf.errors.NotFoundError):  # deleted by another process
        if tf.io.gfile.isdir(path):
            tf.io.gfile.rmtree(path)
        else:
            tf.io.gfile.remove(path)

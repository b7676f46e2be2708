"""Checkpoint files: written atomically, listed by step, in folders of any name.

This replaces TensorFlow's `CheckpointManager`, which takes paths for patterns: in a folder called
`lr=[1e-3]` it finds nothing. Here a checkpoint exists once its index file does, which is written
last.
"""

import contextlib
import os
import re
import shutil
from pathlib import Path
from typing import Any, TypeAlias

import tensorflow as tf

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.patterns import refuse_patterns, without_patterns

# TensorFlow loads its submodules lazily, so type checkers do not see tf.train.Checkpoint.
Checkpoint: TypeAlias = Any
_INDEX = re.compile(r"ckpt-(\d+)\.index", re.ASCII)
_FILE = re.compile(r"ckpt-(\d+)(?:\.index|\.data-\d+-of-\d+|_temp/?)", re.ASCII)


class CheckpointFiles:
    """The checkpoints in one folder.

    Args:
        folder: Local path, or address, as in gs://bucket/run.
        kept: Number of checkpoints to keep.

    Raises:
        InputError: The address holds a character that TensorFlow takes for a pattern.
    """

    def __init__(self, folder: str | Path, kept: int) -> None:
        self.folder: str = str(folder)
        self._kept = kept
        refuse_patterns(self.folder, "an address of checkpoints")

    def path(self, step: int) -> str:
        """Returns the path of a checkpoint, without the suffixes of its files."""
        return f"{self.folder}/ckpt-{step}"

    def steps(self) -> list[int]:
        """Returns the steps of the complete checkpoints, in ascending order."""
        found = [_INDEX.fullmatch(name) for name in self._names()]
        return sorted(int(match[1]) for match in found if match)

    def write(self, checkpoint: Checkpoint, step: int) -> None:
        """Writes a checkpoint, then deletes old ones and those of later steps.

        Later ones are corrupt, since the run was resumed from an earlier one.

        Args:
            checkpoint: State to write.
            step: Step of the state.
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

    def _write_and_rename(self, checkpoint: Checkpoint, step: int) -> None:
        """Moves the files into place once they are on disk, the index last."""
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

    def read(self, checkpoint: Checkpoint, step: int) -> None:
        """Reads a checkpoint.

        Args:
            checkpoint: Object whose variables get the values.
            step: Step of the checkpoint.

        Raises:
            InputError: The checkpoint is corrupt, or one of another model.
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
                f"{self.path(step)} must be an intact checkpoint of this model. "
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
    """Waits until a file is on disk, so that a power cut does not leave an empty one."""
    with path.open("r+b") as file:  # Windows flushes only what may be written
        os.fsync(file.fileno())


def _delete(path: str) -> None:
    with contextlib.suppress(tf.errors.NotFoundError):  # deleted by another process
        if tf.io.gfile.isdir(path):
            tf.io.gfile.rmtree(path)
        else:
            tf.io.gfile.remove(path)

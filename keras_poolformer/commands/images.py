"""The image files that a command is given."""

from pathlib import Path

from keras_poolformer.data.folders import IMAGE_SUFFIXES
from keras_poolformer.errors import InputError


def image_files(paths):
    """The image files among paths and in folders, in order; none of them missing."""
    files = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
            if not inside:
                suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
                raise InputError(f"{path} holds no image files ({suffixes})")
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise InputError(f"{path} must be an image file or a folder. Received: no such file")
    return files

import contextlib
import io

import numpy as np
import pytest

from keras_poolformer.cli import main
from tests.shared import shared_folder
from tests.training import runs


@pytest.fixture
def plain():
    """No mixing, no smoothing."""
    from keras_poolformer.data.augmentation.mixing import Mixing

    return Mixing(mixup=0.0, cutmix=0.0, label_smoothing=0.0)


@pytest.fixture(scope="session")
def photo_batch(rgb_photographs):
    """float32 (4, 64, 64, 3), normalised crops of photographs, and int64 labels."""
    crops = [
        np.asarray(photo.resize((96, 96)))[y : y + 64, x : x + 64]
        for photo, (y, x) in zip(
            [*rgb_photographs, rgb_photographs[0]],
            [(0, 0), (16, 8), (30, 30), (5, 25)],
            strict=True,
        )
    ]
    images = (np.stack(crops).astype(np.float32) / 255 - 0.45) / 0.225
    return images, np.array([0, 2, 1, 2])


@pytest.fixture(scope="session")
def photo_folders(rgb_photographs, tmp_path_factory):
    """ROOT/train and ROOT/test: crops of three photographs, which are the classes."""

    def crop_photographs(root):
        random = np.random.default_rng(0)
        for split, count in (("train", 16), ("test", 4)):
            for label, photo in enumerate(rgb_photographs):
                folder = root / split / f"photo_{label}"
                folder.mkdir(parents=True)
                for number in range(count):
                    x, y = random.integers(0, 100, 2)
                    crop = photo.resize((160, 160)).crop((x, y, x + 48, y + 48))
                    crop.save(folder / f"{number}.png")

    return shared_folder(tmp_path_factory, "photos", crop_photographs)


@pytest.fixture(scope="session")
def trained_and_report(photo_folders, tmp_path_factory):
    """A working directory after training with averaged weights, and what `train --json` printed."""

    def run(folder):
        printed = io.StringIO()
        arguments = runs.arguments(photo_folders, folder / "run", runs.LEARNING, ["--json"])
        with contextlib.redirect_stdout(printed):
            assert main(arguments) == 0
        (folder / "printed.json").write_text(printed.getvalue(), encoding="utf-8", newline="\n")

    folder = shared_folder(tmp_path_factory, "trained", run)
    return folder / "run", (folder / "printed.json").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def trained(trained_and_report):
    return trained_and_report[0]

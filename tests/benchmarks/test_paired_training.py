"""Both sides of the paired training, at toy scale, and what is made of their figures."""

import dataclasses
import json
import math

import numpy as np
import pytest
from PIL import Image

from benchmarks import paired_sides, paired_training
from conversion import cifar10
from keras_poolformer.support.errors import InputError

# timm leaves the files that it has read open.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
SMALL = {"epochs": 2, "warmup_epochs": 1.0, "held_out": 0, "head": "pool_norm", "size": 32}
# No image is changed, and none is mixed: what is left is the loop.
FIXED = {
    "crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": 0.0, "mixup": 0.8,
    "probability": 0.0, "ema_decay": 0.5, "epochs": 6, "warmup_learning_rate": 0.005,
}  # fmt: skip
IMAGES = 4  # of each class, in each of the files


def recipe_of(**settings):
    """The recipe for a network of a block a stage."""
    recipe = paired_sides.recipe_of(SMALL | settings)
    return dataclasses.replace(recipe, config=recipe.config.replace(**SIZE))


SIZE = {"depths": (1, 1, 1, 1), "widths": (8, 16, 24, 32)}


@pytest.fixture(scope="module")
def data(tmp_path_factory, rgb_photographs):
    """CIFAR-10's files with crops of photographs."""
    folder = tmp_path_factory.mktemp("cifar")
    photographs = [np.asarray(photo.resize((96, 96))) for photo in rgb_photographs]
    random = np.random.default_rng(0)
    for name in (name for names in cifar10.SPLITS.values() for name in names):
        records = []
        for label in np.tile(np.arange(10), IMAGES):
            y, x = random.integers(0, 64, 2)
            crop = photographs[random.integers(3)][y : y + 32, x : x + 32]
            records.append(np.concatenate([[label], crop.transpose(2, 0, 1).ravel()]))
        np.stack(records).astype(np.uint8).tofile(folder / name)
    return folder


@pytest.fixture
def prepared(data, tmp_path):
    """The folder that both sides read, without weights."""
    folder = tmp_path / "bench"
    paired_training.prepare(data, folder, SMALL, [])
    return folder


def both(recipe, folder, seed=0):
    """What both sides return."""
    weights = folder / "weights.safetensors"
    paired_sides.make_weights(recipe, seed, weights)
    arguments = recipe, folder / "images", weights, seed
    return paired_sides.ours(*arguments, folder / "run"), paired_sides.timms(*arguments)


def test_without_randomness_both_loops_are_one(prepared):
    """A step an epoch, of all images: rates, decay, smoothing, averages and scores are timm's."""
    recipe = recipe_of(**FIXED, batch_size=5 * 10 * IMAGES, learning_rate=0.01, weight_decay=0.5)
    ours, timm = both(recipe, prepared)
    assert len(ours["losses"]) == FIXED["epochs"]
    assert timm["losses"][-1] < timm["losses"][0] - 0.1
    for name in ("losses", "loss"):  # measured: 3.6e-7 and 2.0e-7
        errors = np.abs(np.divide(ours[name], timm[name]) - 1)
        print(f"largest relative error of {name}: {errors.max():.1e}")
        np.testing.assert_allclose(ours[name], timm[name], rtol=2e-6)
    np.testing.assert_allclose(ours["top1"], timm["top1"], atol=1e-4)


@pytest.mark.slow
def test_the_command_trains_both_sides_with_the_whole_recipe(data, tmp_path, monkeypatch, capfd):
    settings = paired_training.SETTINGS | {"epochs": 2, "batch_size": 8}
    monkeypatch.setattr(paired_training, "SETTINGS", settings)
    arguments = ["--data", str(data), "--output", str(tmp_path / "bench"), "--seeds", "0", "1"]
    assert paired_training.main(arguments) == 0
    assert "| mean | " in capfd.readouterr().out
    assert (tmp_path / "bench" / "curves.png").exists()
    for seed in (0, 1):
        ours, timm = (
            json.loads((tmp_path / "bench" / f"{side}_{seed}.json").read_text(encoding="utf-8"))
            for side in paired_sides.SIDES
        )
        assert len(ours["losses"]) == len(timm["losses"]) == paired_sides.LOSSES
        assert len(ours["top1"]) == len(timm["top1"]) == 2
        # Before the rate has risen, both see the same network.
        assert ours["losses"][0] == pytest.approx(timm["losses"][0], rel=0.1)


def test_runs_that_have_ended_are_kept(prepared, capfd):
    """A side's command trains only what is missing."""
    settings = json.dumps(SMALL)
    for seed in (0, 1):
        (prepared / f"timm_{seed}.json").write_text("{}", encoding="utf-8", newline="\n")
    arguments = ["timm", str(prepared), "--settings", settings, "--seeds", "0", "1"]
    assert paired_sides.main(arguments) == 0
    assert capfd.readouterr().err == ""
    assert (prepared / "timm_1.json").read_text(encoding="utf-8") == "{}"


def test_other_settings_need_another_folder(data, prepared):
    paired_training.prepare(data, prepared, SMALL, [])
    with pytest.raises(InputError, match="other settings"):
        paired_training.prepare(data, prepared, SMALL | {"size": 64}, [])


def record_of(ours, timm):
    """A record of runs that end at these figures."""
    runs = {
        side: [{"losses": [2.3, 1.9, 1.8, 1.7], "top1": [30.0, value]} for value in values]
        for side, values in (("ours", ours), ("timm", timm))
    }
    return {
        "settings": {"epochs": 2, "size": 32},
        "images": {"train": 20000, "test": 10000},
        "versions": {"tensorflow": "2.21", "torch": "2.9", "timm": "1.0"},
        "seeds": list(range(len(ours))),
        "runs": runs,
    }


def test_the_difference_is_that_of_a_paired_t_test():
    from scipy import stats

    ours, timm = [60.0, 61.5, 59.0], [60.5, 60.5, 59.5]
    mean, error = paired_training.difference(record_of(ours, timm))
    assert mean == pytest.approx(np.mean(ours) - np.mean(timm))
    assert mean / error == pytest.approx(stats.ttest_rel(ours, timm).statistic)


def test_the_table_names_each_seed_and_the_verdict():
    record = record_of([60.0, 61.5, 59.0], [60.5, 60.5, 59.5])
    table = paired_training.table(record)
    assert "| 1 | 61.50 % | 60.50 % | +1.00 |" in table
    assert "| mean | 60.17 % | 60.17 % | +0.00 ± 0.50 |" in table
    assert "differ by at most 2 standard errors" in table
    apart = record_of([62.0, 62.1, 61.9], [60.0, 60.2, 60.0])
    assert "differ by more than 2 standard errors" in paired_training.table(apart)
    assert math.isclose(paired_training.difference(apart)[0], 1.9333, abs_tol=1e-4)


def test_the_picture_has_a_line_for_each_run(tmp_path):
    path = tmp_path / "curves.png"
    paired_training.draw(record_of([60.0, 61.5], [60.5, 60.5]), path)
    with Image.open(path) as picture:
        assert picture.width > 2 * picture.height
        colors = {color for _, color in picture.convert("RGB").getcolors(1 << 20)}
    assert len(colors) > 100

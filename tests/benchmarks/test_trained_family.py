"""The benchmark of trained networks of each family, at toy scale, and its table."""

import numpy as np
import pytest

from benchmarks import trained_family
from benchmarks.formats import KERAS, MEASURED, file_of
from conversion import cifar10
from keras_poolformer import MetaFormerConfig
from keras_poolformer.families import family_of


def write_cifar10(folder, images):
    """CIFAR-10's files with as many images of noise each, whose brightness tells the class."""
    rng = np.random.default_rng(0)
    for name in (name for names in cifar10.SPLITS.values() for name in names):
        labels = np.arange(images) % len(cifar10.LABELS)
        pixels = rng.integers(0, 40, (images, cifar10.RECORD_BYTES - 1)) + 20 * labels[:, None]
        records = np.concatenate([labels[:, None], pixels], axis=1).astype(np.uint8)
        records.tofile(folder / name)


@pytest.mark.parametrize("variant", trained_family.VARIANTS)
def test_a_small_network_is_of_its_family(variant):
    original = MetaFormerConfig.from_variant(variant)
    small = trained_family.small_config(variant, 64)
    resized = {"depths": original.depths, "widths": original.widths}
    others = ("drop_path_rate", "initializer_range", "num_tokens")
    kept = {name: getattr(original, name) for name in others}
    assert small.replace(**resized, **kept) == original
    assert family_of(small) == family_of(original)
    assert small.image_side in (None, 64)


def test_a_network_learns_with_the_optimizer_of_its_family():
    optimizers = {
        variant: trained_family.recipe_of(variant, 5).optimizer
        for variant in trained_family.VARIANTS
    }
    assert {name for name, optimizer in optimizers.items() if optimizer == "lamb"} == {
        "caformer_s18"
    }


@pytest.mark.slow
def test_the_command_trains_resumes_and_measures(tmp_path, monkeypatch, capsys):
    write_cifar10(tmp_path, images=30)
    monkeypatch.setattr(trained_family, "VARIANTS", ("randformer_s12",))
    monkeypatch.setattr(trained_family, "DEPTHS", (1, 1, 1, 1))
    monkeypatch.setattr(trained_family, "WIDTHS", (8, 8, 8, 8))
    arguments = ["--data", tmp_path, "--workdir", tmp_path / "run", "--epochs", "1"]
    arguments = [*map(str, arguments), "--calibration-images", "4"]
    assert trained_family.main(arguments) == 0
    first = capsys.readouterr().out
    assert "| RandFormer | 0.0" in first
    assert trained_family.main(arguments) == 0
    assert capsys.readouterr().out == first
    steps = (
        (tmp_path / "run" / "randformer_s12" / "log.csv")
        .read_text(encoding="utf-8")
        .splitlines()[1:]
    )
    assert len(steps) == 150 // trained_family.BATCH_SIZE


def test_the_table_has_points_and_megabytes():
    formats = {file_of(name): {"top1": 71.5, "bytes": 1_230_000} for name in MEASURED}
    formats |= {KERAS: {"top1": 71.6, "bytes": 5}, file_of("fp32"): {"top1": 71.6, "bytes": 10**6}}
    record = {"families": {"CAFormer": {"parameters": 512_345, "formats": formats}}}
    row = "| CAFormer | 0.51 M | 71.60 % | +0.00, 1.00 | -0.10, 1.23 | -0.10, 1.23 | -0.10, 1.23 |"
    assert row in trained_family.table(record)

"""What training does for networks of the second paper."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

from keras_poolformer import MetaFormerConfig, PoolFormerImageClassifier
from keras_poolformer.cli import main
from keras_poolformer.support.errors import InputError
from keras_poolformer.training import starting
from keras_poolformer.training.building import build_model
from keras_poolformer.training.recipes import get_recipe
from keras_poolformer.training.writing import write_model
from keras_poolformer.variants import VARIANTS

NAMES = ("cat", "dog", "owl")
SMALL = {"depths": (1, 1, 1, 1), "widths": (8, 16, 32, 32)}
MIXERS = ("pooling", "sep_conv", "attention", "attention")


@pytest.mark.first(2)
@pytest.mark.parametrize(
    ("config", "stem"),
    [
        (VARIANTS["poolformer_s12"].replace(**SMALL), "patch_embed.proj"),
        (VARIANTS["caformer_s18"].replace(**SMALL), "downsample_layers.0.conv"),
        (MetaFormerConfig(**SMALL, token_mixers=MIXERS, head="pool_norm"), "stem.conv"),
        (
            MetaFormerConfig(**SMALL, token_mixers=("random",) * 4, num_tokens=(256, 64, 16, 4)),
            None,
        ),
    ],
    ids=["sail", "metaformer", "timm", "none"],
)
def test_a_model_is_written_for_the_library_that_has_it(config, stem, tmp_path):
    model = PoolFormerImageClassifier(config.replace(num_classes=3))
    write_model(tmp_path / "model", model, SimpleNamespace(use_ema=False), step=1)
    assert (tmp_path / "model.keras").exists()
    path = tmp_path / "model.safetensors"
    assert path.exists() == bool(stem)
    if stem:
        assert f"{stem}.weight" in load_file(path)


def test_random_matrices_are_drawn_from_the_seed_and_do_not_train():
    recipe = get_recipe("randformer_s12_in1k").replace(**SMALL)
    first, again, other = (build_model(recipe, NAMES, None, seed).model for seed in (1, 1, 2))
    drawn = []
    for model in (first, again, other):
        trained = {id(variable) for variable in model.trainable_variables}
        drawn.append([
            np.asarray(variable)
            for variable in model.weights
            if id(variable) not in trained and len(variable.shape) == 2
        ])  # fmt: skip
    assert [matrix.shape for matrix in drawn[0]] == [(196, 196), (49, 49)]
    for one, same, different in zip(*drawn, strict=True):
        np.testing.assert_array_equal(one, same)
        assert not np.allclose(one, different, rtol=1e-3)


def test_random_mixing_trains_at_its_own_size():
    recipe = get_recipe("randformer_s12_in1k").replace(**SMALL, size=192)
    with pytest.raises(InputError, match=r"`size` must be 224, .* Received: size=192"):
        build_model(recipe, NAMES, None, 0)


def test_fine_tuning_sets_the_dropouts_of_the_weights():
    recipe = get_recipe("caformer_s18_in1k_384")
    config = starting.config_on(recipe, VARIANTS["caformer_s18"], NAMES, "caformer_s18_in1k")
    assert (config.drop_path_rate, config.head_dropout_rate) == (0.3, 0.4)


@pytest.mark.slow
def test_training_then_fine_tuning(photo_folders, tmp_path):
    """As the authors do it, on a small CAFormer and few steps."""
    data = ["train", "--data", str(photo_folders), "--skip-validation"]
    small = ["batch_size=8", "epochs=3", "size=64", "steps_per_call=2"]
    shape = [f"{name}={value}" for name, value in SMALL.items()]
    trained, tuned = tmp_path / "trained", tmp_path / "tuned"
    recipe = ["--recipe", "caformer_s18_in1k", "--workdir", str(trained), "--set", *small, *shape]
    rates = ["learning_rate=0.02", "warmup_epochs=1", "cooldown_epochs=0"]
    assert main([*data, *recipe, *rates]) == 0
    with (trained / "evaluations.csv").open(encoding="utf-8") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[2] < losses[1] < losses[0]
    init = ["--init", str(trained / "model.keras"), "--workdir", str(tuned)]
    recipe = ["--recipe", "caformer_s18_in1k_384", *init, "--set", *small, "learning_rate=1e-3"]
    assert main([*data, *recipe]) == 0
    description = json.loads((tuned / "run.json").read_text(encoding="utf-8"))
    assert description["config"]["head_dropout_rate"] == 0.4
    assert description["config"]["token_mixers"] == ["sep_conv"] * 2 + ["attention"] * 2
    assert (description["optimizer"], description["schedule"]) == ("lamb", "constant")

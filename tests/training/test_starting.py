"""What `--init` brings, what a setting overrides, and what is said and recorded of both."""

import dataclasses
import json

import numpy as np
import pytest

from keras_poolformer import ImageTransform, PoolFormerImageClassifier
from keras_poolformer.cli import main
from keras_poolformer.data.augmentation.augment import normalize
from keras_poolformer.support.errors import InputError
from keras_poolformer.training.recipes import get_recipe
from keras_poolformer.training.starting import config_on, needs_fresh_classifier, recipe_on
from tests.helpers import TINY
from tests.training import runs

CLASSES = ("photo_0", "photo_1", "photo_2")
TRANSFORM = ImageTransform(
    size=48, crop_pct=0.8, interpolation="bilinear", mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.3)
)


def recipe_with(**settings):
    return get_recipe("finetune").replace(**settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("drop_path_rate", 0.3),
        ("dropout_rate", 0.1),
        ("activation", "relu"),
        ("head", "pool_norm"),
        ("pool_size", 5),
        ("depths", TINY.depths),  # as in the checkpoint
    ],
)
def test_settings_that_fit_the_weights_are_honored(name, value):
    config = config_on(recipe_with(**{name: value}), TINY, CLASSES, "x.pth")
    expected = TINY.replace(**{name: value}, num_classes=3, labels=CLASSES)
    assert config == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("depths", (1, 1, 1, 2)),
        ("widths", (8, 8, 16, 32)),
        ("patch_sizes", (5, 3, 3, 3)),
        ("mlp_ratio", 2.0),
        ("use_layer_scale", False),
        ("layer_scale_init", 0.5),
    ],
)
def test_settings_that_contradict_the_weights_are_rejected(name, value):
    with pytest.raises(InputError, match=f"`{name}` comes from the weights of x.pth.*leave it out"):
        config_on(recipe_with(**{name: value}), TINY, CLASSES, "x.pth")


@pytest.mark.parametrize(
    ("classifier", "labels", "class_names", "fresh"),
    [
        ("auto", CLASSES, CLASSES, False),
        ("auto", CLASSES, ("a", "b", "c"), True),
        ("auto", CLASSES, CLASSES[::-1], True),
        ("auto", None, ("a", "b", "c"), False),
        ("auto", None, ("a", "b"), True),
        ("keep", CLASSES, ("a", "b", "c"), False),
        ("keep", CLASSES, ("a", "b"), True),
        ("fresh", CLASSES, CLASSES, True),
    ],
)
def test_the_classifier_of_other_classes_is_replaced(classifier, labels, class_names, fresh):
    recipe, config = recipe_with(classifier=classifier), TINY.replace(labels=labels)
    assert needs_fresh_classifier(recipe, config, class_names) == fresh


def test_the_transform_is_the_checkpoints_but_for_what_is_chosen():
    recipe = recipe_on(recipe_with(size=64), TINY, TRANSFORM)
    assert recipe.transform == TRANSFORM.replace(size=64)
    assert recipe.augmentation.interpolation == "random"
    chosen = {"size": 64, "crop_pct": 1.0, "std": (0.1, 0.2, 0.3), "interpolation": "bicubic"}
    recipe = recipe_on(recipe_with(**chosen), TINY, TRANSFORM)
    assert recipe.transform == TRANSFORM.replace(**chosen)
    assert recipe.augmentation.std == (0.1, 0.2, 0.3)
    assert recipe.augmentation.mean == TRANSFORM.mean


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rescale_factor": 1 / 127.5},
        {"do_rescale": False, "mean": (120.0, 110.0, 100.0), "std": (60.0, 50.0, 40.0)},
        {"do_normalize": False},
        {"crop_mode": "hf", "do_rescale": False, "do_normalize": False},
    ],
)
def test_training_images_are_normalized_as_those_for_evaluation(options):
    recipe = recipe_on(recipe_with(size=16), TINY, TRANSFORM.replace(**options))
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    expected = recipe.transform.normalize(pixels)
    received = normalize(recipe.augmentation, pixels)
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_a_crop_in_pixels_keeps_its_share():
    transform = ImageTransform(size=256, crop_size=224, crop_pct=None, crop_mode="hf")
    recipe = recipe_on(recipe_with(size=64), TINY, transform)
    assert recipe.transform.output_size == 64
    assert recipe.transform.crop_pct == pytest.approx(224 / 256)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A preset folder with a transform of its own."""
    folder = tmp_path_factory.mktemp("checkpoint") / "mine"
    model = PoolFormerImageClassifier(TINY.replace(labels=("x", "y", "z"), layer_scale_init=0.5))
    model.save_to_preset(folder, transform=TRANSFORM)
    return folder


@pytest.fixture
def fine_tune(photo_folders, checkpoint, tmp_path, capfd):
    """Takes one step of fine-tuning, without an evaluation; returns (status, stderr)."""

    def fine_tune(*settings, init=checkpoint):
        options = ["--init", str(init)] if init else []
        arguments = [
            "train", "--recipe", "finetune", *options, "--data", str(photo_folders / "train"),
            "--workdir", str(tmp_path / "run"), "--max-steps", "1", "--skip-validation",
            "--set", "size=32", "batch_size=8", *settings,
        ]  # fmt: skip
        capfd.readouterr()
        return main(arguments), capfd.readouterr().err

    return fine_tune


def test_a_run_is_what_run_json_and_the_first_lines_say(fine_tune, checkpoint, tmp_path):
    status, said = fine_tune("activation=relu", "crop_pct=1.0", "frozen=backbone")
    assert status == 0, said
    described = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    model = PoolFormerImageClassifier.from_preset(str(tmp_path / "run" / "model.keras"))
    assert described["config"] == json.loads(json.dumps(model.config.to_dict()))
    assert (model.config.activation, model.config.labels) == ("relu", CLASSES)
    assert described["transform"] == model.provenance["transform"]
    assert described["transform"]["mean"] == described["augmentation"]["mean"] == [0.5, 0.4, 0.3]
    for text in (
        f"weights of {checkpoint}, fresh classifier, 3 classes",
        f"{2 * 16 + 16 * 3 + 3:,} of {model.count_params():,} parameters train (frozen=backbone)",
        "activation=relu instead of gelu",
        "crop_pct=1 instead of 0.8",
        "size=32 instead of 48",
        "learning rate 0.0075 for this batch_size (batch_scaling=sqrt)",
    ):
        assert text in said
    assert "mean=(0.5, 0.4, 0.3) instead" not in said
    start = PoolFormerImageClassifier.from_preset(checkpoint)
    for ours, theirs in zip(model.backbone.weights, start.backbone.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("settings", "init", "message"),
    [
        ([], None, "name them with --init"),
        (["widths=(8,8,16,32)"], "checkpoint", "`widths` comes from the weights of"),
        (["in_channels=1"], "checkpoint", "training reads RGB images"),
        (["in_channels=1", "needs_init=false"], None, "training reads RGB images"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    settings, init, message, fine_tune, checkpoint, tmp_path
):
    status, said = fine_tune(*settings, init=init and checkpoint)
    last = said.strip().splitlines()[-1]
    assert status == 2 and last.startswith("keras-poolformer train: error: ") and message in last
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_of_the_first_version_is_resumed(photo_folders, tmp_path):
    arguments = runs.arguments(photo_folders, tmp_path, options=["--skip-validation"])
    assert main([*arguments, "--max-steps=2"]) == 0
    path = tmp_path / "run.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    recipe = get_recipe("poolformer_tiny_cifar10")
    newer = ("backbone_learning_rate_scale", "classifier", "optimizer", "patience", "schedule")
    for name in ("version", *newer):
        del described[name]
    del described["config"]["problem_type"]
    described["config"] |= {"num_classes": recipe.config.num_classes, "labels": None}
    path.write_text(json.dumps(described), encoding="utf-8", newline="\n")
    assert main([*arguments, "--max-steps=4"]) == 0
    assert len(runs.losses(tmp_path)) == 4


def test_fine_tuning_learns_fast_in_the_head_and_slowly_in_the_backbone(photo_batch):
    from keras_poolformer.training.building import build_optimizer, build_schedule

    model = PoolFormerImageClassifier(TINY.replace(layer_scale_init=0.5))
    recipe = recipe_with(warmup_epochs=0.0, weight_decay=0.0)
    optimizer = build_optimizer(recipe, model, build_schedule(recipe, steps_per_epoch=10))
    before = [variable.numpy() for variable in model.trainable_variables]
    gradients = [np.ones(variable.shape, np.float32) for variable in model.trainable_variables]
    optimizer.apply(gradients, model.trainable_variables)
    for variable, old in zip(model.trainable_variables, before, strict=True):
        scale = 1.0 if variable.path.startswith("head") else recipe.backbone_learning_rate_scale
        # The first step of Adam is the learning rate itself.
        np.testing.assert_allclose(old - variable, recipe.learning_rate * scale, rtol=1e-2)


def test_a_recipe_knows_what_was_chosen():
    recipe = recipe_with(size=64).replace(head="pool_norm")
    assert recipe.chosen == {"size", "head"}
    assert dataclasses.replace(recipe, epochs=3).chosen == {"size", "head"}
    assert "chosen" not in recipe.to_dict()

import dataclasses
import inspect
import json

import pytest
import timm.optim
import torch

from keras_poolformer import PoolFormerImageClassifier
from keras_poolformer.data.augmentation.augment import Augmentation
from keras_poolformer.support.errors import InputError
from keras_poolformer.training import RECIPE_SUMMARIES, Lamb
from keras_poolformer.training.building import build_optimizer, build_schedule
from keras_poolformer.training.imagenet import FINE_TUNED, TRAINED
from keras_poolformer.training.recipes import RECIPES, get_recipe
from keras_poolformer.variants import VARIANTS

# The stochastic depth of sail-sg's README and of the cards.
DROP_PATH = {"s12": 0.1, "s24": 0.1, "s36": 0.2, "m36": 0.3, "m48": 0.4}
CROP_PCT = {"s12": 0.9, "s24": 0.9, "s36": 0.9, "m36": 0.95, "m48": 0.95}
# scripts/ of sail-sg/metaformer: optimizer, learning rate, warm-up; drop path and head dropout of
# each size.
SCRIPTS = {
    "poolformerv2": ("adamw", 4e-3, 5, (0.1, 0.1, 0.2, 0.3, 0.4), (0,) * 5),
    "identityformer": ("adamw", 4e-3, 5, (0.1, 0.1, 0.2, 0.3, 0.4), (0,) * 5),
    "randformer": ("adamw", 4e-3, 5, (0.1, 0.1, 0.2, 0.3, 0.3), (0,) * 5),
    "convformer": ("adamw", 4e-3, 20, (0.2, 0.3, 0.4, 0.6), (0, 0, 0, 0)),
    "caformer": ("lamb", 8e-3, 20, (0.15, 0.3, 0.4, 0.6), (0, 0.4, 0.4, 0.5)),
}
SCRIPTS_384 = {
    "convformer": ("adamw", 5e-5, 0, (0.3, 0.5, 0.8, 0.8), (0.4, 0.4, 0.5, 0.5)),
    "caformer": ("lamb", 1e-4, 0, (0.3, 0.5, 0.7, 0.8), (0.4, 0.4, 0.4, 0.5)),
}
DIFFERENT = (
    "batch_scaling", "clip_norm", "epsilon", "learning_rate", "optimizer", "warmup_epochs"
)  # fmt: skip
SIZES = {4: ("s18", "s36", "m36", "b36"), 5: ("s12", "s24", "s36", "m36", "m48")}


@pytest.mark.parametrize("variant", DROP_PATH)
def test_the_imagenet_recipes_are_the_authors(variant):
    """sail-sg: train.py, its README's command lines and issue 20."""
    recipe = get_recipe(f"poolformer_{variant}_in1k")
    assert recipe.config.drop_path_rate == DROP_PATH[variant]
    assert recipe.transform.crop_pct == CROP_PCT[variant]
    assert (recipe.batch_size, recipe.learning_rate, recipe.weight_decay) == (4096, 4e-3, 0.05)
    assert (recipe.epochs, recipe.warmup_epochs, recipe.cooldown_epochs) == (300, 5, 10)
    assert (recipe.warmup_learning_rate, recipe.min_learning_rate) == (1e-6, 1e-5)
    assert (recipe.beta_1, recipe.beta_2, recipe.epsilon) == (0.9, 0.999, 1e-8)
    assert (recipe.clip_norm, recipe.ema_decay, recipe.held_out) == (0, 0, 0)
    assert (recipe.optimizer, recipe.schedule) == ("adamw", "cosine")
    mixing, augmentation = recipe.mixing, recipe.augmentation
    assert dataclasses.astuple(mixing) == (0.8, 1.0, 1.0, 0.5, 0.1)
    assert augmentation.crop_scale == (0.08, 1.0) and augmentation.interpolation == "random"
    assert (augmentation.flip, augmentation.erasing) == (0.5, 0.25)
    assert augmentation.rand_augment == "rand-m9-mstd0.5-inc1"


@pytest.mark.parametrize(
    ("rows", "scripts", "tag"),
    [(TRAINED, SCRIPTS, "in1k"), (FINE_TUNED, SCRIPTS_384, "in1k_384")],
)
def test_the_recipes_of_the_second_paper_are_the_authors(rows, scripts, tag):
    others = {name for name in rows if not name.startswith("poolformer_")}
    for family, (optimizer, rate, warmup, drop_paths, head_dropouts) in scripts.items():
        for index, size in enumerate(SIZES[len(drop_paths)]):
            name = f"{family}_{size}_{tag}"
            recipe = get_recipe(name)
            assert dataclasses.replace(
                recipe.config, drop_path_rate=0.0, head_dropout_rate=0.0
            ) == VARIANTS[f"{family}_{size}"].replace(drop_path_rate=0.0), name
            assert recipe.config.drop_path_rate == drop_paths[index], name
            assert recipe.config.head_dropout_rate == head_dropouts[index], name
            found = (recipe.optimizer, recipe.learning_rate, recipe.warmup_epochs)
            assert found == (optimizer, rate, warmup), name
            assert recipe.transform.crop_pct == 1, name
            others.remove(name)
    assert not others


@pytest.mark.parametrize("name", TRAINED)
def test_training_is_the_same_for_all_but_the_rows(name):
    first, recipe = get_recipe("poolformer_s12_in1k"), get_recipe(name)
    row = {field: getattr(first, field) for field in ("config", "transform", *DIFFERENT)}
    assert dataclasses.replace(recipe, **row) == first
    if recipe.optimizer == "lamb":
        assert (recipe.epsilon, recipe.clip_norm) == (1e-6, 1)


@pytest.mark.parametrize("name", FINE_TUNED)
def test_fine_tuning_at_384_pixels_is_the_authors(name):
    recipe = get_recipe(name)
    assert (recipe.schedule, recipe.weight_decay) == ("constant", 0.05)
    assert (recipe.epochs, recipe.warmup_epochs, recipe.cooldown_epochs) == (30, 0, 0)
    assert (recipe.batch_size, recipe.ema_decay, recipe.needs_init) == (1024, 0.9999, True)
    assert dataclasses.astuple(recipe.mixing) == (0, 0, 1, 0.5, 0.1)
    assert recipe.transform.size == 384
    assert recipe.augmentation == Augmentation(size=384)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_whole(name):
    recipe = get_recipe(name)
    assert recipe.augmentation.size == recipe.transform.size
    assert (recipe.augmentation.mean, recipe.augmentation.std) == (
        recipe.transform.mean,
        recipe.transform.std,
    )
    assert json.loads(json.dumps(recipe.to_dict()))


def test_settings_reach_every_part():
    recipe = get_recipe("poolformer_tiny_cifar10").with_settings([
        "batch_size=32", "drop_path_rate=0", "mixup=0.2", "crop_pct = 0.9", "ema_decay=0.999",
        "rand_augment=rand-m5-n1", "depths=(1, 2)", "widths=[8,16]", "jit_compile=True",
        "size=32",
    ])  # fmt: skip
    assert (recipe.batch_size, recipe.ema_decay, recipe.jit_compile) == (32, 0.999, True)
    assert (recipe.config.drop_path_rate, recipe.config.depths) == (0, (1, 2))
    assert recipe.mixing.mixup == 0.2
    assert recipe.augmentation.rand_augment == "rand-m5-n1"
    assert recipe.transform.crop_pct == 0.9
    assert recipe.transform.size == recipe.augmentation.size == 32


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("batch_size", "field=value. Received: 'batch_size'"),
        ("batchsize=3", "no field 'batchsize'. Did you mean 'batch_size'?"),
        ("num_classes=3", "no field 'num_classes'"),
        ("batch_size=many", "`batch_size` must be of type int. Received: 'many'"),
        ("batch_size=3.5", "`batch_size` must be of type int. Received: 3.5"),
        ("batch_size=0", "`batch_size` must be at least 1. Received: 0"),
        ("batch_size=True", "`batch_size` must be of type int. Received: True"),
        ("jit_compile=1", "`jit_compile` must be of type bool. Received: 1"),
        ("learning_rate=-1", "`learning_rate` must be at least 0. Received: -1"),
        ("learning_rate=nan", "`learning_rate` must be of type number. Received: 'nan'"),
        ("learning_rate=1e999", "`learning_rate` must be finite. Received: inf"),
        ("beta_1=1", "`beta_1` must be below 1. Received: 1"),
        ("ema_decay=1.5", "`ema_decay` must be below 1"),
        ("warmup_epochs=30000", "`warmup_epochs` must be at most epochs="),
        ("precision=float16", "`precision` must be one of 'auto', 'float32', 'mixed_bfloat16'"),
        ("precision=mixed_float16", "(float16 overflows in the squares of StarReLU)"),
        ("frozen=head", "`frozen` must be one of '', 'backbone'. Received: 'head'"),
        ("classifier=new", "`classifier` must be one of 'auto', 'fresh', 'keep'. Received: 'new'"),
        ("batch_scaling=log", "`batch_scaling` must be one of 'none', 'sqrt', 'linear'"),
        ("backbone_learning_rate_scale=-1", "`backbone_learning_rate_scale` must be at least 0"),
        ("batch_scaling=[1]", "`batch_scaling` must be of type str. Received: [1]"),
        ("optimizer=sgd", "`optimizer` must be one of 'adamw', 'lamb'. Received: 'sgd'"),
        ("optimizer=[1]", "`optimizer` must be of type str. Received: [1]"),
        (
            "schedule=linear",
            "`schedule` must be one of 'cosine', 'poly', 'constant'. Received: 'linear'",
        ),
        ("chosen=1", "no field 'chosen'"),
        ("mixup=-1", "`mixup` must be 0 to 1000. Received: -1"),
        ("cutmix=1e9", "`cutmix` must be 0 to 1000"),
        ("label_smoothing=1.5", "`label_smoothing` must be 0 to 1"),
        ("drop_path_rate=2", "drop_path_rate"),
        ("depths=(0,1)", "depths"),
        ("rand_augment=rand-x9", "has an unknown part 'x9'"),
        ("erasing=2", "`erasing` must be a probability"),
        ("crop_scale=(0,2)", "`crop_scale` must be"),
        ("size=__import__('os')", "`size`"),
        ("widths=" + "(" * 300 + ")" * 300, "`widths`"),
    ],
)
def test_settings_that_are_refused(setting, message):
    with pytest.raises(InputError) as caught:
        get_recipe("poolformer_tiny_cifar10").with_settings([setting])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_help_has_a_line_on_each_recipe():
    assert list(RECIPE_SUMMARIES) == list(RECIPES)


def test_unknown_recipe():
    with pytest.raises(InputError, match="Did you mean 'poolformer_s12_in1k'"):
        get_recipe("poolformer_s12_in2k")


@pytest.mark.parametrize(
    ("name", "settings", "scale"),
    [
        ("poolformer_s12_in1k", ["batch_size=1024"], 1 / 4),  # the authors': 1e-3 for each 1024
        ("finetune", ["batch_size=128"], 2),
        ("finetune", ["batch_size=128", "batch_scaling=linear"], 4),
        ("finetune", ["batch_size=32"], 1),
        ("poolformer_tiny_cifar10", ["batch_size=32"], 1),
        ("convformer_s18_in1k", ["batch_size=1024"], 1 / 4),
        ("caformer_s18_in1k", ["batch_size=1024"], 1 / 2),  # LAMB's authors': the square root
    ],
)
def test_learning_rates_follow_the_batch(name, settings, scale):
    old = get_recipe(name)
    new = old.with_settings(settings)
    for rate in ("learning_rate", "warmup_learning_rate", "min_learning_rate"):
        assert getattr(new, rate) == pytest.approx(scale * getattr(old, rate))


def test_a_learning_rate_that_is_given_stays():
    recipe = get_recipe("finetune").with_settings(["batch_size=128", "learning_rate=1e-3"])
    assert (recipe.learning_rate, recipe.batch_size) == (1e-3, 128)


@pytest.mark.parametrize(
    ("optimizer", "oracle", "clip_norm"),
    [("lamb", timm.optim.Lamb, "max_grad_norm"), ("adamw", torch.optim.AdamW, None)],
)
def test_an_optimizer_comes_with_its_defaults(optimizer, oracle, clip_norm):
    parameters = inspect.signature(oracle).parameters
    wanted = (parameters["eps"].default, parameters[clip_norm].default if clip_norm else 0)
    other = get_recipe("finetune").replace(optimizer="adamw" if optimizer == "lamb" else "lamb")
    recipe = other.with_settings([f"optimizer={optimizer}"])
    assert (recipe.epsilon, recipe.clip_norm) == wanted
    recipe = other.with_settings([f"optimizer={optimizer}", "clip_norm=5", "epsilon=1e-4"])
    assert (recipe.epsilon, recipe.clip_norm) == (1e-4, 5)
    # The same one changes nothing.
    again = recipe.with_settings([f"optimizer={optimizer}"])
    assert (again.epsilon, again.clip_norm) == (1e-4, 5)


def test_the_optimizer_is_that_of_the_recipe():
    recipe = get_recipe("poolformer_tiny_cifar10").with_settings([
        "optimizer=lamb", "depths=(1,1)", "widths=(8,16)", "weight_decay=0.1", "beta_2=0.99",
        "ema_decay=0.9",
    ])  # fmt: skip
    model = PoolFormerImageClassifier(recipe.config)
    optimizer = build_optimizer(recipe, model, build_schedule(recipe, 10))
    assert type(optimizer) is Lamb
    assert (optimizer.weight_decay, optimizer.beta_1, optimizer.beta_2) == (0.1, 0.9, 0.99)
    assert (optimizer.epsilon, optimizer.global_clipnorm) == (1e-6, 1)
    assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.9)


@pytest.mark.parametrize("warmup", [0, 2])
def test_a_constant_learning_rate(warmup):
    recipe = get_recipe("finetune").replace(
        schedule="constant", learning_rate=5e-5, warmup_epochs=float(warmup), epochs=4,
        cooldown_epochs=1,
    )  # fmt: skip
    schedule = build_schedule(recipe, 10)
    rates = [float(schedule(step)) for step in range(10 * recipe.all_epochs + 5)]
    assert rates[10 * warmup :] == [pytest.approx(5e-5, rel=1e-7)] * (len(rates) - 10 * warmup)
    assert len(set(rates[10 * warmup :])) == 1
    assert rates[: 10 * warmup] == sorted(set(rates[: 10 * warmup]))
    if warmup:
        assert rates[0] == pytest.approx(recipe.warmup_learning_rate)


def test_interpolation_is_that_of_evaluation_too_unless_random():
    recipe = get_recipe("finetune").with_settings(["interpolation=bilinear"])
    assert recipe.transform.interpolation == recipe.augmentation.interpolation == "bilinear"
    recipe = get_recipe("finetune").with_settings(["interpolation=random"])
    assert recipe.transform.interpolation == "bicubic"


def test_fine_tuning_needs_weights():
    with pytest.raises(InputError, match=r"name them with --init.*needs_init=false"):
        get_recipe("finetune").check_init(None)
    get_recipe("finetune").with_settings(["needs_init=false"]).check_init(None)
    get_recipe("poolformer_s12_in1k").check_init(None)

"""What PoolFormer can do, a network with the second paper's parts can do."""

import keras
import numpy as np
import pytest

from keras_poolformer import (
    ImageTransform,
    MetaFormerBackbone,
    MetaFormerConfig,
    MetaFormerImageClassifier,
    PoolFormerBackbone,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    grad_cam,
)
from keras_poolformer.models.layers import Dense
from tests.helpers import error_line, randomized_model, relative_error

# Three mixers, scaled shortcuts, an MLP head with dropout.
MIXED = MetaFormerConfig(
    depths=(1, 1, 2),
    widths=(8, 16, 32),
    token_mixers=("pooling", "sep_conv", "attention"),
    norm="layer_norm",
    norm_epsilon=1e-6,
    use_bias=False,
    embedding_norm=True,
    activation="star_relu",
    use_layer_scale=False,
    res_scale_init=(None, 1.0, 1.0),
    head="pool_norm",
    head_mlp_ratio=2,
    head_dropout_rate=0.2,
    num_classes=3,
)
RANDOM = MIXED.replace(token_mixers=("identity", "identity", "random"), num_tokens=(None, None, 16))


@pytest.fixture(scope="module")
def model():
    return randomized_model(MIXED, MetaFormerImageClassifier)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).standard_normal((2, 64, 64, 3)).astype("float32")


def test_both_names_are_one_class():
    assert PoolFormerConfig is MetaFormerConfig
    for name, general in (
        (PoolFormerBackbone, MetaFormerBackbone),
        (PoolFormerImageClassifier, MetaFormerImageClassifier),
    ):
        assert issubclass(name, general)
        # What a subclass changes is how its models are called, and the class of its backbone.
        assert set(vars(name)) <= {
            "__annotations__", "__doc__", "__module__", "backbone_class", "default_name",
            "__firstlineno__", "__static_attributes__",  # of every class since Python 3.13
        } | set(dir(object))  # fmt: skip


@pytest.mark.first(1)
@pytest.mark.parametrize("saved_as", [MetaFormerImageClassifier, PoolFormerImageClassifier])
@pytest.mark.parametrize("read_as", [MetaFormerImageClassifier, PoolFormerImageClassifier])
def test_a_file_is_read_by_both_names(saved_as, read_as, tmp_path, pixels):
    model = randomized_model(RANDOM, saved_as)
    model.save(tmp_path / "x.keras")
    again = read_as.from_preset(tmp_path / "x.keras")
    assert type(again) is read_as and again.config == RANDOM
    assert relative_error(again(pixels), model(pixels)) == 0
    assert type(keras.saving.load_model(tmp_path / "x.keras")) is saved_as


def test_an_embedding_is_what_the_mlp_head_sees(model, pixels):
    embedding = model.embed(pixels)
    assert embedding.shape == (2, 32)
    hidden = np.maximum(np.asarray(model.get_layer("head_fc1")(embedding)), 0) ** 2
    normed = model.get_layer("head_mlp_norm")(hidden)
    assert relative_error(model(pixels), model.head(normed)) < 1e-6
    assert relative_error(model.classify_features(model.backbone(pixels)), model(pixels)) == 0


def test_pyramid_and_backbone(model, pixels):
    maps = model.backbone.feature_extractor()(pixels)
    assert {name: tuple(one.shape) for name, one in maps.items()} == {
        "P2": (2, 16, 16, 8), "P3": (2, 8, 8, 16), "P4": (2, 4, 4, 32),
    }  # fmt: skip
    backbone = MetaFormerBackbone(MIXED.replace(feature_norms=("P3",)))
    normed = np.asarray(backbone.feature_extractor(["P3"])(pixels)["P3"])
    assert np.abs(normed.mean(axis=-1)).max() < 1e-5  # a layer norm without bias


def test_new_classes_keep_the_hidden_layer_of_the_head(model):
    other = model.with_classes(5, seed=1)
    assert other.provenance.new_tensors == ("head/kernel", "head/bias")
    assert type(other.head) is Dense and other.head.units == 5
    for name in ("head_fc1", "head_mlp_norm", "head_norm"):
        kept, fresh = (one.get_layer(name).get_weights() for one in (model, other))
        assert all(np.array_equal(*pair) for pair in zip(kept, fresh, strict=True))


def test_dropout_is_before_the_last_layer(model):
    names = [layer.name for layer in model.layers]
    start = names.index("head_pool")
    assert names[start:] == [
        "head_pool", "head_norm", "head_fc1", "head_act", "head_mlp_norm", "head_dropout", "head",
    ]  # fmt: skip


def test_freezing_and_training(pixels):
    model = randomized_model(RANDOM, MetaFormerImageClassifier)
    model.freeze(1)
    before = {variable.path: np.asarray(variable) for variable in model.weights}
    model.compile("adam", loss=model.default_loss(), run_eagerly=True)
    model.fit(pixels, np.array([0, 1]), verbose=0)
    changed = {
        variable.path
        for variable in model.weights
        if not np.array_equal(before[variable.path], np.asarray(variable))
    }
    assert not any(path.startswith("stages_0") for path in changed)
    assert not any(path.endswith("random_matrix") for path in changed)
    assert {"stages_1_blocks_0/res_scale1/gamma", "stages_1_blocks_0/mlp/act/scale"} <= changed


def test_random_mixing_takes_images_of_one_size(pixels):
    model = randomized_model(RANDOM, MetaFormerImageClassifier)
    assert model.transform.size == 64
    with pytest.raises(ValueError, match=r"expected shape=\(None, 64, 64, 3\)"):
        model(pixels[:, :32, :32])
    line = error_line(setattr, model, "transform", ImageTransform(size=96))
    assert "64 x 64" in line and "(96, 96)" in line


def test_grad_cam(model, pixels):
    maps = grad_cam(model, pixels, layer="P4")
    assert maps.shape == (2, 4, 4) and maps.max() == 1


@pytest.mark.first(1)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy, model, pixels, tmp_path):
    model.save(tmp_path / "x.keras")
    half = MetaFormerImageClassifier.from_preset(tmp_path / "x.keras", dtype=policy)
    logits = half(pixels)
    assert logits.dtype == "float32"
    assert relative_error(logits, model(pixels)) < 0.05


@pytest.mark.parametrize("train", ["fit", "train_on_batch"])
def test_float16_is_for_inference(train, pixels):
    half = MetaFormerImageClassifier(MIXED, dtype="mixed_float16")
    half.compile(loss="sparse_categorical_crossentropy")
    line = error_line(getattr(half, train), pixels, np.array([0, 1]))
    assert "mixed_bfloat16" in line and "Received: 'mixed_float16'" in line

"""transformers' JSON in our words: every activation, every form of a class count, every null."""

import json

import numpy as np
import pytest

from keras_poolformer import ImageTransform, PoolFormerConfig
from keras_poolformer.checkpoints import hub_json, timm_json
from keras_poolformer.models.activations import ACTIVATION_FUNCTIONS
from keras_poolformer.support.errors import InputError
from tests.helpers import error_line

HF = {"model_type": "poolformer"}
TIMM = {"architecture": "poolformer_s12"}
REFUSED_ACTIVATIONS = {"laplace", "prelu", "sqrtsoftplus", "xielu"}


def config_of(**fields):
    return PoolFormerConfig(**hub_json.hf_config(HF | fields))


def transform_of(**fields):
    return ImageTransform.from_dict(hub_json.hf_transform(fields))


def refused(read, config):
    message = error_line(read, config)
    assert "Received" in message
    return message


# ---------------------------------------------------------------------------------------
# Activations


@pytest.fixture(scope="module")
def theirs():
    """transformers' table of activations."""
    pytest.importorskip("torch")

    return pytest.importorskip("transformers.activations").ACT2FN


def test_every_activation_of_transformers_is_known_or_refused(theirs):
    assert set(theirs) == set(hub_json.HF_ACTIVATIONS) | REFUSED_ACTIVATIONS
    assert set(hub_json.HF_ACTIVATIONS.values()) == set(ACTIVATION_FUNCTIONS)


@pytest.mark.parametrize("name", hub_json.HF_ACTIVATIONS)
def test_an_activation_is_the_same_function(name, theirs):
    """Measured: at most 1.0e-6 of max(1, |f(x)|), where torch's own erf is that far off."""
    import torch

    far = [20.0, 30.0, 88.0, 1e2, 1e3, 1e4, 1e6, 1e9]
    grid = np.array([*np.linspace(-12, 12, 4801), *far, *np.negative(far), -0.0], np.float32)
    expected = theirs[name](torch.from_numpy(grid)).numpy()
    function = ACTIVATION_FUNCTIONS[config_of(hidden_act=name).activation]
    received = np.asarray(function(grid))
    assert received.dtype == np.float32
    assert np.isfinite(expected).all() and np.isfinite(received).all()
    assert np.max(np.abs(received - expected) / np.maximum(1, np.abs(expected))) < 2e-6


@pytest.mark.parametrize("name", [*sorted(REFUSED_ACTIVATIONS), "gelu_7", 3, None, ["gelu"]])
def test_an_activation_that_is_not_known_names_those_that_are(name):
    message = refused(hub_json.hf_config, HF | {"hidden_act": name})
    assert "gelu_pytorch_tanh, " in message and str(name) in message


# ---------------------------------------------------------------------------------------
# transformers' config.json


def test_an_empty_config_is_transformers_default():
    assert config_of() == PoolFormerConfig()


def test_only_the_encoder_blocks_count():
    """transformers writes its own default, four entries, for a network of two stages."""
    two = {"depths": [1, 2], "hidden_sizes": [8, 16], "num_encoder_blocks": 2}
    config = config_of(**two, patch_sizes=[5, 3, 3, 3], strides=[2, 2, 9, 9], padding=[2, 0, 1, 1])
    assert (config.patch_sizes, config.strides, config.paddings) == ((5, 3), (2, 2), (2, 0))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"num_labels": 7}, {"num_classes": 7}),
        ({"id2label": {"1": "b", "0": "a"}}, {"num_classes": 2, "labels": ["a", "b"]}),
        ({"id2label": {"0": "LABEL_0"}, "num_labels": 1}, {"num_classes": 1}),
        ({"id2label": {}}, {"num_classes": 0}),
        ({"id2label": None, "num_labels": None}, {}),
        ({"id2label": {"0": "a"}, "label2id": {"x": 3}}, {"num_classes": 1, "labels": ["a"]}),
    ],
)
def test_classes_and_labels(fields, expected):
    received = hub_json.hf_config(HF | fields)
    assert {name: received[name] for name in ("num_classes", "labels") if name in received} == (
        expected
    )


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"num_labels": 3, "id2label": {"0": "a"}}, "all 3 classes"),
        ({"num_labels": -1}, "num_labels"),
        ({"num_labels": "2"}, "num_labels"),
        ({"num_labels": True}, "num_labels"),
        ({"id2label": ["a", "b"]}, "id2label"),
        ({"id2label": "a"}, "id2label"),
    ],
)
def test_contradictory_classes_are_refused(fields, named):
    assert named in refused(hub_json.hf_config, HF | fields)


def test_unused_fields_are_kept():
    assert hub_json.hf_unused(HF) == {}
    fields = {"patch_size": [4, 8], "stride": 2}
    assert hub_json.hf_unused(HF | fields) == fields
    for wrong in ({"stride": [2, 2]}, {"patch_size": 1.5}, {"patch_size": [1, 2, 3]}):
        assert next(iter(wrong)) in refused(hub_json.hf_unused, HF | wrong)


# ---------------------------------------------------------------------------------------
# transformers' preprocessor_config.json; the pixels are compared in test_image_transform_sizes


def test_nulls_are_left_out():
    """As transformers does: a null flag is no, a null value may be missing where unused."""
    nulls = dict.fromkeys(("do_resize", "do_center_crop", "do_rescale", "do_normalize"))
    values = dict.fromkeys(
        ("size", "crop_size", "resample", "rescale_factor", "image_mean", "image_std", "crop_pct")
    )
    transform = transform_of(**nulls, **values)
    assert transform == ImageTransform(
        crop_mode="hf", crop_size=224, crop_pct=None, do_resize=False, do_center_crop=False,
        do_rescale=False, do_normalize=False,
    )  # fmt: skip
    for name in values.keys() - {"crop_pct"}:
        assert name in refused(hub_json.hf_transform, {name: None})


def test_default_to_square():
    assert transform_of(size=48).size == 48
    assert transform_of(size=48, default_to_square=True).size == (48, 48)


@pytest.mark.parametrize(
    "fields",
    [
        {"image_processor_type": "PoolFormerImageProcessorFast"},
        {"feature_extractor_type": "PoolFormerFeatureExtractor"},
        {"data_format": "channels_first", "input_data_format": None, "do_pad": None},
    ],
)
def test_what_changes_nothing_is_read_over(fields):
    assert transform_of(**fields) == ImageTransform(crop_mode="hf", crop_size=224)


@pytest.mark.parametrize(
    "fields",
    [
        {"image_processor_type": "ViTImageProcessor"},
        {"image_processor_type": 5},
        {"do_pad": True},
        {"data_format": "channels_middle"},
        {"data_format": ["channels_first"]},
        {"resample": True},
    ],
)
def test_another_processor_is_refused(fields):
    assert next(iter(fields)) in refused(hub_json.hf_transform, fields)


# ---------------------------------------------------------------------------------------
# timm's config.json


def test_timms_model_arguments():
    arguments = {"in_chans": 4, "pool_size": 5, "drop_path_rate": 0.2, "proj_drop_rate": 0.1}
    arguments |= {"global_pool": "avg", "drop_rate": 0.5}
    fields = timm_json.timm_config(TIMM | {"model_args": arguments})
    assert PoolFormerConfig(**fields) == PoolFormerConfig(
        head="pool_norm", pool_size=5, drop_path_rate=0.2, dropout_rate=0.1
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"model_args": [1]},
        {"model_args": {"use_mlp_head": True}},
        {"model_args": {"global_pool": "max"}},
        {"label_names": {"1": "a"}},
    ],
)
def test_other_arguments_of_timm_are_refused(fields):
    with pytest.raises(InputError, match=next(iter(fields)).partition("_")[0]):
        timm_json.timm_config(TIMM | fields)


def test_means_of_four_channels_are_left_out():
    """Both libraries write one for each channel."""
    four = [0.1, 0.2, 0.3, 0.4]
    pretrained = {"input_size": [4, 96, 96], "mean": four, "std": four}
    transform = timm_json.timm_transform({"pretrained_cfg": pretrained})
    assert ImageTransform.from_dict(transform) == ImageTransform(size=96, crop_pct=0.875)
    fields = {"image_mean": four, "image_std": four}
    transform = ImageTransform.from_dict(hub_json.hf_transform(fields, channels=4))
    assert transform == ImageTransform(crop_mode="hf", crop_size=224)
    with pytest.raises(InputError, match="`mean`"):
        transform_of(**fields)


def test_timms_other_crops_are_refused():
    config = json.loads('{"pretrained_cfg": {"crop_mode": "squash"}}')
    assert "crop_mode" in refused(timm_json.timm_transform, config)

"""timm's config.json means what timm itself makes of it: older forms, left-out and null fields."""

import copy

import numpy as np
import pytest

from keras_poolformer import ImageTransform, PoolFormerConfig
from keras_poolformer.checkpoints import timm_json
from keras_poolformer.checkpoints.hub_json_writing import timm_config_json
from keras_poolformer.support.errors import InputError

pytest.importorskip("conversion.oracles")  # which makes timm importable

from timm.data import create_transform, resolve_data_config
from timm.models._hub import _parse_model_cfg

PRETRAINED = {
    "input_size": [3, 96, 96], "interpolation": "bilinear", "crop_pct": 0.95,
    "crop_mode": "center", "mean": [0.5, 0.5, 0.5], "std": [0.4, 0.5, 0.6], "num_classes": 3,
    "first_conv": "stem.conv", "classifier": "head.fc",
}  # fmt: skip
CONFIG = {"architecture": "poolformer_s12", "num_classes": 3, "num_features": 512}
LABELS = ["a", "b", "c"]


def described(left_out=(), outer=(), **fields):
    """A config.json with some fields of pretrained_cfg other, and some left out."""
    pretrained = {n: v for n, v in (PRETRAINED | fields).items() if n not in left_out}
    return CONFIG | {"pretrained_cfg": pretrained} | dict(outer)


CONFIGS = {
    "full": described(outer={"label_names": LABELS}),
    "one dictionary": CONFIG | PRETRAINED | {"labels": LABELS},
    "one dictionary, label_names": CONFIG | PRETRAINED | {"label_names": LABELS},
    "labels inside": described(label_names=LABELS),
    "labels inside and outside": described(label_names=LABELS[::-1], outer={"label_names": LABELS}),
    "nothing inside": CONFIG | {"pretrained_cfg": {}},
    "one mean": described(mean=[0.5], std=[0.25]),
    "test size": described(test_input_size=[3, 128, 128], test_crop_pct=1.0),
    **{f"no {name}": described([name]) for name in PRETRAINED},
    **{f"null {name}": described(**{name: None}) for name in PRETRAINED if name != "num_classes"},
    "empty": described(interpolation="", mean=[], std=(), crop_pct=0, crop_mode=""),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_pixels_and_labels_are_timms(config, rgb_photographs):
    theirs, *_ = _parse_model_cfg(copy.deepcopy(config), {})
    transform = create_transform(**resolve_data_config(pretrained_cfg=theirs))
    received = ImageTransform.from_dict(timm_json.timm_transform(config))(rgb_photographs[0])
    expected = transform(rgb_photographs[0]).numpy().transpose(1, 2, 0)
    assert np.array_equal(received, expected)
    labels = timm_json.timm_config(config).get("labels")
    assert labels == theirs.get("label_names")
    assert timm_json.timm_architecture(config)["num_classes"] == theirs.get("num_classes", 1000)


def test_channels_in_the_models_arguments():
    config = described(outer={"model_args": {"in_chans": 4}})
    theirs, *_ = _parse_model_cfg(copy.deepcopy(config), {})
    assert theirs["input_size"] == (4, 96, 96)
    assert {"mean", "std"}.isdisjoint(timm_json.timm_transform(config))


def test_stochastic_depth_is_not_invented():
    fields = timm_json.timm_architecture(described()) | timm_json.timm_config(described())
    config = PoolFormerConfig(**fields)
    assert config.drop_path_rate == 0.0
    assert timm_config_json(config, ImageTransform())["model_args"] == {}


@pytest.mark.parametrize("config", [{"pretrained_cfg": [1]}, {"pretrained_cfg": "x"}])
def test_a_description_of_another_type(config):
    with pytest.raises(InputError, match="pretrained_cfg must be an object"):
        timm_json.timm_transform(CONFIG | config)

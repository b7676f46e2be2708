import json
import re

import numpy as np
import pytest

from keras_poolformer import MetaFormerConfig, PoolFormerConfig
from keras_poolformer.checkpoints.tensors import count_parameters
from keras_poolformer.support.errors import InputError
from keras_poolformer.variants import VARIANTS, find_variant
from tests.helpers import error_line


def test_variants_are_those_of_the_paper():
    """Table 1 of arXiv 2111.11418, and the drop path rates of the authors' scripts."""
    rows = {
        name: (config.depths, config.widths, config.drop_path_rate, config.layer_scale_init)
        for name, config in VARIANTS.items()
        if name.startswith("poolformer_")
    }
    small, medium = (64, 128, 320, 512), (96, 192, 384, 768)
    assert rows == {
        "poolformer_s12": ((2, 2, 6, 2), small, 0.1, 1e-5),
        "poolformer_s24": ((4, 4, 12, 4), small, 0.1, 1e-5),
        "poolformer_s36": ((6, 6, 18, 6), small, 0.2, 1e-6),
        "poolformer_m36": ((6, 6, 18, 6), medium, 0.3, 1e-6),
        "poolformer_m48": ((8, 8, 24, 8), medium, 0.4, 1e-6),
    }


def test_json_round_trip(odd_config):
    config = odd_config.replace(labels=tuple("abcdefg"))
    assert PoolFormerConfig(**json.loads(json.dumps(config.to_dict()))) == config


def test_drop_path_rates_rise_to_the_full_rate():
    config = PoolFormerConfig.from_variant("poolformer_s12", drop_path_rate=0.11)
    rates = [rate for stage in config.drop_path_rates for rate in stage]
    assert rates == pytest.approx([0.01 * block for block in range(12)])


def test_a_shorter_network_takes_the_first_strides():
    config = PoolFormerConfig(depths=(1, 1), widths=(8, 8))
    assert (config.patch_sizes, config.strides, config.paddings) == ((7, 3), (4, 2), (2, 1))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("hidden_sizes", "widths"),
        ("embed_dims", "widths"),
        ("num_labels", "num_classes"),
        ("in_chans", "in_channels"),
        ("padding", "paddings"),
        ("deptsh", "depths"),
    ],
)
def test_neighbours_words_are_understood(theirs, ours):
    with pytest.raises(InputError, match=f"`{theirs}`. Did you mean '{ours}'?"):
        PoolFormerConfig(**{theirs: 1})
    with pytest.raises(InputError, match=f"Did you mean '{ours}'?"):
        PoolFormerConfig.from_variant("poolformer_s12", **{theirs: 1})


# Parameters without those of the classifier's 1,000 classes and, in a RandFormer, with the frozen
# ones: tables 1 and 3 of arXiv 2210.13452, counted on timm's and the authors' classes.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("poolformerv2_s12", 11_891_712),
        ("poolformerv2_s24", 21_341_464),
        ("poolformerv2_s36", 30_791_216),
        ("poolformerv2_m36", 56_077_168),
        ("poolformerv2_m48", 73_346_056),
        ("identityformer_m48", 73_346_056),
        ("randformer_s12", 11_891_712 + 235_298),
        ("randformer_m48", 73_346_056 + 941_192),
        ("convformer_s18", 26_774_448),
        ("convformer_s36", 40_012_152),
        ("convformer_m36", 57_051_640),
        ("convformer_b36", 99_882_616),
        ("caformer_s18", 26_341_656),
        ("caformer_s36", 39_297_102),
        ("caformer_m36", 56_204_878),
        ("caformer_b36", 98_753_614),
    ],
)
def test_parameters_of_the_second_paper(name, parameters):
    assert count_parameters(VARIANTS[name]) == parameters
    assert find_variant(vars(VARIANTS[name])) == name


def test_a_mixture_is_a_row():
    mixers = ("pooling", "pooling", "sep_conv", "attention")
    config = PoolFormerConfig(token_mixers=mixers)
    assert MetaFormerConfig(**config.to_dict()) == config
    assert PoolFormerConfig(token_mixers="identity").token_mixers == ("identity",) * 4
    assert config.replace(token_mixers="pooling") == PoolFormerConfig()
    # One for each of four stages is one for each of fewer, where all are the same.
    assert PoolFormerConfig(depths=(1, 1), widths=(8, 8)).token_mixers == ("pooling",) * 2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"token_mixers": "conv"}, "one of pooling, .*attention. Received: 'conv'"),
        ({"token_mixers": 3}, "one of pooling, .*for each stage. Received: 3"),
        ({"token_mixers": ("pooling",) * 3}, "one entry for each of the 4 stages"),
        ({"token_mixers": "random"}, r"`num_tokens` .*\(None, None, 196, 49\). Received: None"),
        (
            {"token_mixers": "random", "num_tokens": (3136, 784, 196, 48)},
            "224 x 224 has 49 where 48 are named",
        ),
        (
            {"token_mixers": "random", "num_tokens": (10_000_000, 784, 196, 49)},
            "whole number from 1 to 4096. Received: 10000000",
        ),
        ({"res_scale_init": (1.0, None)}, "one entry for each of the 4 stages"),
        ({"res_scale_init": float("nan")}, "number from -1000 to 1000. Received: nan"),
        ({"use_bias": 1}, "`use_bias` must be true or false. Received: 1"),
        ({"norm_epsilon": 0}, "`norm_epsilon` must be a number from 1e-12"),
        ({"head_mlp_ratio": -1}, "`head_mlp_ratio` must be a number from 0 to 64"),
        ({"use_mlp_head": True}, "Did you mean 'head_mlp_ratio'"),
    ],
)
def test_a_wrong_field_of_the_second_paper(fields, said):
    assert re.search(said, error_line(PoolFormerConfig, **fields))


def test_random_mixing_fixes_the_size():
    assert VARIANTS["randformer_s12"].image_side == 224
    assert VARIANTS["poolformerv2_s12"].image_side is None


def test_unknown_variant_names_the_variants():
    with pytest.raises(InputError, match=r"caformer_b36\. Did.*Received: 'poolformer_s13'"):
        PoolFormerConfig.from_variant("poolformer_s13")


def test_numbers_of_numpy_become_pythons():
    config = PoolFormerConfig(
        depths=np.array([1, 2]),
        widths=np.uint16([8, 16]),
        num_classes=np.array([0, 1, 3]).max() + 1,
        labels=np.unique(["b", "d", "a", "c"]),
        mlp_ratio=np.float32(2),
        drop_path_rate=np.float64(0.25),
        use_layer_scale=np.bool_(False),
    )
    assert (config.depths, config.num_classes, config.labels) == ((1, 2), 4, tuple("abcd"))
    plain = json.dumps(config.to_dict())  # which knows Python's own numbers alone
    assert json.loads(plain)["mlp_ratio"] == 2
    assert PoolFormerConfig(**json.loads(plain)) == config


@pytest.mark.parametrize(
    ("problem_type", "num_classes", "expected"),
    [
        (None, 3, "softmax"),
        (None, 1, "sigmoid"),
        ("single_label_classification", 3, "softmax"),
        ("multi_label_classification", 3, "sigmoid"),
        ("regression", 3, "identity"),
        ("regression", 1, "identity"),
    ],
)
def test_scores_are_those_of_transformers_pipeline(problem_type, num_classes, expected):
    """tests/checkpoints/test_problem_type.py runs that pipeline."""
    config = PoolFormerConfig(num_classes=num_classes, problem_type=problem_type)
    assert config.score_function == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"depths": 3},
        {"depths": (2, 2)},  # widths has four
        {"depths": (1,) * 5, "widths": (8,) * 5},
        {"depths": (0, 1, 1, 1)},
        {"depths": (1, 1, 1, 10**9)},
        {"depths": (512, 1, 1, 1)},
        {"widths": (64, 128, 320, 10**9)},
        {"widths": (64, 128, 320, 1.5)},
        {"widths": "64,128"},
        {"strides": (4, 2, 2, -2)},
        {"paddings": (2, 1, 1, True)},
        {"pool_size": 4},
        {"pool_size": "3"},
        {"mlp_ratio": 0},
        {"mlp_ratio": float("nan")},
        {"activation": "nope"},
        {"activation": ["gelu"]},
        {"in_channels": 0},
        {"num_classes": -1},
        {"head": "norm"},
        {"use_layer_scale": 1},
        {"drop_path_rate": 1.0},
        {"dropout_rate": float("inf")},
        {"labels": "abc"},
        {"labels": ["a", "b"]},
        {"labels": [1] * 1000},
        {"labels": ["a", "b\u2028c"], "num_classes": 2},
        {"labels": ["a", ""], "num_classes": 2},
        {"num_classes": np.bool_(True)},
        {"num_classes": np.float32(4)},
        {"layer_scale_init": 10**400},
        {"drop_path_rate": np.float64("nan")},
        {"problem_type": "ranking"},
        {"problem_type": "single_label_classification", "num_classes": 1},
    ],
)
def test_bad_fields_are_refused_in_one_line(fields):
    with pytest.raises(InputError) as raised:
        PoolFormerConfig(**fields)
    message = str(raised.value)
    assert next(iter(fields)) in message
    assert "Received" in message
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize("name", ["cls", "self", "args"])
def test_a_field_named_like_an_argument(name):
    """A file may hold any name."""
    with pytest.raises(InputError, match=f"no field `{name}`"):
        PoolFormerConfig(**{name: 1})


@pytest.mark.parametrize("value", [10**400, -(10**400), float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["mlp_ratio", "layer_scale_init", "drop_path_rate"])
def test_numbers_beyond_what_a_float_holds(name, value):
    with pytest.raises(InputError, match=f"`{name}` must be a number from") as caught:
        PoolFormerConfig(**{name: value})
    assert len(str(caught.value)) < 200

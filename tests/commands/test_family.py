"""`convert` and `summary` of networks of the second paper."""

import json

import numpy as np
import pytest

from keras_poolformer import MetaFormerImageClassifier, save_torch_weights
from keras_poolformer.cli import main
from tests.helpers import randomized_model
from tests.models.test_family import MIXED, RANDOM


def convert(*arguments):
    return main(["convert", *map(str, arguments)])


@pytest.fixture(scope="module")
def ambiguous(tmp_path_factory):
    """A file that PoolFormerV2 and IdentityFormer fit alike."""
    config = MIXED.replace(token_mixers="identity", norm="group_norm", head_mlp_ratio=0)
    path = tmp_path_factory.mktemp("files") / "x.safetensors"
    save_torch_weights(randomized_model(config), path, "metaformer")
    return path


def test_a_file_that_fits_several_networks_needs_to_be_told(ambiguous, tmp_path, capsys):
    assert convert(ambiguous, "-o", tmp_path / "x.keras") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "PoolFormerV2" in line and "`token_mixers`" in line and "--architecture" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.first(1)
@pytest.mark.parametrize("family", ["poolformerv2", "identityformer"])
def test_the_architecture_says_which(ambiguous, family, tmp_path, capsys):
    file = tmp_path / "x.keras"
    assert convert(ambiguous, "--architecture", f"{family}_s12", "-o", file) == 0
    config = MetaFormerImageClassifier.from_preset(file).config
    mixer = {"poolformerv2": "pooling", "identityformer": "identity"}[family]
    assert config.token_mixers == (mixer,) * 3
    assert "norm_epsilon 1e-06" in capsys.readouterr().out  # assumed, and said


def test_an_unknown_architecture(ambiguous, tmp_path, capsys):
    assert convert(ambiguous, "--architecture", "poolformer_v2", "-o", tmp_path / "x.keras") == 2
    assert "Did you mean" in capsys.readouterr().err


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("config", "layouts"),
    [(MIXED, ["metaformer", "timm"]), (RANDOM, ["metaformer"])],
    ids=["mixed", "random"],
)
def test_there_and_back(config, layouts, tmp_path, capsys):
    model = randomized_model(config)
    model.save(tmp_path / "x.keras")
    for layout in layouts:
        file = tmp_path / f"{layout}.safetensors"
        assert convert(tmp_path / "x.keras", "--to", layout, "-o", file) == 0
        said = capsys.readouterr().out
        # Heads of sail-sg and timm have other epsilons; the model was made with sail-sg's.
        assert ("epsilon 1e-06" in said) == (layout == "timm")
        mixers = config.token_mixers
        again = MetaFormerImageClassifier.from_preset(file, token_mixers=mixers)
        for old, new in zip(model.weights, again.weights, strict=True):
            assert np.array_equal(old, new)


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("config", "layout", "said"),
    [
        (MIXED, "sail", "use timm or metaformer"),
        (MIXED, "hf", "use timm or metaformer"),
        (RANDOM, "timm", "use metaformer"),
        (MIXED.replace(embedding_norm=False, res_scale_init=None), "metaformer", "use timm"),
    ],
)
def test_a_library_that_has_no_such_network(config, layout, said, tmp_path, capsys):
    randomized_model(config).save(tmp_path / "x.keras")
    assert convert(tmp_path / "x.keras", "--to", layout, "-o", tmp_path / "y.safetensors") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "y.safetensors").exists()


def test_summary_of_random_mixing_has_one_size(tmp_path, capsys):
    randomized_model(RANDOM).save(tmp_path / "x.keras")
    assert main(["summary", str(tmp_path / "x.keras"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["macs_by_kind"]["product"] == 2 * 16**2 * 32
    assert main(["summary", str(tmp_path / "x.keras"), "--size", "96"]) == 2
    assert "must be 64" in capsys.readouterr().err

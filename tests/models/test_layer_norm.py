"""Networks with layer norm (the authors' LayerNormChannel), which no file tells from group norm.

transformers' class is the judge, its norms exchanged for PyTorch's layer norm over channels
(conversion/oracles.py).
"""

import keras
import numpy as np
import pytest

from keras_poolformer import (
    PoolFormerBackbone,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    load_torch_weights,
    save_torch_weights,
)
from keras_poolformer.support.errors import InputError
from tests.helpers import TOLERANCE, randomized_module, relative_error

torch = pytest.importorskip("torch")
oracles = pytest.importorskip("conversion.oracles")

CONFIG = PoolFormerConfig(depths=(1, 2), widths=(8, 12), num_classes=3, norm="layer_norm")


@pytest.fixture(scope="module")
def oracle():
    oracle = oracles.build_oracle(CONFIG, "sail")
    randomized_module(oracle.module)
    norms = [m for m in oracle.module.modules() if isinstance(m, oracles.LayerNormChannel)]
    assert len(norms) == 2 * sum(CONFIG.depths) + 1
    return oracle


@pytest.fixture
def checkpoint(oracle, tmp_path):
    """The file of such a network, with nothing in it that tells its norm."""
    state = {oracles.sail_name(name): t for name, t in oracle.module.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "mine.pth.tar")
    return tmp_path / "mine.pth.tar"


@pytest.mark.first(4)
def test_logits_and_stages_equal_pytorchs(oracle, checkpoint, images):
    expected = oracle.run(images)
    model = PoolFormerImageClassifier.from_preset(checkpoint, norm="layer_norm")
    assert model.config == CONFIG
    assert "norm" not in model.provenance["assumed"]
    assert relative_error(model(images), expected["logits"]) <= TOLERANCE
    stages = keras.Model(model.backbone.input, model.backbone.pyramid_outputs)(images)
    assert max(relative_error(stages[name], expected[name]) for name in stages) <= TOLERANCE

    assumed = PoolFormerImageClassifier.from_preset(checkpoint)
    assert assumed.provenance["assumed"] == {
        "token_mixers": "pooling", "norm": "group_norm", "pool_size": 3,
        "activation": "gelu", "strides": [4, 2], "paddings": [2, 1],
    }  # fmt: skip
    assert relative_error(assumed(images), expected["logits"]) > 0.01


def test_norms_on_the_stages_follow(oracle, images):
    model = PoolFormerBackbone(CONFIG.replace(feature_norms=True))
    outputs = model.feature_extractor()(images)
    for level, features in outputs.items():
        mean = keras.ops.convert_to_numpy(features).mean(-1)
        assert np.abs(mean).max() < 1e-5, level  # of each pixel


@pytest.mark.slow
def test_it_is_saved_and_overridden(checkpoint, tmp_path, images):
    model = PoolFormerImageClassifier.from_preset(checkpoint, norm="layer_norm")
    model.save(tmp_path / "x.keras")
    again = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras")
    assert again.config == CONFIG
    assert np.array_equal(again(images), model(images))
    other = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras", norm="group_norm")
    assert relative_error(other(images), np.asarray(model(images))) > 0.01
    assumed = {"token_mixers", "pool_size", "activation", "strides", "paddings"}
    assert set(model.provenance["assumed"]) == assumed
    wider = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras", pool_size=5)
    assert set(wider.provenance["assumed"]) == assumed - {"pool_size"}


@pytest.mark.parametrize("name", ["poolformer_ln.pth", "s12-LayerNorm.pth", "LayerNormChannel.bin"])
def test_a_name_that_speaks_of_layer_norm_is_heeded_and_said(checkpoint, name):
    path = checkpoint.rename(checkpoint.parent / name)
    with pytest.warns(UserWarning, match=f"layer norm is assumed because of the name '{name}'"):
        model = PoolFormerImageClassifier.from_preset(path)
    assert model.config.norm == model.provenance["assumed"]["norm"] == "layer_norm"
    model = PoolFormerImageClassifier.from_preset(path, norm="group_norm")  # without a warning
    assert model.config.norm == "group_norm"


def test_the_architecture_in_the_file_is_heeded_too(checkpoint):
    state = torch.load(checkpoint)
    torch.save(state | {"arch": "poolformer_s12_ln"}, checkpoint)
    with pytest.warns(UserWarning, match="the name 'poolformer_s12_ln'"):
        model = PoolFormerImageClassifier.from_preset(checkpoint)
    assert model.config.norm == "layer_norm"
    torch.save(state | {"arch": "poolformer_kiln"}, checkpoint)
    assert PoolFormerImageClassifier.from_preset(checkpoint).config.norm == "group_norm"


def test_a_name_that_speaks_of_identity_is_heeded_and_said(checkpoint, images):
    """metaformer_id_s12, the first paper's ablation, has PoolFormer's tensors."""
    path = checkpoint.rename(checkpoint.parent / "metaformer_id_s12.pth")
    with pytest.warns(UserWarning, match="identity is assumed because of the name"):
        model = PoolFormerImageClassifier.from_preset(path)
    assert model.config.token_mixers == ("identity", "identity")
    pooling = PoolFormerImageClassifier.from_preset(path, token_mixers="pooling")  # no warning
    assert pooling.config.token_mixers == ("pooling", "pooling")
    assert relative_error(pooling(images), np.asarray(model(images))) > 0.01


def test_libraries_without_it_are_refused(checkpoint, tmp_path):
    model = PoolFormerImageClassifier.from_preset(checkpoint, norm="layer_norm")
    for layout in ("hf", "timm"):
        with pytest.raises(InputError, match=f"layout {layout} supports only group_norm"):
            save_torch_weights(model, tmp_path / layout, layout, allow_other_head=True)
        assert not (tmp_path / layout).exists()
    report = save_torch_weights(model, tmp_path / "x.safetensors")
    assert "norm_layer=LayerNormChannel" in str(report)
    group = PoolFormerImageClassifier(CONFIG.replace(norm="group_norm"))
    save_torch_weights(group, tmp_path / "hf.safetensors", "hf")
    with pytest.raises(InputError, match="layout hf supports only group_norm"):
        load_torch_weights(model, tmp_path / "hf.safetensors")


@pytest.mark.slow
def test_export(checkpoint, tmp_path, images):
    from keras_poolformer import ImageTransform, export_tflite
    from keras_poolformer.runtime.tflite_model import TFLiteModel

    model = PoolFormerImageClassifier.from_preset(checkpoint, norm="layer_norm")
    transform = ImageTransform(size=64)
    export_tflite(model, tmp_path / "x.tflite", transform=transform)
    received = TFLiteModel(tmp_path / "x.tflite").run(images[:1, :64, :64])["logits"]
    assert relative_error(received, np.asarray(model(images[:1, :64, :64]))) < 1e-5

"""Features, embeddings and models without classes, as timm and transformers hand them out."""

import keras
import numpy as np
import pytest

from keras_poolformer import (
    PoolFormerBackbone,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    load_torch_weights,
)
from keras_poolformer.support.errors import InputError
from tests.helpers import TOLERANCE, randomized_module, relative_error

torch = pytest.importorskip("torch")
oracles = pytest.importorskip("conversion.oracles")

# timm leaves out the convolution between stages of one width: these are all different.
CONFIG = PoolFormerConfig(depths=(1, 1, 1, 1), widths=(8, 12, 16, 24), num_classes=3)


def error_to(received, tensor):
    """The relative error to a tensor of PyTorch, whose maps are (N, C, H, W)."""
    return relative_error(received, tensor.movedim(1, -1))


@pytest.fixture(scope="module")
def pixels(images):
    """The photographs as PyTorch wants them."""
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


@pytest.fixture(scope="module", params=["timm", "hf"])
def oracle(request, tmp_path_factory):
    """(layout, PyTorch's module, its checkpoint)."""
    module = randomized_module(oracles.build_oracle(CONFIG, request.param).module)
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(module.state_dict(), path)
    return request.param, module, path


def test_stage_outputs_and_last_map(oracle, images, pixels):
    """timm: forward_features, forward_intermediates; transformers: hidden_states."""
    layout, module, path = oracle
    backbone = PoolFormerBackbone.from_preset(path)
    with torch.inference_mode():
        if layout == "timm":
            last, stages = module.forward_intermediates(pixels)
            assert torch.equal(last, module.forward_features(pixels))
        else:
            output = module.poolformer(pixels, output_hidden_states=True)
            last, stages = output.last_hidden_state, output.hidden_states
    assert error_to(backbone(images), last) <= TOLERANCE
    ours = keras.Model(backbone.input, backbone.stage_outputs)(images)
    assert list(ours) == ["P2", "P3", "P4", "P5"]
    for received, expected in zip(ours.values(), stages, strict=True):
        assert error_to(received, expected) <= TOLERANCE


def test_embedding_is_timms_pre_logits(tmp_path, images, pixels):
    module = randomized_module(oracles.build_oracle(CONFIG, "timm").module)
    torch.save(module.state_dict(), tmp_path / "timm.pth")
    model = PoolFormerImageClassifier.from_preset(tmp_path / "timm.pth")
    with torch.inference_mode():
        expected = module.forward_head(module.forward_features(pixels), pre_logits=True)
        module.reset_classifier(0)
        assert torch.equal(module(pixels), expected)
    assert error_to(model.embed(images), expected) <= TOLERANCE
    for headless in (
        PoolFormerImageClassifier.from_preset(tmp_path / "timm.pth", num_classes=0),
        model.with_classes(0),
    ):
        assert error_to(headless(images), expected) <= TOLERANCE


@pytest.mark.first(1)
@pytest.mark.parametrize("layout", ["sail", "timm", "hf"])
def test_a_checkpoint_without_classes(layout, tmp_path, images, pixels):
    """The norm of the head is there, the linear layer is not."""
    oracle = oracles.build_oracle(CONFIG.replace(num_classes=0), layout)
    module = randomized_module(oracle.module)
    ours = {theirs: name for name, theirs in oracle.names.items()}
    state = {ours.get(name, name): value for name, value in module.state_dict().items()}
    torch.save(state, tmp_path / "weights.pth")
    with torch.inference_mode():
        expected = module(pixels) if layout == "timm" else module(pixels).logits
    model = PoolFormerImageClassifier.from_preset(tmp_path / "weights.pth")
    assert (model.config.num_classes, model.provenance["new_tensors"]) == (0, [])
    assert error_to(model(images), expected) <= TOLERANCE
    fresh = PoolFormerImageClassifier(model.config)
    load_torch_weights(fresh, tmp_path / "weights.pth")
    np.testing.assert_array_equal(fresh(images), model(images))


def test_a_hub_directory_without_classes(tmp_path, images, pixels):
    module = randomized_module(oracles.build_oracle(CONFIG.replace(num_classes=0), "hf").module)
    module.save_pretrained(tmp_path / "hub")
    model = PoolFormerImageClassifier.from_preset(tmp_path / "hub")
    with torch.inference_mode():
        assert error_to(model(images), module(pixels).logits) <= TOLERANCE


@pytest.mark.slow
def test_levels_are_timms_out_indices(tmp_path, images, pixels):
    import timm

    small, small_pixels = images[:, :96, :130], pixels[:, :, :96, :130]
    module = timm.create_model("poolformer_s12", features_only=True, out_indices=(0, 2)).eval()
    randomized_module(module)
    full = timm.create_model("poolformer_s12")
    state = {name.replace("stages_", "stages."): one for name, one in module.state_dict().items()}
    torch.save(full.state_dict() | state, tmp_path / "timm.pth")  # stage 3 is in `full` alone
    backbone = PoolFormerBackbone.from_preset(tmp_path / "timm.pth")
    extractor = backbone.feature_extractor(["P2", "P4"])
    maps = extractor(small)
    assert list(maps) == ["P2", "P4"]
    with torch.inference_mode():
        for received, expected in zip(maps.values(), module(small_pixels), strict=True):
            assert error_to(received, expected) <= TOLERANCE
    names = [layer.name for layer in extractor.layers]
    assert "stages_2_blocks_5" in names  # and no further
    assert not any(name.startswith("stages_3") for name in names)


@pytest.mark.parametrize("levels", [["P2", "P9"], [], "P2", [0, 2]])
def test_unknown_levels_are_refused(levels):
    with pytest.raises(InputError, match=r"among P2, P3, P4, P5\. Received: \["):
        PoolFormerBackbone(CONFIG).feature_extractor(levels)

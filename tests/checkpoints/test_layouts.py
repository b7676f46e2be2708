"""Names and shapes, against the state dicts of the PyTorch classes themselves."""

import pytest

from keras_poolformer import PoolFormerConfig
from keras_poolformer.checkpoints import layouts
from keras_poolformer.checkpoints.architecture import infer_config
from keras_poolformer.checkpoints.names import model_names
from keras_poolformer.checkpoints.tensors import expected_tensors
from keras_poolformer.support.errors import InputError
from keras_poolformer.variants import VARIANTS

oracles = pytest.importorskip("conversion.oracles")

CONFIGS = {
    "odd": PoolFormerConfig(
        depths=(1, 3, 2), widths=(24, 40, 72), in_channels=4, num_classes=7
    ),
    "one stage": PoolFormerConfig(depths=(2,), widths=(8,), num_classes=1),
    **VARIANTS,
    "no layer scale": PoolFormerConfig.from_variant("poolformer_s12", use_layer_scale=False),
    "no classes": PoolFormerConfig.from_variant("poolformer_s12", num_classes=0),
}  # fmt: skip


def torch_shapes(config, layout):
    """{name: shape} of the PyTorch class, in the names of a layout."""
    with oracles.torch.device("meta"):  # shapes without weights
        oracle = oracles.build_oracle(config, layout)
    ours = {theirs: name for name, theirs in oracle.names.items()}
    state = oracle.module.state_dict()
    return {ours.get(name, name): tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.first(9)  # an odd network, one stage, and the smallest variant
@pytest.mark.parametrize("layout", layouts.LAYOUTS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_expected_tensors_are_pytorchs(config, layout):
    table = expected_tensors(config, layouts.get_layout(layout))
    assert {tensor.name: tensor.shape for tensor in table} == torch_shapes(config, layout)
    assert len({tensor.path for tensor in table}) == len(table)


@pytest.mark.first(9)  # an odd network, one stage, and the smallest variant
@pytest.mark.parametrize("layout", layouts.LAYOUTS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_architecture_is_read_off_the_shapes(config, layout):
    shapes = torch_shapes(config, layout)
    row = layouts.detect_layout(shapes)
    assert row.name == layout
    inferred = infer_config(shapes, row)
    # transformers and timm make the class without stochastic depth
    rate = config.drop_path_rate if layout == "sail" else 0.0
    assert inferred == config.replace(head=row.head_kind, drop_path_rate=rate)


def test_s12_has_132_tensors_in_every_layout():
    config = VARIANTS["poolformer_s12"]
    counts = [len(expected_tensors(config, row)) for row in layouts.LAYOUTS.values()]
    assert counts == [132, 132, 132]


@pytest.mark.parametrize("ratio", [4.0, 3.0, 2.5, 1.3, 3.3, 8 / 3, 100 / 24])
def test_mlp_ratio_gives_the_hidden_width_of_every_stage(ratio):
    config = PoolFormerConfig(depths=(1, 1, 1, 1), widths=(24, 40, 72, 81), mlp_ratio=ratio)
    shapes = torch_shapes(config, "hf")
    inferred = infer_config(shapes, layouts.HF)
    hidden = [inferred.hidden_width(stage) for stage in range(4)]
    assert hidden == [int(width * ratio) for width in config.widths]


def test_the_bare_transformers_model_gets_its_classifiers_names():
    names = model_names(["encoder.patch_embeddings.0.projection.weight"], "")
    assert layouts.detect_layout(names.values()) is layouts.HF


def test_unknown_tensors_are_no_layout():
    with pytest.raises(InputError, match=r"not a PoolFormer.*conv1\.weight.*patch_embed\.proj"):
        layouts.detect_layout({"conv1.weight": 1, "fc.bias": 2})
    with pytest.raises(InputError, match=r"sail, timm, hf.*Received: 'keras'"):
        layouts.get_layout("keras")


@pytest.mark.parametrize("missing", ["patch_embed.proj.weight", "network.0.0.mlp.fc1.weight",
                                     "network.4."])  # fmt: skip
def test_missing_landmarks_are_named(missing):
    shapes = torch_shapes(CONFIGS["odd"], "sail")
    shapes = {name: shape for name, shape in shapes.items() if not name.startswith(missing)}
    with pytest.raises(InputError) as raised:
        infer_config(shapes, layouts.SAIL)
    assert missing.rstrip(".").replace(".", "") in str(raised.value).replace(".", "").replace(
        "\\", ""
    )

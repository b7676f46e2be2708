"""Names and shapes, against the state dicts of the PyTorch classes themselves."""

import functools

import pytest

from keras_poolformer import PoolFormerConfig
from keras_poolformer.checkpoints import layouts
from keras_poolformer.checkpoints.architecture import infer_config
from keras_poolformer.checkpoints.names import model_names
from keras_poolformer.checkpoints.tensors import count_parameters, expected_tensors
from keras_poolformer.support.errors import InputError
from keras_poolformer.variants import VARIANTS
from tests.helpers import MIXED, MIXED_GROUP_NORMS, error_line
from tests.segmenters import CONFIG

oracles = pytest.importorskip("conversion.oracles")

FIRST_LAYOUTS = ("sail", "timm", "hf")
FIRST_PAPER = {
    "odd": PoolFormerConfig(
        depths=(1, 3, 2), widths=(24, 40, 72), in_channels=4, num_classes=7
    ),
    "one stage": PoolFormerConfig(depths=(2,), widths=(8,), num_classes=1),
    **{name: config for name, config in VARIANTS.items() if not config.embedding_norm},
    "no layer scale": PoolFormerConfig.from_variant("poolformer_s12", use_layer_scale=False),
    "no classes": PoolFormerConfig.from_variant("poolformer_s12", num_classes=0),
}  # fmt: skip
SECOND_PAPER = {
    "mixed": MIXED,
    "mixed group norms": MIXED_GROUP_NORMS,
    **{name: config for name, config in VARIANTS.items() if config.embedding_norm},
    "layer scale": MIXED.replace(use_layer_scale=True),
    "no head": PoolFormerConfig.from_variant("caformer_s18", num_classes=0),
}
LAYOUTS_OF = {
    **dict.fromkeys(FIRST_PAPER, FIRST_LAYOUTS),
    **dict.fromkeys(SECOND_PAPER, ("metaformer", "timm")),
    **{name: ("metaformer",) for name in SECOND_PAPER if name.startswith("randformer")},
    "mixed group norms": ("metaformer",),
}


def cases():
    """(config, layout); the larger released networks differ in depth and width alone."""
    for name, config in (FIRST_PAPER | SECOND_PAPER).items():
        is_large = name in VARIANTS and not name.endswith(("_s12", "_s18"))
        for layout in LAYOUTS_OF[name]:
            marks = [pytest.mark.slow] if is_large else []
            yield pytest.param(config, layout, marks=marks, id=f"{name}-{layout}")


@functools.cache
def torch_shapes(config, layout):
    """{name: shape} of the PyTorch class, in the names and shapes of a layout."""
    with oracles.torch.device("meta"):  # shapes without weights
        state = oracles.build_oracle(config, layout).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize(("config", "layout"), list(cases()))
def test_expected_tensors_are_pytorchs(config, layout):
    table = expected_tensors(config, layouts.get_layout(layout))
    assert {tensor.name: tensor.shape for tensor in table} == torch_shapes(config, layout)
    assert len({tensor.path for tensor in table}) == len(table)


@pytest.mark.parametrize(("config", "layout"), list(cases()))
def test_architecture_is_read_off_the_shapes(config, layout):
    shapes = torch_shapes(config, layout)
    row = layouts.detect_layout(shapes)
    assert row.name == layout
    # What the shapes cannot tell; of PoolFormer there is nothing.
    names = ("token_mixers", "norm", "norm_epsilon", "pool_size") if config.embedding_norm else ()
    inferred = infer_config(shapes, row, {name: getattr(config, name) for name in names})
    expected = config.replace(head=row.head_kind)
    if config.head_mlp_ratio and config.num_classes:
        expected = expected.replace(head_norm_epsilon=row.head_norm_epsilon)
    if layout in ("timm", "hf"):  # these libraries make the class without stochastic depth
        expected = expected.replace(drop_path_rate=0.0)
    assert inferred == expected


def test_a_segmenters_tensors_are_pytorchs():
    """Those of the re-implementation, but for the counts of its batch norms."""
    shapes = {n: s for n, s in torch_shapes(CONFIG, "mmseg").items() if not n.endswith("tracked")}
    table = expected_tensors(CONFIG, layouts.MMSEG)
    assert {tensor.name: tensor.shape for tensor in table} == shapes
    assert infer_config(shapes, layouts.detect_layout(shapes)) == CONFIG


# Parameters of mmsegmentation's models, counted on its classes; 196, 316, 436, 436 and 556 tensors
# with the counts of the batch norms.
@pytest.mark.parametrize(
    ("name", "parameters", "tensors"),
    [
        ("poolformer_s12", 15_669_846, 196),
        ("poolformer_s24", 25_143_638, 316),
        ("poolformer_s36", 34_617_430, 436),
        ("poolformer_m36", 59_778_006, 436),
        ("poolformer_m48", 77_078_934, 556),
    ],
)
def test_sizes_of_released_segmenters(name, parameters, tensors):
    config = VARIANTS[name].replace(num_classes=150, head="semantic_fpn", feature_norms=True)
    assert count_parameters(config) == parameters
    assert len(expected_tensors(config, layouts.MMSEG)) + 7 == tensors


def test_s12_has_132_tensors_in_every_layout():
    config = VARIANTS["poolformer_s12"]
    counts = [len(expected_tensors(config, layouts.LAYOUTS[name])) for name in FIRST_LAYOUTS]
    assert counts == [132, 132, 132]


@pytest.mark.parametrize("layout", ["metaformer", "timm"])
@pytest.mark.parametrize("family", ["poolformerv2", "identityformer"])
def test_a_file_that_fits_two_networks_is_refused(family, layout):
    shapes = torch_shapes(VARIANTS[f"{family}_s12"], layout)
    row = layouts.get_layout(layout)
    message = error_line(infer_config, shapes, row)
    for part in ("stages 0, 1, 2, 3", "pooling", "identity", "`token_mixers`", "--architecture"):
        assert part in message
    mixers = VARIANTS[f"{family}_s12"].token_mixers
    for given in (mixers, list(mixers), mixers[0]):
        assert infer_config(shapes, row, {"token_mixers": given}).token_mixers == mixers


def test_only_stages_without_weights_are_asked_for():
    shapes = torch_shapes(MIXED, "timm")
    message = error_line(infer_config, shapes, layouts.TIMM)
    assert "stages 0 have no weights" in message.replace("of stages 0 ", "stages 0 ")


def test_randformers_other_stages_are_identity():
    for name in ("randformer_s12", "randformer_s24"):
        shapes = torch_shapes(VARIANTS[name], "metaformer")
        assert infer_config(shapes, layouts.METAFORMER) == VARIANTS[name]


def test_convformer_and_caformer_tell_their_mixers():
    for name in ("convformer_s18", "caformer_s18"):
        shapes = torch_shapes(VARIANTS[name], "metaformer")
        assert infer_config(shapes, layouts.METAFORMER) == VARIANTS[name]


@pytest.mark.parametrize(
    ("config", "layout", "parts"),
    [
        (VARIANTS["caformer_s18"], "sail", ("use timm or metaformer", "star_relu")),
        (VARIANTS["poolformerv2_s12"], "sail", ("use timm or metaformer",)),
        (VARIANTS["poolformerv2_s12"], "hf", ("use timm or metaformer",)),
        (VARIANTS["randformer_s12"], "sail", ("use metaformer",)),
        (VARIANTS["randformer_s12"], "timm", ("use metaformer", "'random'")),
        (VARIANTS["poolformer_s12"], "metaformer", ("use sail or timm or hf",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_library_without_the_network_names_one_that_has_it(config, layout, parts):
    message = error_line(expected_tensors, config, layouts.get_layout(layout))
    assert all(part in message for part in (f"layout {layout} ", *parts)), message


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
    with pytest.raises(InputError, match=r"not a MetaFormer.*conv1\.weight.*patch_embed\.proj"):
        layouts.detect_layout({"conv1.weight": 1, "fc.bias": 2})
    with pytest.raises(InputError, match=r"sail, timm, hf, metaformer.*Received: 'keras'"):
        layouts.get_layout("keras")


@pytest.mark.parametrize("missing", ["patch_embed.proj.weight", "network.0.0.mlp.fc1.weight",
                                     "network.4."])  # fmt: skip
def test_missing_landmarks_are_named(missing):
    shapes = torch_shapes(FIRST_PAPER["odd"], "sail")
    shapes = {name: shape for name, shape in shapes.items() if not name.startswith(missing)}
    with pytest.raises(InputError) as raised:
        infer_config(shapes, layouts.SAIL)
    assert missing.rstrip(".").replace(".", "") in str(raised.value).replace(".", "").replace(
        "\\", ""
    )


@pytest.mark.parametrize(("width", "hidden"), [(49, 27), (93, 102), (107, 14), (161, 25)])
def test_any_width_inside_an_mlp_head_is_inferred(width, hidden):
    """The config has it as a ratio, whose rounding must not lose a channel."""
    config = VARIANTS["convformer_s18"].replace(widths=(64, 128, 320, width))
    shapes = {tensor.name: tensor.shape for tensor in expected_tensors(config, layouts.TIMM)}
    shapes["head.fc.fc1.weight"] = (hidden, width)
    assert infer_config(shapes, layouts.TIMM).head_width == hidden

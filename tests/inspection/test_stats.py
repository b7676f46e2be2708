"""Parameters, multiply-accumulates and activations, as PyTorch's own classes have them.

Three judges: the published figures, forward hooks on timm's and transformers' modules, and
fvcore, which made the published figures.
"""

import functools
import json

import keras
import numpy as np
import pytest

from keras_poolformer import (
    PoolFormerBackbone,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    PoolFormerSegmenter,
)
from keras_poolformer.inspection.stats import MAX_SIDE, least_side, model_stats
from keras_poolformer.support.errors import InputError
from keras_poolformer.variants import VARIANTS
from tests.helpers import run_python
from tests.segmenters import CONFIG as SEGMENTER

torch = pytest.importorskip("torch")
oracles = pytest.importorskip("conversion.oracles")

# GMACs of the paper (table 1, by fvcore); activations of timm's model card, only of m36.
PUBLISHED = {
    "poolformer_s12": (11.9, 1.82, None),
    "poolformer_s24": (21.4, 3.41, None),
    "poolformer_s36": (30.9, 5.00, None),
    "poolformer_m36": (56.2, 8.80, 22.0),
    "poolformer_m48": (73.5, 11.59, None),
}
LAYOUTS = {"pool_norm": "timm", "norm_pool": "hf", "semantic_fpn": "mmseg"}
WIDE = (99, 130)


@functools.cache
def stats_of_variant(name, size=224):
    return model_stats(PoolFormerConfig.from_variant(name, head="pool_norm"), size)


def module_and_image(config, size):
    """The PyTorch class of a config's head, without weights, and an image for it."""
    height, width = (size, size) if isinstance(size, int) else size
    with torch.device("meta"):  # only shapes: nothing is computed
        module = oracles.build_oracle(config, LAYOUTS[config.head]).module
        return module, torch.zeros(1, config.in_channels, height, width)


def hooked_counts(config, size):
    """{"conv": MACs, "linear": MACs} and activations of a PyTorch class, by forward hooks."""
    module, image = module_and_image(config, size)
    macs, activations = {"conv": 0, "linear": 0}, []

    def hook(layer, _, output):
        kind = "linear" if isinstance(layer, torch.nn.Linear) else "conv"
        macs[kind] += output.numel() * layer.weight[0].numel()
        activations.append(output.numel())

    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(hook)
    module(image)
    return macs, sum(activations), sum(one.numel() for one in module.parameters())


def assert_as_hooked(stats, config, size):
    macs, activations, params = hooked_counts(config, size)
    assert {kind: stats.macs_by_kind[kind] for kind in macs} == macs
    assert (stats.activations, stats.params) == (activations, params)


@pytest.mark.first(1)
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name):
    stats, (params, gmacs, activations) = stats_of_variant(name), PUBLISHED[name]
    assert round(stats.params / 1e6, 1) == params
    assert round(stats.macs / 1e9, 2) == gmacs
    assert activations in (None, round(stats.activations / 1e6, 1))


@pytest.mark.first(1)
@pytest.mark.parametrize("name", VARIANTS)
def test_variants_equal_timms_by_hooks(name):
    assert_as_hooked(stats_of_variant(name), PoolFormerConfig.from_variant(name), 224)


@pytest.mark.first(1)
@pytest.mark.parametrize("size", [WIDE, 225, 17])
@pytest.mark.parametrize("head", ["pool_norm", "norm_pool"])
def test_odd_networks_and_sizes_equal_pytorchs_by_hooks(head, size, odd_config):
    config = odd_config.replace(head=head)
    assert_as_hooked(model_stats(config, size), config, size)


class Logits(torch.nn.Module):
    """transformers' class or a segmenter, with a tensor for its result, as fvcore requires."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, images):
        output = self.module(images)
        if isinstance(output, tuple):
            return output[-1]
        return output if isinstance(output, torch.Tensor) else output.logits


def assert_as_fvcore(stats, config, size):
    fvcore = pytest.importorskip("fvcore.nn")
    module = oracles.build_oracle(config, LAYOUTS[config.head]).module
    image = torch.zeros(1, config.in_channels, *((size, size) if size == 224 else size))
    counts = []
    for analysis in (fvcore.FlopCountAnalysis, fvcore.ActivationCountAnalysis):
        counting = analysis(Logits(module).eval(), image).unsupported_ops_warnings(False)
        counts.append(counting.total())
    assert [stats.macs, stats.activations] == counts


# fvcore is of 2022: PyTorch has deprecated how it traces.
@pytest.mark.first(1)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize(
    ("name", "head", "size"),
    [
        ("odd", "pool_norm", WIDE),
        ("odd", "norm_pool", WIDE),
        ("poolformer_s12", "pool_norm", 224),
    ],
)
def test_equal_to_fvcores_count(name, head, size, odd_config):
    config = odd_config if name == "odd" else PoolFormerConfig.from_variant(name)
    config = config.replace(head=head)
    assert_as_fvcore(model_stats(config, size), config, size)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_segmenters_neck_and_head():
    stats = model_stats(SEGMENTER, (64, 96))
    assert_as_fvcore(stats, SEGMENTER, (64, 96))
    assert_as_hooked(stats, SEGMENTER, (64, 96))
    assert [row.name for row in stats.rows][-3:] == ["stage 4", "neck", "head"]
    module, _ = module_and_image(SEGMENTER, 64)
    for row, part in zip(stats.rows[-2:], (module.neck, module.decode_head), strict=True):
        assert row.params == sum(one.numel() for one in part.parameters())
        assert row.resolution == (16, 24)
    assert model_stats(PoolFormerSegmenter(SEGMENTER), (64, 96)) == stats
    for count in ("params", "macs", "activations"):
        assert sum(getattr(row, count) for row in stats.rows) == getattr(stats, count)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_equal_to_fvcores_count(name):
    config = PoolFormerConfig.from_variant(name, head="pool_norm")
    assert_as_fvcore(stats_of_variant(name), config, 224)


def test_rows_are_the_parts_of_the_network(odd_config):
    config = odd_config.replace(head="pool_norm")
    stats = model_stats(config, WIDE)
    names = ["stem", "stage 1", "stage 2", "stage 3", "head"]
    assert [row.name for row in stats.rows] == names
    assert [row.blocks for row in stats.rows] == [0, *config.depths, 0]
    for count in ("params", "macs", "activations"):
        assert sum(getattr(row, count) for row in stats.rows) == getattr(stats, count)
    module, image = module_and_image(config, WIDE)
    maps = module.forward_intermediates(image, intermediates_only=True)
    shapes = [(row.width, *row.resolution) for row in stats.rows]
    assert shapes[1:-1] == [tuple(one.shape[1:]) for one in maps]
    assert shapes[0] == shapes[1] and shapes[-1] == (7, 1, 1)
    parts = [module.stem, *module.stages, module.head]
    params = [sum(one.numel() for one in part.parameters()) for part in parts]
    assert [row.params for row in stats.rows] == params


def test_to_dict_is_plain(tiny_config):
    stats = model_stats(tiny_config, (64, 96))
    fields = json.loads(json.dumps(stats.to_dict()))
    assert fields == stats.to_dict()
    assert fields["size"] == [64, 96] and fields["macs"] == stats.macs
    assert fields["rows"][1]["resolution"] == [16, 24]


@pytest.mark.slow
def test_a_backbone_is_a_classifier_without_its_head(tiny_config):
    whole = model_stats(PoolFormerImageClassifier(tiny_config), 64)
    backbone = model_stats(PoolFormerBackbone(tiny_config), 64)
    embedding = model_stats(tiny_config.replace(num_classes=0), 64)
    assert backbone.rows == whole.rows[:-1] == embedding.rows[:-1]
    head = embedding.rows[-1]
    assert (head.width, head.params, head.activations) == (16, 2 * 16, 0)
    assert whole.activations == embedding.activations + 3 == backbone.activations + 3


def test_norms_of_feature_maps_belong_to_their_stages(tiny_config):
    config = tiny_config.replace(feature_norms=("P3", "P5"))
    backbone = PoolFormerBackbone(config)
    plain, normed = model_stats(PoolFormerBackbone(tiny_config), 64), model_stats(backbone, 64)
    assert sum(row.params for row in normed.rows) == normed.params == backbone.count_params()
    assert sum(row.macs for row in normed.rows) == normed.macs
    maps = backbone.feature_extractor(["P3", "P5"])(np.zeros((1, 64, 64, 3)))
    elements = sum(int(np.prod(one.shape)) for one in maps.values())
    assert normed.macs - plain.macs == 5 * elements
    assert normed.params - plain.params == 2 * (config.widths[1] + config.widths[3])


def test_what_costs_nothing_changes_nothing(tiny_config):
    """Nor does precision, and what is shared (the dropout of an MLP) is not counted twice."""
    busy = tiny_config.replace(drop_path_rate=0.1, dropout_rate=0.1, pool_size=7)
    model = PoolFormerImageClassifier(busy, dtype="mixed_bfloat16")
    assert model_stats(model, 64) == model_stats(tiny_config, 64)


@pytest.mark.slow
def test_the_model_stays_as_it_was(tiny_config, monkeypatch):
    model = PoolFormerImageClassifier(tiny_config)
    images = np.ones((1, 32, 32, 3), "float32")
    before, attributes = model(images), [set(vars(one)) for one in model._flatten_layers()]
    assert model_stats(model, 64) == model_stats(model, 64)
    monkeypatch.setattr(keras.layers.Dense, "call", lambda *_: 1 / 0)
    with pytest.raises(NotImplementedError):
        model_stats(model, 64)
    monkeypatch.undo()
    assert [set(vars(one)) for one in model._flatten_layers()] == attributes
    assert np.array_equal(model(images), before)


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "overrides", [{}, {"patch_sizes": (9, 4, 4, 4), "paddings": (0,) * 4}, {"strides": (1,) * 4}]
)
def test_the_least_size_leaves_every_stage_a_pixel(overrides, tiny_config):
    config = tiny_config.replace(**overrides)
    least = least_side(config)
    assert model_stats(config, least).rows[-2].resolution == (1, 1)
    with pytest.raises(InputError, match=f"pixels from {least} to {MAX_SIDE}"):
        model_stats(config, (64, least - 1))


@pytest.mark.parametrize(
    "size", [0, -224, MAX_SIDE + 1, 10**30, 224.0, "224", None, True, (224,), (224, 224, 3)]
)
def test_what_is_no_size_is_refused(size, tiny_config):
    with pytest.raises(InputError, match="`size` must be a whole number of pixels") as error:
        model_stats(tiny_config, size)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_the_largest_size_is_only_counted(tiny_config):
    stats, small = (model_stats(tiny_config, size) for size in (MAX_SIDE, MAX_SIDE // 256))
    for kind, factor in (("conv", 256**2), ("norm", 256**2), ("linear", 1)):
        assert stats.macs_by_kind[kind] == factor * small.macs_by_kind[kind]


BACKEND_SCRIPT = """
from keras import backend
from keras_poolformer import PoolFormerConfig, model_stats
stats = model_stats(PoolFormerConfig((1, 1), (8, 16), num_classes=3), (33, 65))
print(backend.backend(), stats.macs, stats.activations)
"""


@pytest.mark.slow
def test_another_backend_counts_the_same(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    done = run_python("-c", BACKEND_SCRIPT)
    stats = model_stats(PoolFormerConfig((1, 1), (8, 16), num_classes=3), (33, 65))
    assert done.stdout.split() == ["torch", str(stats.macs), str(stats.activations)], done.stderr

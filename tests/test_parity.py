"""PoolFormer equals PyTorch: every variant, every layout, both heads, all weights random.

transformers' class judges the norm_pool head, timm's the pool_norm head, both the stages.
"""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_poolformer import PoolFormerConfig, PoolFormerImageClassifier, load_torch_weights
from keras_poolformer.variants import VARIANTS
from tests.helpers import TOLERANCE, randomized_module, relative_error

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")
oracles = pytest.importorskip("conversion.oracles")

from timm.models.metaformer import checkpoint_filter_fn  # noqa: E402

LAYOUTS, HEADS = ("sail", "timm", "hf"), ("norm_pool", "pool_norm")


def save_in_every_layout(folder, hf_oracle, timm_oracle):
    """One set of weights under three sets of names; timm's own code makes timm's."""
    hf_state = hf_oracle.module.state_dict()
    sail_state = {oracles.sail_name(name): tensor for name, tensor in hf_state.items()}
    timm_state = checkpoint_filter_fn(dict(sail_state), timm_oracle.module)
    timm_oracle.module.load_state_dict(timm_state, strict=True)
    safetensors_torch.save_file(timm_state, folder / "timm.safetensors")
    torch.save({"state_dict": sail_state, "epoch": 1}, folder / "sail.pth.tar")
    torch.save(hf_state, folder / "hf.bin")
    return {
        "sail": folder / "sail.pth.tar",
        "timm": folder / "timm.safetensors",
        "hf": folder / "hf.bin",
    }


# A small network like the variants, which differ in depth and width alone, and an odd one.
SMALL = PoolFormerConfig(depths=(1, 1, 2, 1), widths=(8, 16, 24, 32), num_classes=5)
FIRST_PAPER = [name for name, config in VARIANTS.items() if not config.embedding_norm]
NETWORKS = [
    "small",
    "odd",
    *(pytest.param(name, marks=pytest.mark.slow) for name in FIRST_PAPER),
]


@pytest.fixture(scope="module", params=NETWORKS)
def network(request, tmp_path_factory, odd_config, images):
    """Checkpoint files, Keras models of both heads, and what PyTorch makes of photographs."""
    name = request.param
    small = {"small": SMALL, "odd": odd_config}
    config = small.get(name) or PoolFormerConfig.from_variant(name)
    hf_oracle, timm_oracle = (oracles.build_oracle(config, one) for one in ("hf", "timm"))
    randomized_module(hf_oracle.module)
    files = save_in_every_layout(tmp_path_factory.mktemp(name), hf_oracle, timm_oracle)
    inputs = images[..., np.arange(config.in_channels) % 3]
    models = {head: PoolFormerImageClassifier(config.replace(head=head)) for head in HEADS}
    expected = {"norm_pool": hf_oracle.run(inputs), "pool_norm": timm_oracle.run(inputs)}
    return files, models, inputs, expected


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_logits_and_stages_equal_pytorchs(network, layout, head):
    files, models, inputs, expected = network
    model = models[head]
    for variable in model.variables:  # what an earlier load left would hide a missing one
        variable.assign(keras.ops.zeros_like(variable))
    report = load_torch_weights(model, files[layout])
    assert (report.layout, report.head) == (layout, head)
    assert report.parameters == model.count_params()

    stages = keras.Model(model.backbone.input, model.backbone.pyramid_outputs)(inputs)
    errors = {name: relative_error(one, expected[head][name]) for name, one in stages.items()}
    errors["logits"] = relative_error(model(inputs), expected[head]["logits"])
    assert len(errors) == len(model.config.depths) + 1
    print(f"largest relative error, {layout}, {head}: {max(errors.values()):.1e}")
    assert max(errors.values()) <= TOLERANCE, errors


def test_the_two_heads_differ(network):
    """Were they close, comparing with the wrong oracle could pass."""
    *_, expected = network
    assert relative_error(expected["norm_pool"]["logits"], expected["pool_norm"]["logits"]) > 0.01
    for stage in set(expected["norm_pool"]) - {"logits"}:
        # The oracles agree with each other, by rounding (timm's norm is another kernel).
        pair = [expected[head][stage] for head in HEADS]
        assert relative_error(*pair) <= TOLERANCE


BACKENDS_SCRIPT = """
import json, sys
import numpy as np
from keras import backend, ops
from keras_poolformer import PoolFormerImageClassifier
checkpoint, inputs, overrides = sys.argv[1], np.load(sys.argv[2]), json.loads(sys.argv[3])
model = PoolFormerImageClassifier.from_preset(checkpoint, **overrides)
assert backend.backend() == sys.argv[4]
np.save(sys.argv[5], ops.convert_to_numpy(model(inputs, training=False)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "head"),
    [
        ("jax", "norm_pool"),
        ("torch", "pool_norm"),
        pytest.param("jax", "pool_norm", marks=pytest.mark.slow),
        pytest.param("torch", "norm_pool", marks=pytest.mark.slow),
    ],
)
def test_other_backends_give_the_same_logits(tmp_path, odd_config, images, backend, head):
    pytest.importorskip(backend)
    layout = {"norm_pool": "hf", "pool_norm": "timm"}[head]
    oracle = oracles.build_oracle(odd_config, layout)
    randomized_module(oracle.module)
    inputs = images[:1, :99, :130][..., np.arange(4) % 3]  # odd sizes too
    torch.save(oracle.module.state_dict(), tmp_path / "weights.pth")
    np.save(tmp_path / "inputs.npy", inputs)
    arguments = [
        tmp_path / "weights.pth", tmp_path / "inputs.npy",
        json.dumps({"pool_size": odd_config.pool_size}), backend, tmp_path / "logits.npy",
    ]  # fmt: skip
    subprocess.run(
        [sys.executable, "-c", BACKENDS_SCRIPT, *map(str, arguments)],
        env=os.environ | {"KERAS_BACKEND": backend},
        check=True,
    )
    logits = np.load(tmp_path / "logits.npy")
    assert relative_error(logits, oracle.run(inputs)["logits"]) <= TOLERANCE

"""The networks of the second paper equal PyTorch: every family and mixtures, all weights random.

timm's class, or what is made of its parts where only the authors have it, computes in float64.
Both sides read the same file, so that names and axes are proven too.
"""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_poolformer import MetaFormerImageClassifier
from keras_poolformer.variants import VARIANTS
from tests.helpers import MIXED, MIXED_GROUP_NORMS, randomized_module, relative_error

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")
oracles = pytest.importorskip("conversion.oracles")

# Relative L2 error. Measured, and printed with -rP: up to 5e-15 in float64 and 1.3e-6 in float32,
# at 36 layers; two correct float32 implementations differ by up to 2.5e-6.
TOLERANCES = {"float64": 1e-10, "float32": 4e-6}
SIDE = 64  # pixels, where random mixing does not fix it
MIXTURES = {"mixed": MIXED, "mixed group norms": MIXED_GROUP_NORMS}
SMALLEST = (
    "poolformerv2_s12", "identityformer_s12", "randformer_s12", "convformer_s18", "caformer_s18",
)  # fmt: skip
DEEPER = tuple(name.replace("12", "36").replace("18", "36") for name in SMALLEST)
# What the tensors of a file do not tell, where it is not as in all released networks.
UNTOLD = ("token_mixers", "norm", "norm_epsilon", "pool_size")


def cases():
    """(network, layout, dtype); released networks, which differ in size, are slow."""
    for name in (*MIXTURES, *SMALLEST, *DEEPER):
        layouts = layouts_of(name)
        for layout in layouts[-1:] if name in DEEPER else layouts:
            for dtype in TOLERANCES:
                marks = [] if name in MIXTURES else [pytest.mark.slow]
                yield pytest.param(name, layout, dtype, marks=marks, id=f"{name}-{layout}-{dtype}")


def layouts_of(name):
    has_random = name == "mixed group norms" or name.startswith("randformer")
    return ("metaformer",) if has_random else ("metaformer", "timm")


def save(oracle, path):
    """Writes a file as the library of its layout has it."""
    tensors = {name: tensor.contiguous() for name, tensor in oracle.state_dict().items()}
    safetensors_torch.save_file(tensors, path)
    return path


@pytest.fixture(scope="module")
def pytorchs(tmp_path_factory):
    """pytorchs(name, layout): (config, file, images, {stage or "logits": what PyTorch makes}).

    It keeps the last answer, which the next case asks for again.
    """
    folder = tmp_path_factory.mktemp("weights")
    kept = {}

    def pytorchs(name, layout):
        if (name, layout) not in kept:
            kept.clear()
            config = MIXTURES.get(name) or VARIANTS[name]
            oracle = oracles.build_oracle(config, layout)
            randomized_module(oracle.module)
            file = save(oracle, folder / "weights.safetensors")
            side = config.image_side or SIDE
            shape = (2, side, side, config.in_channels)
            images = np.random.default_rng(0).standard_normal(shape)
            kept[name, layout] = config, file, images, run_in_float64(oracle, images)
        return kept[name, layout]

    return pytorchs


def run_in_float64(oracle, images):
    """In one thread: PyTorch's depthwise convolution is split by channels, and threads wait."""
    threads = torch.get_num_threads()
    oracle.module.double()
    torch.set_num_threads(1)
    try:
        return oracle.run(images)
    finally:
        torch.set_num_threads(threads)


def errors_of(model, images, expected):
    """{stage or "logits": relative L2 error}."""
    inputs = images.astype(model.compute_dtype)
    received = keras.Model(model.backbone.input, model.backbone.pyramid_outputs)(inputs)
    received |= {"logits": model(inputs)}
    assert set(received) == set(expected)
    return {name: relative_error(value, expected[name]) for name, value in received.items()}


@pytest.mark.parametrize(("name", "layout", "dtype"), list(cases()))
def test_logits_and_stages_equal_pytorchs(pytorchs, name, layout, dtype):
    config, file, images, expected = pytorchs(name, layout)
    untold = {field: getattr(config, field) for field in UNTOLD}
    model = MetaFormerImageClassifier.from_preset(file, dtype=dtype, **untold)
    loaded = model.provenance.weights
    assert (loaded.layout, loaded.tensors) == (layout, len(model.weights))
    errors = errors_of(model, images, expected)
    print(f"largest relative error, {name}, {layout}, {dtype}: {max(errors.values()):.1e}")
    assert max(errors.values()) <= TOLERANCES[dtype], errors


@pytest.mark.first(1)
@pytest.mark.parametrize("layout", ["metaformer", "timm"])
def test_the_norm_in_the_heads_mlp_has_the_epsilon_of_its_library(pytorchs, layout, tmp_path):
    """Weights of any size hide it (2e-6); small ones in front of it do not."""
    oracle = oracles.build_oracle(MIXED, layout)
    randomized_module(oracle.module)
    with torch.no_grad():
        oracle.module.head.fc.fc1.weight.mul_(0.03)
        oracle.module.head.fc.fc1.bias.mul_(0.03)
    file = save(oracle, tmp_path / "weights.safetensors")
    images = np.random.default_rng(0).standard_normal((2, SIDE, SIDE, 4))
    expected = run_in_float64(oracle, images)
    ours = {"metaformer": 1e-5, "timm": 1e-6}

    def error(**overrides):
        model = MetaFormerImageClassifier.from_preset(
            file, dtype="float64", pool_size=5, token_mixers=MIXED.token_mixers, **overrides
        )
        return errors_of(model, images, expected)["logits"]

    assert error() <= TOLERANCES["float64"]
    (other,) = set(ours.values()) - {ours[layout]}
    assert error(head_norm_epsilon=other) > 0.01


def test_a_width_of_one_head_and_a_half(pytorchs):
    """sail-sg's attention works there, timm's raises: the mixture has such a stage."""
    config, *_ = pytorchs("mixed group norms", "metaformer")
    assert config.widths[config.token_mixers.index("attention")] % 32
    assert config.widths[0] == config.widths[1]  # where timm leaves out the downsampling


BACKENDS_SCRIPT = """
import json, sys
import numpy as np
from keras import backend, ops
from keras_poolformer import MetaFormerImageClassifier
file, inputs, overrides = sys.argv[1], np.load(sys.argv[2]), json.loads(sys.argv[3])
model = MetaFormerImageClassifier.from_preset(file, **overrides)
assert backend.backend() == sys.argv[4]
np.save(sys.argv[5], ops.convert_to_numpy(model(inputs, training=False)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_give_the_same_logits(pytorchs, tmp_path, name, backend):
    pytest.importorskip(backend)
    config, file, images, expected = pytorchs(name, "metaformer")
    np.save(tmp_path / "inputs.npy", images.astype("float32"))
    untold = json.dumps({field: getattr(config, field) for field in UNTOLD})
    arguments = [file, tmp_path / "inputs.npy", untold, backend, tmp_path / "logits.npy"]
    subprocess.run(
        [sys.executable, "-c", BACKENDS_SCRIPT, *map(str, arguments)],
        env=os.environ | {"KERAS_BACKEND": backend},
        check=True,
    )
    logits = np.load(tmp_path / "logits.npy")
    assert relative_error(logits, expected["logits"]) <= TOLERANCES["float32"]

"""What tests compare and build with, in every room: `from tests.helpers import relative_error`."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_poolformer import PoolFormerConfig
from keras_poolformer.shipped import ASSETS
from keras_poolformer.support.errors import InputError

ROOT = Path(__file__).parents[1]
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals, modes or files")
DEMO = "convformer_tiny_cifar10"  # what README, `make demo` and the page classify with
PRESET = "poolformer_tiny_cifar10"
# All the shipped images, and those of CIFAR-10, whose labels the preset knows.
PHOTOS = sorted((ASSETS / "photos").iterdir())
CIFAR10_PHOTOS = sorted((ASSETS / "photos").glob("cifar10_test_*_*.png"))
# A network of four stages that is small enough for every test.
TINY = PoolFormerConfig(depths=(1, 1, 1, 1), widths=(8, 8, 16, 16), num_classes=3)
# A network that no library has a name for.
ODD = PoolFormerConfig(
    depths=(1, 3, 2),
    widths=(24, 40, 72),
    pool_size=5,
    in_channels=4,
    num_classes=7,
)
# Mixtures of the second paper's parts, with every token mixer. The second one is a network that
# only the authors' code has: random mixing, stages of equal width, attention of a head and a half.
_PARTS = {
    "depths": (1, 2, 2), "in_channels": 4, "num_classes": 7, "head": "pool_norm",
    "embedding_norm": True, "use_bias": False, "use_layer_scale": False, "activation": "star_relu",
}  # fmt: skip
MIXED = PoolFormerConfig(
    **_PARTS,
    widths=(24, 40, 64),
    token_mixers=("pooling", "sep_conv", "attention"),
    pool_size=5,
    norm="layer_norm",
    norm_epsilon=1e-6,
    res_scale_init=(1.0, None, 1.0),
    head_mlp_ratio=4,
)
MIXED_GROUP_NORMS = PoolFormerConfig(
    **_PARTS,
    widths=(32, 32, 48),
    token_mixers=("identity", "random", "attention"),
    num_tokens=(None, 64, None),
    norm="group_norm",
    norm_epsilon=1e-3,
    res_scale_init=1.0,
)
# Relative L2 error to PyTorch, in float32. Measured up to 8.4e-7 by tests/test_parity.py, which
# prints it with -rP, and up to 7e-7 in other tests.
TOLERANCE = 2e-6


def relative_error(received, expected):
    """The relative L2 error of an array or tensor; its shape must be the expected one."""
    received, expected = _array(received), _array(expected)
    assert received.shape == expected.shape
    return np.linalg.norm(received - expected) / np.linalg.norm(expected)


def _array(values):
    """float64, of whatever NumPy, TensorFlow, PyTorch or JAX holds."""
    detached = values.detach() if hasattr(values, "detach") else values
    return np.asarray(detached, np.float64)


def randomized_model(config, model_class=None, seed=0, **options):
    """A classifier, or another model, whose weights are all random and large enough to matter.

    Fresh layer scales of 1e-5 would hide the blocks.
    """
    from keras_poolformer import PoolFormerImageClassifier

    model = (model_class or PoolFormerImageClassifier)(config, **options)
    random = np.random.default_rng(seed)
    for variable in model.weights:
        scale = np.prod(variable.shape[:-1]) ** -0.5 if len(variable.shape) > 1 else 0.3
        offset = 0.7 if "gamma" in variable.path else 0.0
        values = offset + scale * random.standard_normal(variable.shape)
        if variable.path.endswith("moving_variance"):
            values = 0.5 + np.abs(values)
        variable.assign(values)
    return model


# Ranges of what only networks of the second paper have, by the ends of the names; with them no
# activation dies. Fresh scales of 1 and biases of 0 would hide whatever drops them.
_RANGES = {
    "res_scale1.scale": (0.7, 1.3),
    "res_scale2.scale": (0.7, 1.3),
    "act.scale": (0.5, 1.3),
    "act1.scale": (0.5, 1.3),
    "act.bias": (-0.6, 0.0),
    "act1.bias": (-0.6, 0.0),
}


def randomized_module(module, seed=0):
    """A PyTorch module, each parameter of which this function made random in the same way."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            ending = ".".join(name.split(".")[-2:])
            if ending in _RANGES:
                low, high = _RANGES[ending]
                parameter.copy_(low + (high - low) * torch.rand(noise.shape, generator=generator))
            elif name.endswith("random_matrix"):  # rows are averages
                parameter.copy_(torch.softmax(noise, dim=-1))
            elif parameter.ndim > 1:
                fan_in = parameter[0].numel()
                parameter.copy_(noise * fan_in**-0.5)
            elif "bias" in name:
                parameter.copy_(0.2 * noise)
            else:  # norm weights and layer scales
                parameter.copy_(0.5 + 0.2 * noise)
    return module


def error_line(function, *arguments, **options):
    """The message of the `InputError` that a call must raise: one short, printable line."""
    with pytest.raises(InputError) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    assert message.isprintable()  # so it is one line
    assert len(message) < 500 + _length_of_paths(arguments)
    return message


def _length_of_paths(arguments):
    return sum(len(str(argument)) for argument in arguments if isinstance(argument, Path))


def run_python(*arguments, timeout=120, **options):
    """Runs Python in a process of its own, for `timeout` s; returns its `CompletedProcess`."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )


def make_words(script):
    """The words that follow `make`, options aside, in the lines of a shell script."""
    lines = (shlex.split(line, comments=True) for line in script.splitlines())
    commands = (words[1:] for words in lines if words[:1] == ["make"])
    return [word for words in commands for word in words if not word.startswith("-")]

"""The floor has the network's convolutions, and nothing that an export could do without."""

import dataclasses
from collections import Counter
from math import prod

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from benchmarks.contestants import has_floor
from benchmarks.floor import expected_operators, floor_function, require_floor
from keras_poolformer import PoolFormerImageClassifier, load_torch_weights
from keras_poolformer.export.networks.folding import fold
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.support.errors import InputError
from keras_poolformer.variants import VARIANTS

RECIPES = ("fp32", "dynamic_int8", "int8")
ACTIVATIONS = {"built": "GELU", "built_star_relu": "MUL"}  # StarReLU is a ReLU and a product


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.slow) for name in ("built", "built_star_relu")],
)
def activation(request):
    return request.param


@pytest.fixture(scope="module")
def job(request, activation):
    return request.getfixturevalue(activation)


@pytest.fixture(scope="module")
def network(job):
    model = PoolFormerImageClassifier(job.config)
    load_torch_weights(model, job.weights, layout="timm")
    return fold(model)


def convolution_macs(path):
    """Multiplications of each convolution and of the classifier, read off a .tflite file."""
    interpreter = Interpreter(
        str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    shapes = {one["index"]: one["shape"].tolist() for one in interpreter.get_tensor_details()}
    return Counter(
        prod(shapes[operator["outputs"][0]]) * prod(shapes[operator["inputs"][1]][1:])
        for operator in interpreter._get_ops_details()
        if operator["op_name"] in ("CONV_2D", "FULLY_CONNECTED")
        and shapes[operator["inputs"][1]][0] > 1  # means may be matrix products too
    )


def expected_macs(config, size):
    """The same, from the architecture."""
    macs, channels, side = Counter(), config.in_channels, size
    for stage, (depth, width) in enumerate(zip(config.depths, config.widths, strict=True)):
        kernel, padding = config.patch_sizes[stage], config.paddings[stage]
        side = (side + 2 * padding - kernel) // config.strides[stage] + 1
        macs[side**2 * width * kernel**2 * channels] += 1
        macs[side**2 * width * config.hidden_width(stage)] += 2 * depth
        channels = width
    macs[channels * config.num_classes] += 1
    return macs


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_operators(job, network, activation, recipe):
    path = job.folder / f"floor-{recipe}.tflite"
    received = Counter(TFLiteClassifier(path).operators())
    assert received == expected_operators(network, recipe)
    expected = {"CONV_2D": 14, ACTIVATIONS[activation]: 5, "PAD": 4, "MEAN": 1,
                "FULLY_CONNECTED": 1}  # fmt: skip
    assert received == expected | ({"QUANTIZE": 1} if recipe == "int8" else {})


def test_a_file_with_more_than_the_floor_is_refused(job, network):
    with pytest.raises(InputError, match=r"ours-fp32.tflite must hold .*CONV_2D.* Received: .*SUB"):
        require_floor(job.folder / "ours-fp32.tflite", network, "fp32")


@pytest.mark.parametrize("recipe", RECIPES)
def test_convolutions_are_the_networks(job, recipe):
    expected = expected_macs(job.config, job.size)
    assert convolution_macs(job.folder / f"floor-{recipe}.tflite") == expected


def test_our_file_has_the_floors_convolutions(job):
    ours = convolution_macs(job.folder / "ours-fp32.tflite")
    missing = convolution_macs(job.folder / "floor-fp32.tflite") - ours
    assert not missing


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_vanishes_on_the_way(job, recipe):
    """Zeros, or denormal numbers, would be another speed than the network's."""
    classifier = TFLiteClassifier(job.folder / f"floor-{recipe}.tflite")
    images = job.images("normalized" if classifier.input_kind == "normalized" else "pixels")
    scores = classifier.predict(images)
    assert np.isfinite(scores).all()
    assert abs(scores).max() > 1e-3


def test_no_number_overflows_behind_many_squares(job, network):
    """Whatever the scale of the weights is: so large, unscaled squares are infinite."""
    stages = list(network.stages)
    mlp = stages[2].blocks[0].mlp
    mlp = dataclasses.replace(mlp, fc1_kernel=10 * mlp.fc1_kernel)
    block = dataclasses.replace(stages[2].blocks[0], mlp=mlp)
    stages[2] = dataclasses.replace(stages[2], blocks=(block,) * 18)
    images = job.images("normalized", checked_only=False)
    scores = floor_function(dataclasses.replace(network, stages=tuple(stages)), images)(images)
    assert np.isfinite(scores).all()
    assert abs(np.asarray(scores)).max() > 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_pooling_identity_and_random_mixing_have_a_floor(variant):
    assert has_floor(VARIANTS[variant]) == ("convformer" not in variant and "caf" not in variant)

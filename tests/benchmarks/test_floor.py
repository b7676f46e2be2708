"""The floor has the network's convolutions, and nothing that an export could do without."""

from collections import Counter
from math import prod

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from benchmarks.floor import expected_operators, require_floor
from keras_poolformer import PoolFormerImageClassifier, load_torch_weights
from keras_poolformer.export.networks.folding import fold
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.support.errors import InputError

RECIPES = ("fp32", "dynamic_int8", "int8")


@pytest.fixture(scope="module")
def network(built):
    model = PoolFormerImageClassifier(built.config)
    load_torch_weights(model, built.weights, layout="timm")
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


@pytest.mark.parametrize("recipe", RECIPES)
def test_operators(built, network, recipe):
    path = built.folder / f"floor-{recipe}.tflite"
    received = Counter(TFLiteClassifier(path).operators())
    assert received == expected_operators(network, recipe)
    allowed = {"CONV_2D", "GELU", "PAD", "MEAN", "FULLY_CONNECTED", "QUANTIZE"}
    assert set(received) <= allowed
    assert (received["CONV_2D"], received["GELU"], received["PAD"]) == (14, 5, 4)
    assert received["QUANTIZE"] == (recipe == "int8")


def test_a_file_with_more_than_the_floor_is_refused(built, network):
    with pytest.raises(InputError, match=r"ours-fp32.tflite must hold .*CONV_2D.* Received: .*SUB"):
        require_floor(built.folder / "ours-fp32.tflite", network, "fp32")


@pytest.mark.parametrize("recipe", RECIPES)
def test_convolutions_are_the_networks(built, recipe):
    expected = expected_macs(built.config, built.size)
    assert convolution_macs(built.folder / f"floor-{recipe}.tflite") == expected


def test_our_file_has_the_floors_convolutions(built):
    ours = convolution_macs(built.folder / "ours-fp32.tflite")
    missing = convolution_macs(built.folder / "floor-fp32.tflite") - ours
    assert not missing


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_vanishes_on_the_way(built, recipe):
    """Zeros, or denormal numbers, would be another speed than the network's."""
    classifier = TFLiteClassifier(built.folder / f"floor-{recipe}.tflite")
    images = built.images("normalized" if classifier.input_kind == "normalized" else "pixels")
    scores = classifier.predict(images)
    assert np.isfinite(scores).all()
    assert abs(scores).max() > 1e-3

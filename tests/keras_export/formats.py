"""Keras' own export to ONNX and OpenVINO, and running what it wrote."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import onnx
import onnxruntime
import openvino

from keras_poolformer import (
    PoolFormerBackbone,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    PoolFormerSegmenter,
)
from tests.export.family import FAMILIES, family_model
from tests.helpers import TINY, randomized_model, relative_error
from tests.segmenters import SHALLOW, noise

SIDE = 32  # pixels
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}
_SHALLOW = TINY.replace(depths=(1, 1), widths=(8, 16))


@dataclass(frozen=True)
class Case:
    """A network to export.

    Args:
        build: Function that returns it.
        sizes: (N, H, W) of the batches that the file is compared with Keras on.
    """

    build: Callable[[], keras.Model]
    sizes: tuple[tuple[int, int, int], ...] = ((1, SIDE, SIDE), (3, SIDE, SIDE), (2, 48, 40))


# By their names in docs/onnx.md; together all token mixers, both norms and all heads.
CASES = {
    "pooling, GELU": Case(lambda: randomized_model(_SHALLOW)),
    "pooling, StarReLU": Case(lambda: family_model(FAMILIES["poolformerv2"])),
    "identity": Case(lambda: family_model(FAMILIES["identityformer"])),
    # It takes one size only.
    "random mixing": Case(
        lambda: family_model(FAMILIES["randformer"]), ((1, SIDE, SIDE), (3, SIDE, SIDE))
    ),
    "separable convolution": Case(lambda: family_model(FAMILIES["convformer"])),
    "attention": Case(lambda: family_model(FAMILIES["caformer"])),
    "backbone, P2 and P3": Case(
        lambda: randomized_model(_SHALLOW, PoolFormerBackbone).feature_extractor()
    ),
    "segmenter": Case(lambda: randomized_model(SHALLOW, PoolFormerSegmenter)),
}
RELEASED = {
    "poolformer_s12": Case(
        lambda: randomized_model(
            PoolFormerConfig.from_variant("poolformer_s12"), PoolFormerImageClassifier
        ),
        ((1, 224, 224),),
    )
}


def measure(case, file_format, folder):
    """Exports a case and runs the file.

    Returns:
        (largest relative error of an output against Keras, {kind of operator: how many}).
    """
    model = named(case.build())
    run, operators = export(model, file_format, folder)
    errors = []
    for size in case.sizes:
        images = noise(*size, 3)
        expected, received = model(images, training=False), run(images)
        assert set(received) == set(expected)
        errors += [relative_error(received[name], expected[name]) for name in expected]
    return max(errors), operators


def named(model):
    """The model with a name for each output, called once, as docs/onnx.md does it."""
    outputs = model.output if isinstance(model.output, dict) else {"logits": model.output}
    network = keras.Model(model.input, outputs)
    network(np.zeros((1, SIDE, SIDE, 3), np.float32))
    return network


def export(model, file_format, folder):
    """Writes a model; returns (function from images to {output: array}, operators)."""
    path = str(folder / f"model{SUFFIXES[file_format]}")
    model.export(path, format=file_format, verbose=False)
    return {"onnx": _open_onnx, "openvino": _open_openvino}[file_format](path)


def _open_onnx(path):
    written = onnx.load(path)
    onnx.checker.check_model(written, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(images):
        return dict(zip(names, session.run(names, {"images": images}), strict=True))

    assert {node.domain for node in written.graph.node} <= {"", "ai.onnx"}
    return run, Counter(node.op_type for node in written.graph.node)


def _open_openvino(path):
    core = openvino.Core()
    written = core.read_model(path)
    # Recent processors would compute in bfloat16.
    compiled = core.compile_model(written, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(images):
        results = compiled({"images": images})
        return {_name(output): results[output] for output in compiled.outputs}

    return run, Counter(operator.get_type_name() for operator in written.get_ops())


def _name(output):
    """Keras' name of an output, where TensorFlow's tensor:0 is another of its names."""
    return min(output.get_names(), key=lambda name: (":" in name, name))

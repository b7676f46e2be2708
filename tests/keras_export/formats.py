"""Keras' own export to ONNX and OpenVINO, and running what it wrote."""

from collections import Counter

import keras
import numpy as np
import onnx
import onnxruntime
import openvino

from keras_poolformer import PoolFormerBackbone, PoolFormerSegmenter
from tests.export.family import FAMILIES, family_model
from tests.helpers import TINY, randomized_model
from tests.segmenters import SHALLOW

SIDE = 32  # pixels; random mixing takes no other size
_SHALLOW = TINY.replace(depths=(1, 1), widths=(8, 16))
# By what is special about each; together all token mixers, both norms and all heads.
CASES = {
    "pooling": lambda: randomized_model(_SHALLOW),
    "pooling, second paper": lambda: family_model(FAMILIES["poolformerv2"]),
    "identity": lambda: family_model(FAMILIES["identityformer"]),
    "random": lambda: family_model(FAMILIES["randformer"]),
    "sep_conv": lambda: family_model(FAMILIES["convformer"]),
    "attention": lambda: family_model(FAMILIES["caformer"]),
    "backbone": lambda: randomized_model(_SHALLOW, PoolFormerBackbone).feature_extractor(),
    "segmenter": lambda: randomized_model(SHALLOW, PoolFormerSegmenter),
}
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}


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

"""Operators that run alone are those of the file, and compute the same."""

from collections import Counter

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from benchmarks.operators import alone, main, measure
from keras_poolformer import ImageTransform, PoolFormerConfig, export_tflite
from keras_poolformer.export.tflite_graph import read_graph
from keras_poolformer.runtime.tflite_model import TFLiteModel
from tests.helpers import PHOTOS, randomized_model

CONFIG = PoolFormerConfig(depths=(1,), widths=(8,), num_classes=3)
TRANSFORM = ImageTransform(size=32, crop_pct=1.0)


def run(content, images, keep=False):
    interpreter = Interpreter(
        model_content=content,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=keep,
    )
    interpreter.allocate_tensors()
    for details, values in zip(interpreter.get_input_details(), images, strict=True):
        interpreter.set_tensor(details["index"], values)
    interpreter.invoke()
    return interpreter


def test_each_operator_alone_is_the_one_of_the_file(tmp_path, capsys):
    path = tmp_path / "tiny.tflite"
    export_tflite(
        randomized_model(CONFIG), path, "int8", calibration=PHOTOS[:4], transform=TRANSFORM
    )
    model = read_graph(path.read_bytes())
    whole = run(path.read_bytes(), [TRANSFORM.pixels(PHOTOS[:1])], keep=True)
    for operator in model.subgraphs[0].operators:
        content = alone(model, operator)
        details = Interpreter(model_content=content).get_input_details()
        tensors = model.subgraphs[0].tensors
        given = [
            int(index)
            for index in dict.fromkeys(operator.inputs)  # a product with itself names it twice
            if index >= 0 and model.buffers[tensors[index].buffer].data is None
        ]
        assert len(details) == len(given)
        part = run(content, [whole.get_tensor(index) for index in given])
        received = part.get_tensor(part.get_output_details()[0]["index"])
        assert np.array_equal(received, whole.get_tensor(int(operator.outputs[0])))
    counts, microseconds = measure(path, 1)
    assert counts == Counter(TFLiteModel(path).operators())
    assert counts.keys() == microseconds.keys()
    assert main([str(path), "--repeats", "1"]) == 0
    assert f"| CONV_2D | {counts['CONV_2D']} | " in capsys.readouterr().out

"""Which operators ran outside XNNPACK: by hand, and against what LiteRT keeps in memory."""

from collections import Counter

import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from keras_poolformer import PoolFormerImageClassifier, export_tflite
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.runtime.benchmark.delegation import count_partitions, operators_outside
from keras_poolformer.shipped import ASSETS

pytestmark = pytest.mark.slow  # minutes of exports and trainings

RECIPES = ("fp32", "fp16", "dynamic_int8", "dynamic_int4", "int8")
FILES = (*RECIPES, "pixels")


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """{recipe: file} of the tiny preset."""
    folder = tmp_path_factory.mktemp("exports")
    model = PoolFormerImageClassifier.from_preset("poolformer_tiny_cifar10")
    options = {name: {"recipe": name} for name in RECIPES} | {"pixels": {"inputs": "pixels"}}
    for name in ("dynamic_int4", "int8"):
        options[name]["calibration"] = ASSETS / "photos"
    for name, arguments in options.items():
        export_tflite(model, folder / f"{name}.tflite", **arguments)
    return {name: folder / f"{name}.tflite" for name in options}


def nodes(*graph):
    """Nodes as LiteRT lists them, from (name, inputs, outputs)."""
    return [
        {"index": index, "op_name": name, "inputs": inputs, "outputs": outputs}
        for index, (name, inputs, outputs) in enumerate(graph)
    ]


def in_flatbuffer(path):
    """{name: count} of the operators that a file's flatbuffer lists."""
    names = {
        number: name
        for name, number in vars(schema.BuiltinOperator).items()
        if not name.startswith("_")
    }
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in model.operatorCodes]
    return Counter(names[codes[one.opcodeIndex]] for one in model.subgraphs[0].operators)


def executed(path):
    """{name: count} of the operators whose results LiteRT keeps, without those of XNNPACK.

    It gives memory only to tensors that its own plan of execution reads or writes, not to those
    inside a partition.
    """
    interpreter = Interpreter(model_content=path.read_bytes())
    interpreter.allocate_tensors()
    everything = interpreter._get_ops_details()
    of_xnnpack = {t for one in everything if one["op_name"] == "DELEGATE" for t in one["outputs"]}

    def kept(tensor):
        try:
            interpreter.get_tensor(tensor)
        except ValueError:
            return False
        return tensor not in of_xnnpack

    return Counter(
        one["op_name"]
        for one in everything
        if one["op_name"] != "DELEGATE" and all(map(kept, one["outputs"]))
    )


def test_one_partition_takes_everything():
    graph = nodes(
        ("CONV_2D", [0, 1], [2]),
        ("GELU", [2], [3]),
        ("FULLY_CONNECTED", [3, 4, -1], [5]),
        ("DELEGATE", [0, 1, 4], [5]),
    )
    assert (count_partitions(graph), operators_outside(graph)) == (1, [])


def test_what_lies_between_two_partitions_is_outside():
    graph = nodes(
        ("CONV_2D", [0], [1]),
        ("MUL", [1, 1], [2]),
        ("GELU", [2], [3]),
        ("ADD", [1, 3], [4]),  # a shortcut around GELU
        ("RSQRT", [4], [5]),
        ("DELEGATE", [0], [1, 2]),
        ("DELEGATE", [1, 3], [4]),
    )
    assert (count_partitions(graph), operators_outside(graph)) == (2, ["GELU", "RSQRT"])


def test_without_xnnpack_everything_is_outside():
    graph = nodes(("CONV_2D", [0], [1]), ("CONV_2D", [1], [2]))
    assert (count_partitions(graph), operators_outside(graph)) == (0, ["CONV_2D", "CONV_2D"])


@pytest.mark.parametrize("name", FILES)
def test_it_agrees_with_what_litert_executes(name, exports):
    classifier = TFLiteClassifier(exports[name])
    outside = Counter(classifier.operators_outside_xnnpack())
    assert outside == executed(exports[name])
    operators = Counter(classifier.operators())
    assert operators == in_flatbuffer(exports[name])
    assert outside <= operators


@pytest.mark.parametrize("name", ["fp32", "fp16", "dynamic_int8"])
def test_floats_are_all_xnnpack_s(name, exports):
    classifier = TFLiteClassifier(exports[name])
    assert (classifier.operators_outside_xnnpack(), classifier.partitions()) == ([], 1)


def test_a_cast_of_pixels_is_outside(exports):
    assert TFLiteClassifier(exports["pixels"]).operators_outside_xnnpack() == ["CAST"]


def test_integers_are_split_where_xnnpack_has_no_kernel(exports):
    classifier = TFLiteClassifier(exports["int8"])
    outside, all_of_them = (
        Counter(names) for names in (classifier.operators_outside_xnnpack(), classifier.operators())
    )
    for name in ("GELU", "RSQRT", "QUANTIZE"):
        assert outside[name] == all_of_them[name] > 0
    assert not outside.keys() & {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    assert classifier.partitions() > outside["GELU"]

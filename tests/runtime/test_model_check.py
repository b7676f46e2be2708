"""Corrupt .tflite files: rejected in one line before LiteRT, which some would crash."""

import struct

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from keras_poolformer import ImageTransform, PoolFormerConfig, PoolFormerImageClassifier
from keras_poolformer.export.tflite import export_tflite
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.runtime.flatbuffer_reader import CorruptError, FlatbufferReader
from keras_poolformer.runtime.model_check import check_model
from keras_poolformer.shipped import ASSETS
from keras_poolformer.support.errors import InputError

PHOTOS = sorted((ASSETS / "photos").glob("cifar10*"))[:4]


@pytest.fixture(scope="module", params=["fp32", "int8"])
def content(request, tmp_path_factory):
    """The bytes of a small file."""
    config = PoolFormerConfig(depths=(1, 1), widths=(8, 8), num_classes=4, labels=tuple("abcd"))
    path = tmp_path_factory.mktemp("exported") / "m.tflite"
    export_tflite(
        PoolFormerImageClassifier(config),
        path,
        recipe=request.param,
        calibration=PHOTOS,
        transform=ImageTransform(size=32, crop_pct=1.0),
    )
    return path.read_bytes()


def changed(content, change):
    """The file after `change` of its model, in the object form of LiteRT's own classes."""
    import flatbuffers

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    change(model)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def of_graph(function):
    return lambda model: function(model.subgraphs[0])


def set_input_of_last(graph, index):
    graph.operators[-1].inputs = np.int32([index, *graph.operators[-1].inputs[1:]])


def swap_operators(graph):
    graph.operators = graph.operators[::-1]


def set_shape(graph, shape):
    graph.tensors[graph.operators[2].outputs[0]].shape = np.int32(shape)


def set_input_shape(graph, shape):
    graph.tensors[graph.inputs[0]].shape = np.int32(shape)


def write_to_constant(model):
    graph = model.subgraphs[0]
    has_data = [model.buffers[tensor.buffer].data is not None for tensor in graph.tensors]
    graph.operators[-1].outputs = np.int32([has_data.index(True)])


CHANGES = {
    "refers to tensor 9999 of": of_graph(lambda graph: set_input_of_last(graph, 9999)),
    "refers to tensor -1 of": of_graph(lambda graph: set_input_of_last(graph, -1)),
    "reads what nothing has computed": of_graph(swap_operators),
    "the shape [-4, 8]": of_graph(lambda graph: set_shape(graph, [-4, 8])),
    "the limit for its inputs is": of_graph(lambda graph: set_shape(graph, [1, 9999, 9999, 9])),
    "its inputs have": of_graph(lambda graph: set_input_shape(graph, [1, 50000, 50000, 3])),
    "writes to a constant": write_to_constant,
    "nothing computes": of_graph(lambda graph: graph.operators.pop()),
    "refers to operator code 99 of": of_graph(
        lambda graph: setattr(graph.operators[0], "opcodeIndex", 99)
    ),
    "refers to buffer 5000 of": of_graph(lambda graph: setattr(graph.tensors[0], "buffer", 5000)),
    "it has no graph": lambda model: setattr(model, "subgraphs", []),
}


@pytest.mark.parametrize("says", CHANGES)
def test_what_does_not_fit_is_named(content, says, tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(changed(content, CHANGES[says]))
    with pytest.raises(InputError, match="is not a usable TFLite model") as raised:
        TFLiteClassifier(path)
    assert says in str(raised.value)


# Each ended the process in LiteRT 2.3.
SCALES = {
    "of zero": ([0.0], [8]),
    "that is missing": ([], [8]),
    "far too small": ([9e-41], [8]),
    "not a number": ([np.nan], [8]),
    "with a zero point beyond its values": ([0.1], [2**26]),
}


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("content", ["int8"], indirect=True)
def test_a_sum_has_a_usable_quantization(content, name):
    def change(model):
        graph = model.subgraphs[0]
        codes = [code.builtinCode for code in model.operatorCodes]
        sums = [one for one in graph.operators if codes[one.opcodeIndex] == 0]
        quantization = graph.tensors[sums[-1].outputs[0]].quantization
        scales, zero_points = SCALES[name]
        quantization.scale = np.float32(scales)
        quantization.zeroPoint = np.int64(zero_points)

    with pytest.raises(CorruptError, match=r"scale|zero point"):
        check_model(changed(content, change))


@pytest.mark.first(1)
def test_every_damaged_byte_is_read_within_bounds(content):
    """Nothing but CorruptError, wherever the file is cut or overwritten."""
    rng = np.random.default_rng(0)
    size = content.find(b"PK\x03\x04")
    for _ in range(200):
        damaged = bytearray(content[:size])
        place = int(rng.integers(0, size - 4))
        damaged[place : place + 4] = struct.pack("<i", int(rng.integers(-(2**31), 2**31)))
        for one in (bytes(damaged), content[:place]):
            try:
                check_model(one)
            except CorruptError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 7, b"\xff\xff\xff\xffTFL3", b"\x08\0\0\0TFL3" + b"\xff" * 64],
    ids=["empty", "short", "far root", "far vtable"],
)
def test_no_offset_leads_out(content):
    with pytest.raises(CorruptError):
        check_model(content)
    with pytest.raises(CorruptError):
        FlatbufferReader(content).root()


def test_other_files_pass(foreign):
    """Constants larger than anything that is computed, an LSTM, and options with vectors."""
    table = tf.constant(np.zeros((1000, 2000), np.float32))
    lstm = tf.keras.layers.LSTM(4)

    def network(image):
        rows = tf.reshape(image, (1, 4, 12))
        return tf.squeeze(lstm(rows)) + tf.reduce_sum(table)

    lstm.build((1, 4, 12))
    path = foreign(network, tf.TensorSpec((1, 4, 4, 3)))
    check_model(path.read_bytes())

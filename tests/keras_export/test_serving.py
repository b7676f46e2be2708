"""The SavedModel as TF Serving uses it, by the messages of tensorflow-serving-api.

The server itself is a program of Google's own Debian repository. What it does with a request is
done here in a session of TensorFlow: it looks the signature up by its name, feeds the tensors of
its inputs, fetches those of its outputs.
"""

import base64
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

from keras_poolformer import ImageTransform, PoolFormerImageClassifier, export_saved_model
from tests.helpers import CIFAR10_PHOTOS, TINY, randomized_model

LABELS = ("cat", "dog", "ship")
TRANSFORM = ImageTransform(size=64, crop_pct=1.0)
FILES = CIFAR10_PHOTOS[:3]


@pytest.fixture(scope="module")
def model():
    config = TINY.replace(labels=LABELS)
    provenance = {"transform": TRANSFORM.to_dict()}
    return randomized_model(config, PoolFormerImageClassifier, provenance=provenance)


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    """(session with the SavedModel, its signatures as the server publishes them)."""
    path = export_saved_model(model, tmp_path_factory.mktemp("serving") / "1")
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta_graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(path))
    signatures = SignatureDefMap(signature_def=meta_graph.signature_def)
    yield session, SignatureDefMap.FromString(signatures.SerializeToString()).signature_def
    session.close()


def predict(server, request):
    """The server's answer to a request, both as bytes."""
    session, signatures = server
    received = PredictRequest.FromString(request)
    signature = signatures[received.model_spec.signature_name or "serving_default"]
    assert set(received.inputs) == set(signature.inputs)
    feed = {
        signature.inputs[name].name: tf.make_ndarray(tensor)
        for name, tensor in received.inputs.items()
    }
    fetch = {name: info.name for name, info in signature.outputs.items()}
    response = PredictResponse()
    for name, array in session.run(fetch, feed).items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
    return response.SerializeToString()


def answer(server, signature_name, **inputs):
    """{output: array} of a request with these inputs."""
    request = PredictRequest()
    request.model_spec.name = "poolformer"
    request.model_spec.signature_name = signature_name
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    response = PredictResponse.FromString(predict(server, request.SerializeToString()))
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


def described(infos):
    """{name: (dtype, shape with None)} of a signature's inputs or outputs."""
    return {
        name: (tf.DType(info.dtype).name, tf.TensorShape(info.tensor_shape).as_list())
        for name, info in infos.items()
    }


def test_signatures_as_the_server_publishes_them(server):
    _, signatures = server
    outputs = {"logits": ("float32", [None, 3]), "probabilities": ("float32", [None, 3])}
    encoded = {"image_bytes": ("string", [None])}
    inputs = {
        "serving_default": encoded,
        "encoded": encoded,
        "pixels": {"images": ("uint8", [None, None, None, 3])},
        "normalized": {"images": ("float32", [None, None, None, 3])},
    }
    assert {"__saved_model_init_op", *inputs} == set(signatures)
    for name, expected in inputs.items():
        assert described(signatures[name].inputs) == expected
        assert described(signatures[name].outputs) == outputs
        assert signatures[name].method_name == "tensorflow/serving/predict"


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("signature_name", ["", "encoded", "pixels", "normalized"])
def test_predictions(server, model, signature_name, count):
    """Pillow and TensorFlow resize within 1 of 255: measured up to 2e-3."""
    files = FILES[:count]
    expected = np.asarray(model(TRANSFORM(files)))
    pixels = [tf.io.decode_png(file.read_bytes(), 3).numpy() for file in files]
    inputs = {
        "pixels": {"images": np.stack(pixels)},
        "normalized": {"images": TRANSFORM(files)},
    }.get(signature_name, {"image_bytes": [file.read_bytes() for file in files]})
    outputs = answer(server, signature_name, **inputs)
    assert np.allclose(outputs["logits"], expected, atol=5e-3)
    assert np.allclose(outputs["probabilities"], tf.nn.softmax(expected), atol=5e-3)


def test_images_as_the_rest_api_sends_them(server, model):
    """POST /v1/models/NAME:predict; "b64" is how its JSON holds bytes."""
    instances = [
        {"image_bytes": {"b64": base64.b64encode(file.read_bytes()).decode()}} for file in FILES
    ]
    body = json.loads(json.dumps({"instances": instances}))
    content = [base64.b64decode(row["image_bytes"]["b64"]) for row in body["instances"]]
    outputs = answer(server, body.get("signature_name", ""), image_bytes=content)
    # The answer is a row for each image only if all outputs have as many rows.
    assert {len(values) for values in outputs.values()} == {len(FILES)}
    rows = [{name: values[row].tolist() for name, values in outputs.items()} for row in range(3)]
    received = [row["probabilities"] for row in json.loads(json.dumps(rows))]
    assert np.allclose(received, tf.nn.softmax(model(TRANSFORM(FILES))), atol=5e-3)

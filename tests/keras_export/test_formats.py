"""What Keras' own export to ONNX and OpenVINO makes of our networks."""

import keras
import numpy as np
import pytest

from keras_poolformer.models.activations import ACTIVATION_FUNCTIONS
from tests.helpers import TOLERANCE, relative_error
from tests.keras_export.formats import CASES, RELEASED, SIDE, SUFFIXES, export, measure, named
from tests.segmenters import noise

BOTH = pytest.mark.parametrize("file_format", SUFFIXES)


@BOTH
@pytest.mark.parametrize("case", CASES)
def test_every_part_of_the_family(case, file_format, tmp_path):
    """Measured up to 5.5e-7, for other batches and sizes than the one it was called with, too."""
    error, _ = measure(CASES[case], file_format, tmp_path)
    assert error < TOLERANCE


@BOTH
def test_random_mixing_takes_one_size(file_format, tmp_path):
    run, _ = export(named(CASES["random mixing"].build()), file_format, tmp_path)
    with pytest.raises(Exception, match="48"):  # of a class that each library has for itself
        run(noise(2, 48, 40, 3))


@BOTH
def test_every_activation(file_format, tmp_path):
    """Measured up to 2e-7."""
    inputs = keras.Input((None, None, 3), name="images")
    functions = {name: f for name, f in ACTIVATION_FUNCTIONS.items() if name != "linear"}
    layers = {name: keras.layers.Activation(f) for name, f in functions.items()}
    model = keras.Model(inputs, {name: layer(inputs) for name, layer in layers.items()})
    images = 4 * noise(1, SIDE, SIDE, 3)
    expected = model(images)
    run, _ = export(model, file_format, tmp_path)
    received = run(images)
    errors = {name: relative_error(received[name], expected[name]) for name in expected}
    print(errors)
    assert max(errors.values()) < TOLERANCE


@pytest.mark.slow
@BOTH
def test_a_released_size(file_format, tmp_path):
    """Measured 7.2e-6 in ONNX Runtime, and 4.4e-7 in OpenVINO."""
    error, _ = measure(RELEASED["poolformer_s12"], file_format, tmp_path)
    assert error < {"onnx": 2e-5, "openvino": TOLERANCE}[file_format]


# ---------------------------------------------------------------------------------------
# What docs/onnx.md warns of: these fail once Keras does better.


def test_onnx_needs_a_model_that_was_called(tmp_path):
    with pytest.raises(ValueError, match="never called"):
        CASES["pooling, GELU"].build().export(
            str(tmp_path / "model.onnx"), format="onnx", verbose=False
        )


def test_openvino_gives_unnamed_models_more_outputs(tmp_path):
    model = CASES["pooling, GELU"].build()
    run, _ = export(model, "openvino", tmp_path)
    images = noise(1, SIDE, SIDE, 3)
    logits, *others = run(images).values()
    assert relative_error(logits, model(images)) < TOLERANCE
    assert others
    assert all(np.ndim(other) == 0 for other in others)  # sizes of images

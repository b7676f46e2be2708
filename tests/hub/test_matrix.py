"""Each task of KerasHub on our backbone: it trains, also in half precision, is saved, and exported.

`make test-hub` runs this next to KerasHub 0.32.0.
"""

import keras
import numpy as np
import pytest

from tests.helpers import relative_error, run_python
from tests.hub.networks import LOADERS, NETWORKS, images, outputs, randomized, targets

# LiteRT's, to Keras: measured up to 2e-6.
TOLERANCE = 1e-5
# bfloat16's, to float32: measured up to 1.2e-2.
HALF_PRECISION_TOLERANCE = 4e-2


@pytest.fixture(scope="module")
def networks():
    """{task: a network with random weights}."""
    return {name: randomized(name) for name in NETWORKS}


@pytest.fixture
def bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def loaded(networks, tmp_path_factory):
    """What the networks give after they were saved and loaded in another process."""
    folder = tmp_path_factory.mktemp("folders")
    for name, model in networks.items():
        model.save_to_preset(str(folder / name))
    done = run_python("-m", "tests.hub.load_folders", folder)
    assert done.returncode == 0, done.stderr
    return {name: np.load(folder / f"{name}.npz") for name in networks}


@pytest.mark.parametrize("name", NETWORKS)
def test_load_in_a_fresh_process(name, networks, loaded):
    for key, expected in outputs(networks[name], images()).items():
        assert relative_error(loaded[name][key], expected) <= 1e-6  # measured 0


@pytest.mark.parametrize("name", NETWORKS)
def test_export_to_litert(name, networks, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    model = networks[name]
    model.export(str(tmp_path / "x.tflite"), format="litert", verbose=False)
    interpreter = Interpreter(str(tmp_path / "x.tflite"))
    runner = interpreter.get_signature_runner()
    (argument,) = runner.get_input_details()
    received = runner(**{argument: images(1)})
    expected = outputs(model, images(1))
    assert len(received) == len(expected)
    by_shape = {value.shape: value for value in received.values()}
    for value in expected.values():
        error = relative_error(by_shape[value.shape], value)
        print(f"{name} {value.shape}: {error:.1e}")
        assert error <= TOLERANCE


@pytest.mark.parametrize("name", NETWORKS)
def test_mixed_precision(name, networks, bfloat16):
    """The same weights, computed with in bfloat16."""
    model = NETWORKS[name]()
    model.set_weights(networks[name].get_weights())
    for key, value in outputs(model, images()).items():
        error = relative_error(value, outputs(networks[name], images())[key])
        print(f"{name} {key}: {error:.1e}")
        assert 1e-6 < error <= HALF_PRECISION_TOLERANCE, key


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step(name):
    """All weights that learn have moved after a step, and the loss is finite."""
    model = randomized(name)
    before = [np.array(variable) for variable in model.trainable_variables]
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)  # graphs take long to make
    history = model.fit(images(), targets(name), batch_size=2, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert not np.array_equal(variable, old), variable.path


@pytest.mark.parametrize("name", NETWORKS)
def test_a_keras_file(name, networks, tmp_path):
    networks[name].save(tmp_path / "x.keras")
    model = keras.saving.load_model(tmp_path / "x.keras", compile=False)  # else KerasHub warns
    assert isinstance(model, LOADERS[name])
    for key, expected in outputs(networks[name], images()).items():
        assert np.array_equal(outputs(model, images())[key], expected)

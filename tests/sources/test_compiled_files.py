""".keras files of compiled models where only what was imported is known."""

import keras
import numpy as np
import pytest

from keras_poolformer import PoolFormerConfig, PoolFormerImageClassifier
from tests.helpers import run_python

pytest.importorskip("tensorflow")
optimizers = pytest.importorskip("keras_poolformer.training.optimizer")

CONFIG = PoolFormerConfig(depths=(1,), widths=(8,), num_classes=2)
LOAD = """
import sys
{imports}
model = keras.saving.load_model(sys.argv[1])
print(type(model).__name__, type(model.optimizer).__name__, len(model.optimizer.variables))
"""


@pytest.fixture(scope="module")
def with_our_optimizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("compiled") / "x.keras"
    model = PoolFormerImageClassifier(CONFIG)
    model.compile(
        optimizers.AdamW(optimizers.WarmupCosine(1e-3, 10)), "sparse_categorical_crossentropy"
    )
    model.optimizer.build(model.trainable_variables)
    model.save(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "imports", ["import keras\nimport keras_poolformer", "import keras_poolformer\nimport keras"]
)
def test_keras_loads_what_our_classes_are_in(imports, with_our_optimizer):
    done = run_python("-W", "error", "-c", LOAD.format(imports=imports), with_our_optimizer)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["PoolFormerImageClassifier", "AdamW"]
    assert int(done.stdout.split()[2]) > 10


@pytest.fixture
def with_forgotten_classes(tmp_path):
    """Compiled with classes that were registered, but no longer are, as in another process."""
    registered = keras.saving.get_custom_objects()
    before = dict(registered)

    @keras.saving.register_keras_serializable("mine")
    class Slow(keras.optimizers.SGD):
        pass

    @keras.saving.register_keras_serializable("mine")
    def loss(y_true, y_pred):
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)

    model = PoolFormerImageClassifier(CONFIG)
    model.compile(Slow(), loss)
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "x.keras")
    registered.clear()
    registered.update(before)
    return tmp_path / "x.keras"


def test_from_preset_needs_none_of_a_users_own_classes(with_forgotten_classes):
    with pytest.raises((TypeError, ValueError), match="Slow"):
        keras.saving.load_model(with_forgotten_classes)
    model = PoolFormerImageClassifier.from_preset(with_forgotten_classes)
    assert np.shape(model(np.zeros((1, 32, 32, 3), np.float32))) == (1, 2)

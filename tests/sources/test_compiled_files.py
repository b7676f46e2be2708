""".keras files of compiled models in fresh processes, which know only what was imported."""

import keras
import numpy as np
import pytest

from keras_poolformer import PoolFormerConfig, PoolFormerImageClassifier
from tests.helpers import run_python

pytest.importorskip("tensorflow")
optimizers = pytest.importorskip("keras_poolformer.training.optimizer")

CONFIG = PoolFormerConfig(depths=(1,), widths=(8,), num_classes=2)
SAVE = """
import sys, keras
from keras_poolformer import PoolFormerConfig, PoolFormerImageClassifier
@keras.saving.register_keras_serializable("mine")
class Slow(keras.optimizers.SGD):
    pass
@keras.saving.register_keras_serializable("mine")
def loss(y_true, y_pred):
    return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)
model = PoolFormerImageClassifier(PoolFormerConfig(depths=(1,), widths=(8,), num_classes=2))
model.compile(Slow(), loss)
model.optimizer.build(model.trainable_variables)
model.save(sys.argv[1])
"""
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


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "imports", ["import keras\nimport keras_poolformer", "import keras_poolformer\nimport keras"]
)
def test_keras_loads_what_our_classes_are_in(imports, with_our_optimizer):
    done = run_python("-W", "error", "-c", LOAD.format(imports=imports), with_our_optimizer)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["PoolFormerImageClassifier", "AdamW"]
    assert int(done.stdout.split()[2]) > 10


def test_from_preset_needs_none_of_a_users_own_classes(tmp_path):
    path = tmp_path / "x.keras"
    done = run_python("-c", SAVE, path)
    assert done.returncode == 0, done.stderr
    with pytest.raises((TypeError, ValueError), match="Slow"):
        keras.saving.load_model(path)
    model = PoolFormerImageClassifier.from_preset(path)
    assert np.shape(model(np.zeros((1, 32, 32, 3), np.float32))) == (1, 2)

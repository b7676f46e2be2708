"""The same seed gives the same losses, wherever the batch is worked through."""

import numpy as np
import pytest

from tests.training import runs

SETTINGS = ["drop_path_rate=0", "mixup=0.8", "cutmix=1.0"]
TOLERANCE = 1e-5  # measured: 2.1e-7 over 24 steps


@pytest.fixture(scope="module")
def one_device(photo_folders, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("one")
    status, _, error = runs.finish(runs.start(photo_folders, workdir, SETTINGS))
    assert status == 0, error
    return runs.losses(workdir)


@pytest.mark.parametrize("replicas", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_mirrored(replicas, one_device, photo_folders, tmp_path):
    options = ["--strategy", "mirrored", "--replicas", str(replicas)]
    status, _, error = runs.finish(runs.start(photo_folders, tmp_path, SETTINGS, options))
    assert status == 0, error
    compare(runs.losses(tmp_path), one_device, f"{replicas} replicas")


def test_accumulated(one_device, photo_folders, tmp_path):
    settings = [*SETTINGS, "accumulate_steps=2"]
    status, _, error = runs.finish(runs.start(photo_folders, tmp_path, settings))
    assert status == 0, error
    compare(runs.losses(tmp_path), one_device, "two parts")


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--strategy", "mirrored", "--replicas=2"]])
def test_compiled(options, one_device, photo_folders, tmp_path):
    settings = [*SETTINGS, "jit_compile=true"]
    status, _, error = runs.finish(runs.start(photo_folders, tmp_path, settings, options))
    assert status == 0, error
    compare(runs.losses(tmp_path), one_device, f"by XLA, {options}")


def test_two_workers(one_device, photo_folders, tmp_path):
    options = ["--strategy", "multiworker"]
    workers = [
        runs.start(photo_folders, tmp_path, SETTINGS, options, config) for config in runs.cluster(2)
    ]
    ends = [runs.finish(worker) for worker in workers]
    assert [status for status, *_ in ends] == [0, 0], ends
    compare(runs.losses(tmp_path), one_device, "two workers")


def compare(found, wanted, what):
    assert len(found) == len(wanted) == 24
    worst = np.abs(found / wanted - 1).max()
    print(f"{what}: losses differ by at most {worst:.1e}")
    assert worst < TOLERANCE


def test_replicas_draw_different_masks():
    """Two equal halves of a batch have equal losses, unless their masks differ."""
    script = """
import numpy as np, tensorflow as tf
from keras_poolformer import PoolFormerConfig, PoolFormerImageClassifier
from keras_poolformer.data.mixing import Mixing
from keras_poolformer.training.optimizer import AdamW
from keras_poolformer.training.step import TrainStep
from keras_poolformer.training.strategy import mirrored
strategy = mirrored(2)
config = PoolFormerConfig(depths=(2, 2), widths=(8, 16), num_classes=3, drop_path_rate=0.9,
                          layer_scale_init=1.0)
with strategy.scope():
    model = PoolFormerImageClassifier(config)
    optimizer = AdamW(); optimizer.build(model.trainable_variables)
step = TrainStep(model, optimizer, Mixing(0.0, 0.0), 3, 16)
images = tf.random.stateless_normal((8, 32, 32, 3), (0, 0))
arguments = (images, tf.zeros((8,), tf.int64), tf.constant([1.0, 0, 0, 0]), tf.constant([0, 1]))
first, second = strategy.experimental_local_results(
    tf.function(lambda: strategy.run(step.__call__, arguments)[0])())
assert abs(float(first) / float(second) - 1) > 1e-4, (first, second)
print("different")
"""
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "different\n", done.stderr[-2000:]

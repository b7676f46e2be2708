"""Peak memory: of the right process, of the right size, and what a failing one says."""

import subprocess

import numpy as np
import pytest
import tensorflow as tf

from keras_poolformer.runtime.benchmark import memory
from keras_poolformer.support.errors import InputError

KERNEL_BYTES = 4 * 768 * 10_000


@pytest.fixture(scope="module")
def heavy(foreign):
    """A network of one layer whose kernel takes 31 MB."""
    kernel = np.random.default_rng(0).standard_normal((768, 10_000)).astype("float32")
    assert kernel.nbytes == KERNEL_BYTES
    return foreign(
        lambda image: tf.reshape(image, (1, 768)) @ kernel, tf.TensorSpec((1, 16, 16, 3))
    )


@pytest.mark.slow
def test_weights_count_and_the_callers_own_memory_does_not(heavy, channels_first):
    own = np.ones(2 * KERNEL_BYTES, "uint8")
    light, weighty = memory.peak_memory(channels_first), memory.peak_memory(heavy)
    # Once in the file's bytes and once as XNNPACK packs them.
    assert 1.8 * KERNEL_BYTES <= weighty - light <= 3 * KERNEL_BYTES
    assert 0 < light < KERNEL_BYTES
    assert own.all()


def test_unknown_where_the_system_does_not_tell(channels_first, monkeypatch):
    monkeypatch.setattr(memory, "_peak_resident", lambda: None)
    assert memory._measure(channels_first) == {"peak_memory_bytes": None}


def test_a_file_that_cannot_be_run_is_one_line(out_of_bounds):
    with pytest.raises(InputError, match=r"cannot be run: .*GATHER.* failed to invoke") as raised:
        memory.peak_memory(out_of_bounds)
    assert "\n" not in str(raised.value)


def test_a_crash_is_one_line(channels_first, monkeypatch):
    crash = subprocess.CompletedProcess([], -11, "", "INFO: chatter\n")
    monkeypatch.setattr(memory.subprocess, "run", lambda *arguments, **options: crash)
    with pytest.raises(InputError, match=r"cannot be run: .* signal 11$"):
        memory.peak_memory(channels_first)

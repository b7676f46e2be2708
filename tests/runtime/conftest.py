"""What the tests of the runtime share: .tflite files of other origin than this package."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def foreign(tmp_path_factory):
    """foreign(function, *specs): the .tflite file of a TensorFlow function."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("foreign")

    def foreign(function, *specs):
        path = folder / f"{len(list(folder.iterdir()))}.tflite"
        module = tf.Module()
        module.f = tf.function(function, input_signature=specs)
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [module.f.get_concrete_function()], module
        )
        path.write_bytes(converter.convert())
        return path

    return foreign


@pytest.fixture(scope="session")
def channels_first(foreign):
    """A convolution with its image in the order (1, 3, 16, 16), as PyTorch has it."""
    import tensorflow as tf

    kernel = np.random.default_rng(0).standard_normal((3, 3, 3, 8)).astype("float32")

    def convolve(image):
        image = tf.transpose(image, (0, 2, 3, 1))
        return tf.nn.relu(tf.nn.conv2d(image, kernel, 1, "VALID"))

    return foreign(convolve, tf.TensorSpec((1, 3, 16, 16)))


@pytest.fixture(scope="session")
def out_of_bounds(foreign):
    """A file that loads, and fails when it runs on random numbers: it looks up a table."""
    import tensorflow as tf

    table = tf.constant([1.0, 2.0])
    return foreign(lambda index: tf.gather(table, index), tf.TensorSpec((1, 4, 4, 1), tf.int32))

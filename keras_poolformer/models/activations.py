"""The activations of MLPs: functions, and the one that has weights.

A training loop can have the functions compiled (`compiling_with`), so that an activation, which is
a chain of operations on feature maps, takes one pass over memory.
"""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import activations, layers, ops

Shape = tuple[int | None, ...]
Activation = Callable[[Any], Any]  # inputs -> outputs of the same shape
Compile = Callable[[Activation], Activation]

_compile: contextvars.ContextVar[Compile] = contextvars.ContextVar(
    "compile", default=lambda function: function
)


@contextlib.contextmanager
def compiling_with(compile_function: Compile) -> Iterator[None]:
    """Lets a function compile the activations of the MLPs that are called inside.

    Args:
        compile_function: Function of an activation; returns one that computes the same.
    """
    token = _compile.set(compile_function)
    try:
        yield
    finally:
        _compile.reset(token)


def compiled(function: Activation) -> Activation:
    """Returns an activation as `compiling_with` has it, by default as it is."""
    return _compile.get()(function)


def gelu(inputs: Any) -> Any:
    """Exact GELU (arXiv 1606.08415): x / 2 * (1 + erf(x / sqrt(2))).

    TensorFlow 2.21 computes it with erfc, which tf2onnx 1.17 cannot write. In float32 erf is as
    exact, and is what PyTorch computes; in 16 bits 1 + erf would lose digits that erfc keeps.

    Args:
        inputs: Any shape.

    Returns:
        The same shape.
    """
    if keras.backend.backend() != "tensorflow" or inputs.dtype != "float32":
        return activations.gelu(inputs)
    return 0.5 * inputs * (1.0 + ops.erf(inputs * 2**-0.5))


ACTIVATION_FUNCTIONS: dict[str, Activation] = {
    "gelu": gelu,
    "gelu_10": lambda x: ops.clip(gelu(x), -10.0, 10.0),
    "gelu_tanh": functools.partial(activations.gelu, approximate=True),
    "hard_swish": activations.hard_swish,
    "leaky_relu": functools.partial(ops.leaky_relu, negative_slope=0.01),
    "linear": activations.linear,
    "mish": activations.mish,
    "quick_gelu": lambda x: x * ops.sigmoid(1.702 * x),
    "relu": activations.relu,
    "relu2": lambda x: ops.square(ops.relu(x)),
    "relu6": activations.relu6,
    "sigmoid": activations.sigmoid,
    "silu": activations.silu,
    "tanh": activations.tanh,
}

_register = keras.saving.register_keras_serializable(package="keras_poolformer")


@_register
class StarReLU(layers.Layer):
    """scale * relu(x)^2 + bias, each one learned number (arXiv 2210.13452, section 3.2).

    Call arguments:
        inputs: Any shape.

    Returns:
        The same shape.
    """

    def build(self, input_shape: Shape) -> None:
        self.scale = self.add_weight(name="scale", shape=(1,), initializer="ones")
        self.bias = self.add_weight(name="bias", shape=(1,), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return self.scale * ops.square(ops.relu(inputs)) + self.bias

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

"""AdamW with PyTorch's arithmetic, and the learning rate of the authors' recipe."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_poolformer")
class AdamW(keras.optimizers.AdamW):
    """`torch.optim.AdamW` (arXiv 1711.05101) as a Keras optimizer.

    Keras adds epsilon to sqrt(v) before its bias is corrected, PyTorch afterwards. Fresh MLPs of
    PoolFormer have gradients around 3e-7, where Keras' first steps are half as long with an
    epsilon of 1e-8, and a tenth with its default.

    Weights of fewer than two dimensions (biases, norms, layer scales) are not decayed. Variables
    can have a fraction of the learning rate (`scale_learning_rate`), like a parameter group of
    PyTorch; it applies to their decay, too.

    Private names of Keras that are used or overridden here, all of them in Keras 3.12 to 3.15:
    `_apply_weight_decay`, `_get_variable_index`, `_momentums`, `_use_weight_decay`, `_var_key`,
    `_velocities`.

    Args:
        learning_rate: Float or schedule.
        weight_decay: Float. Fraction of a weight, times the learning rate, that each step
            subtracts from it.
        beta_1: Float between 0 and 1. Decay of the first moment.
        beta_2: Float between 0 and 1. Decay of the second moment.
        epsilon: Float. Term that is added to the square root of the corrected second moment.
        name: Name of the optimizer.
        **kwargs: Other arguments of `keras.optimizers.AdamW`.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        weight_decay: float = 0.05,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        name: str = "adamw",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, beta_1, beta_2, epsilon, name=name, **kwargs)
        self._rate_scales: dict[Any, float] = {}

    def scale_learning_rate(self, variables: Sequence[keras.Variable], scale: float) -> None:
        """Gives variables their own learning rate.

        Args:
            variables: Keras variables; the others keep the optimizer's rate.
            scale: Float. Factor of the optimizer's learning rate.
        """
        self._rate_scales |= {self._var_key(variable): float(scale) for variable in variables}

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the moments of the variables, and excludes vectors from the decay."""
        if not self.built:
            vectors = [variable for variable in variables if len(variable.shape) < 2]
            self.exclude_from_weight_decay(vectors)
        super().build(variables)

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        """Updates one variable and its two moments."""
        index = self._get_variable_index(variable)
        first, second = self._momentums[index], self._velocities[index]
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype)
        rate *= self._rate_scales.get(self._var_key(variable), 1.0)
        if self.weight_decay and self._use_weight_decay(variable):
            self.assign_sub(variable, variable * self.weight_decay * rate)
        step = ops.cast(self.iterations + 1, variable.dtype)
        self.assign_add(first, (gradient - first) * (1 - self.beta_1))
        self.assign_add(second, (ops.square(gradient) - second) * (1 - self.beta_2))
        root = ops.sqrt(second) / ops.sqrt(_correction(self.beta_2, step))
        scale = rate / _correction(self.beta_1, step)
        self.assign_sub(variable, scale * first / (root + self.epsilon))

    def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
        """Does nothing: `update_step` decays each variable at its own rate."""


def _correction(beta: float, step: Any) -> Any:
    """1 - beta ** step, without the error of 1e-5 that 1 - 0.999 has in float32."""
    return -ops.expm1(step * math.log(beta))


@keras.saving.register_keras_serializable(package="keras_poolformer")
class WarmupCosine(keras.optimizers.schedules.CosineDecay):
    """Keras' `CosineDecay` by the names of the authors' recipe (sail-sg train.py, timm).

    A line up, half a cosine down, then the lowest rate. The rate changes with every step; timm
    sets it once an epoch.

    Args:
        peak: Highest learning rate, at the end of the warm-up. With 0 the rate stays 0 from
            there on.
        steps: Number of steps, cool-down included.
        warmup_steps: Number of steps on the line from `start` to `peak`.
        cooldown_steps: Number of steps at the end, at the rate `floor`.
        start: Learning rate of the first step, where there is a warm-up.
        floor: Lowest learning rate of the cosine.
    """

    def __init__(
        self,
        peak: float,
        steps: int,
        warmup_steps: int = 0,
        cooldown_steps: int = 0,
        start: float = 0.0,
        floor: float = 0.0,
    ) -> None:
        super().__init__(
            initial_learning_rate=float(start),
            decay_steps=max(steps - cooldown_steps - warmup_steps, 1),
            alpha=floor / peak if peak else 0.0,
            warmup_target=float(peak),
            warmup_steps=warmup_steps,
        )
        self._arguments = {
            "peak": peak,
            "steps": steps,
            "warmup_steps": warmup_steps,
            "cooldown_steps": cooldown_steps,
            "start": start,
            "floor": floor,
        }

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, the same since the first release."""
        return dict(self._arguments)

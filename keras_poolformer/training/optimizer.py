"""AdamW with PyTorch's arithmetic, and the learning rate of the authors' recipe."""

import math
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
    can have a fraction of the learning rate (`scale_learning_rate`), as a parameter group of
    PyTorch has a rate of its own; it holds for their decay too.

    Args:
        learning_rate: number or schedule.
        weight_decay: times the learning rate, taken off each weight in each step.
        beta_1, beta_2: decay of the first and second moment.
        epsilon: added to the square root of the corrected second moment.
        **kwargs: of `keras.optimizers.AdamW`.
    """

    def __init__(
        self,
        learning_rate=1e-3,
        weight_decay=0.05,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        name="adamw",
        **kwargs,
    ):
        super().__init__(learning_rate, weight_decay, beta_1, beta_2, epsilon, name=name, **kwargs)
        self._rate_scales = {}

    def scale_learning_rate(self, variables, scale):
        """Gives variables their own learning rate.

        Args:
            variables: Keras variables; the others keep the optimizer's rate.
            scale: Float. Factor of the optimizer's learning rate.
        """
        self._rate_scales |= {self._var_key(variable): float(scale) for variable in variables}

    def build(self, variables):
        """Makes the moments of the variables, and leaves vectors out of the decay."""
        if not self.built:
            self.exclude_from_weight_decay([one for one in variables if len(one.shape) < 2])
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
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

    def _apply_weight_decay(self, variables):
        """Leaves the decay to `update_step`, which knows each variable's rate."""


def _correction(beta, step):
    """1 - beta ** step, where float32's 1 - 0.999 would be off by 1e-5."""
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

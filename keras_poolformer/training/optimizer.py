"""AdamW and LAMB with PyTorch's arithmetic, and the learning rate of the authors' recipes."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

POLY_POWER = 0.9  # mmsegmentation's


class _MomentOptimizer(keras.optimizers.Optimizer):
    """What AdamW and LAMB share: Adam's moments, and groups of variables like PyTorch's.

    Weights of fewer than two dimensions (biases, norms, scales) are not decayed. Variables can
    have a fraction of the learning rate. Gradients are clipped after they are summed over
    replicas, as on one device; Keras clips each replica's share.

    Private names of Keras that are used or overridden here, all of them in Keras 3.12 to 3.15:
    `_all_reduce_sum_gradients`, `_apply_weight_decay`, `_clip_gradients`, `_get_variable_index`,
    `_momentums`, `_use_weight_decay`, `_var_key`, `_velocities`.
    """

    beta_1: float
    beta_2: float
    epsilon: float
    _momentums: Sequence[keras.Variable]
    _velocities: Sequence[keras.Variable]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
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

    def _decays(self, variable: Any) -> bool:
        return bool(self.weight_decay) and self._use_weight_decay(variable)

    def _rate(self, variable: Any, learning_rate: Any) -> Any:
        """Learning rate of a variable."""
        rate = ops.cast(learning_rate, variable.dtype)
        return rate * self._rate_scales.get(self._var_key(variable), 1.0)

    def _update_moments(self, gradient: Any, variable: Any) -> tuple[Any, Any, Any]:
        """Updates the two moments of a variable.

        Returns:
            (first moment; the correction that it is to be divided by; square root of the
            second moment, corrected).
        """
        index = self._get_variable_index(variable)
        first, second = self._momentums[index], self._velocities[index]
        gradient = ops.cast(gradient, variable.dtype)
        step = ops.cast(self.iterations + 1, variable.dtype)
        self.assign_add(first, (gradient - first) * (1 - self.beta_1))
        self.assign_add(second, (ops.square(gradient) - second) * (1 - self.beta_2))
        root = ops.sqrt(second) / ops.sqrt(_correction(self.beta_2, step))
        return first, _correction(self.beta_1, step), root

    def _clip_gradients(self, grads: Sequence[Any]) -> Sequence[Any]:
        """Sums the gradients over replicas, then clips them."""
        if keras.backend.backend() == "tensorflow":
            pairs = super()._all_reduce_sum_gradients([(gradient, None) for gradient in grads])
            grads = [gradient for gradient, _ in pairs]
        return super()._clip_gradients(grads)

    def _all_reduce_sum_gradients(self, grads_and_vars: Sequence[Any]) -> Sequence[Any]:
        """Returns the gradients as they are: `_clip_gradients` has summed them."""
        return grads_and_vars

    def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
        """Does nothing: `update_step` decays each variable at its own rate."""


@keras.saving.register_keras_serializable(package="keras_poolformer")
class AdamW(_MomentOptimizer, keras.optimizers.AdamW):
    """`torch.optim.AdamW` (arXiv 1711.05101) as a Keras optimizer.

    Keras adds epsilon to sqrt(v) before its bias is corrected, PyTorch afterwards. Fresh MLPs of
    PoolFormer have gradients around 3e-7, where Keras' first steps are half as long with an
    epsilon of 1e-8, and a tenth with its default.

    Weights of fewer than two dimensions (biases, norms, layer scales) are not decayed. Variables
    can have a fraction of the learning rate (`scale_learning_rate`), like a parameter group of
    PyTorch; it applies to their decay, too.

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

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        """Updates one variable and its two moments."""
        rate = self._rate(variable, learning_rate)
        if self._decays(variable):
            self.assign_sub(variable, variable * (self.weight_decay * rate))
        first, correction, root = self._update_moments(gradient, variable)
        self.assign_sub(variable, rate / correction * first / (root + self.epsilon))


@keras.saving.register_keras_serializable(package="keras_poolformer")
class Lamb(_MomentOptimizer, keras.optimizers.Lamb):
    """LAMB (arXiv 1904.00962) as timm computes it (timm/optim/lamb.py), as a Keras optimizer.

    Adam's step, with the weight decay added to it, is made as long as the tensor's weights are,
    times the learning rate: the step is multiplied by the trust ratio, the L2 norm of the weights
    divided by that of the step. Where one of them is 0, the ratio is 1. Weights that are not
    decayed take Adam's step as it is: those of fewer than two dimensions (biases, norms, scales),
    or all if `weight_decay` is 0.

    Keras' `Lamb` does not clip the gradients, decays outside of the ratio, and has a ratio for
    every weight.

    Args:
        learning_rate: Float or schedule.
        weight_decay: Float. Fraction of a weight that is added to Adam's step.
        beta_1: Float between 0 and 1. Decay of the first moment.
        beta_2: Float between 0 and 1. Decay of the second moment.
        epsilon: Float. Term that is added to the square root of the corrected second moment.
        global_clipnorm: L2 norm that the gradients of all variables together are clipped to, or
            None for no clipping; timm's `max_grad_norm`.
        name: Name of the optimizer.
        **kwargs: Other arguments of `keras.optimizers.Lamb`.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 1e-3,
        weight_decay: float = 0.05,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        global_clipnorm: float | None = 1.0,
        name: str = "lamb",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1,
            beta_2,
            epsilon,
            weight_decay=weight_decay,
            global_clipnorm=global_clipnorm,
            name=name,
            **kwargs,
        )

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        """Updates one variable and its two moments."""
        rate = self._rate(variable, learning_rate)
        first, correction, root = self._update_moments(gradient, variable)
        step = first / correction / (root + self.epsilon)
        if self._decays(variable):
            step += self.weight_decay * variable
            rate *= _trust_ratio(variable, step)
        self.assign_sub(variable, rate * step)


def _correction(beta: float, step: Any) -> Any:
    """1 - beta ** step, without the error of 1e-5 that 1 - 0.999 has in float32."""
    return -ops.expm1(step * math.log(beta))


def _trust_ratio(weights: Any, step: Any) -> Any:
    """Scalar: the L2 norm of the weights divided by that of the step; 1 if one of them is 0."""
    numerator, denominator = (ops.sqrt(ops.sum(ops.square(value))) for value in (weights, step))
    both = ops.logical_and(numerator > 0, denominator > 0)
    return ops.where(both, numerator / denominator, 1.0)


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


@keras.saving.register_keras_serializable(package="keras_poolformer")
class WarmupPoly(keras.optimizers.schedules.LearningRateSchedule):
    """A line up, then (1 - t) ** 0.9 down, as mmsegmentation's `PolyLR` has it.

    Args:
        peak: Highest learning rate, at the end of the warm-up.
        steps: Number of steps, cool-down included.
        warmup_steps: Number of steps on the line from `start` to `peak`.
        cooldown_steps: Number of steps at the end, at the rate `floor`.
        start: Learning rate of the first step, where there is a warm-up.
        floor: Lowest learning rate.
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
        self.peak, self.start, self.floor = peak, start, floor
        self.steps, self.warmup_steps, self.cooldown_steps = steps, warmup_steps, cooldown_steps
        decay_steps = max(steps - cooldown_steps - warmup_steps, 1)
        self._decay = keras.optimizers.schedules.PolynomialDecay(
            peak, decay_steps, floor, POLY_POWER
        )

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate of a step, counted from 0."""
        step = ops.cast(step, "float32")
        line = self.start + (self.peak - self.start) * step / max(self.warmup_steps, 1)
        decayed = self._decay(ops.maximum(step - self.warmup_steps, 0))
        return ops.where(step < self.warmup_steps, line, decayed)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        names = ("peak", "steps", "warmup_steps", "cooldown_steps", "start", "floor")
        return {name: getattr(self, name) for name in names}

"""AdamW with PyTorch's arithmetic, and the learning rate of the authors' recipe."""

import math

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable(package="keras_poolformer")
class AdamW(keras.optimizers.AdamW):
    """`torch.optim.AdamW` (arXiv 1711.05101) as a Keras optimizer.

    Keras adds epsilon to sqrt(v) before its bias is corrected, PyTorch afterwards. Fresh MLPs of
    PoolFormer have gradients around 3e-7, where Keras' first steps are half as long with an
    epsilon of 1e-8, and a tenth with its default.

    Weights of fewer than two dimensions (biases, norms, layer scales) are not decayed.

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
        step = ops.cast(self.iterations + 1, variable.dtype)
        self.assign_add(first, (gradient - first) * (1 - self.beta_1))
        self.assign_add(second, (ops.square(gradient) - second) * (1 - self.beta_2))
        root = ops.sqrt(second) / ops.sqrt(_correction(self.beta_2, step))
        scale = ops.cast(learning_rate, variable.dtype) / _correction(self.beta_1, step)
        self.assign_sub(variable, scale * first / (root + self.epsilon))


def _correction(beta, step):
    """1 - beta ** step, where float32's 1 - 0.999 would be off by 1e-5."""
    return -ops.expm1(step * math.log(beta))


@keras.saving.register_keras_serializable(package="keras_poolformer")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A line up, half a cosine down, then the lowest rate (sail-sg train.py, timm's scheduler).

    The rate is that of the moment in every step; timm sets it once an epoch.

    Args:
        peak: highest learning rate, at the end of the warm-up.
        steps: in all, cool-down included.
        warmup_steps: on the line from `start` to `peak`.
        cooldown_steps: at the end, at the rate `floor`.
        start: learning rate of the first step, where there is a warm-up.
        floor: lowest learning rate of the cosine.
    """

    def __init__(self, peak, steps, warmup_steps=0, cooldown_steps=0, start=0.0, floor=0.0):
        super().__init__()
        self._arguments = {
            "peak": peak,
            "steps": steps,
            "warmup_steps": warmup_steps,
            "cooldown_steps": cooldown_steps,
            "start": start,
            "floor": floor,
        }

    def __call__(self, step):
        """Returns the learning rate of a step, the first one being 0."""
        own = self._arguments
        step = tf.cast(step, tf.float32)
        line = own["start"] + (own["peak"] - own["start"]) * step / max(own["warmup_steps"], 1)
        falling = max(own["steps"] - own["cooldown_steps"] - own["warmup_steps"], 1)
        share = tf.clip_by_value((step - own["warmup_steps"]) / falling, 0.0, 1.0)
        wave = 0.5 * (1 + tf.cos(math.pi * share))
        cosine = own["floor"] + (own["peak"] - own["floor"]) * wave
        return tf.where(step < own["warmup_steps"], line, cosine)

    def get_config(self):
        """Returns the constructor's arguments."""
        return dict(self._arguments)

"""Which numbers an 8-bit tensor covers: recorded over calibration images, then fitted.

The network calls a marker, `mark(name, tensor)`, on every tensor that will have 8 bits: one
records values, another rounds as the integer file will, which also tells the converter the
range.
"""

import numpy as np
import tensorflow as tf

SAMPLES = 2_000  # values kept of each tensor and batch; m48 has 1,200 tensors
SHRINKING = np.linspace(1.0, 0.2, 33)


class Marker:
    """Lets every tensor pass: the exact network."""

    def __call__(self, name, tensor):
        """Returns `tensor`, to be known as `name`."""
        return tensor

    def like(self, name, tensor):
        """Returns a tensor that shall have the range of the one known as `name`."""
        return tensor


class Recorder(Marker):
    """Lets tensors pass; keeps their extremes and a sample of their values."""

    def __init__(self):
        self._samples: dict[str, list[np.ndarray]] = {}
        self._extremes: dict[str, tuple[float, float]] = {}

    def __call__(self, name, tensor):
        """Records `tensor` and returns it."""
        values = np.asarray(tensor).ravel()
        parts = self._samples.setdefault(name, [])
        low, high = self._extremes.get(name, (0.0, 0.0))
        self._extremes[name] = min(low, values.min()), max(high, values.max())
        if values.size > SAMPLES:
            values = values[np.random.default_rng(len(parts)).integers(0, values.size, SAMPLES)]
        parts.append(values)
        return tensor

    def ranges(self):
        """Returns {name: (low, high)}, fitted to what was recorded."""
        return {
            name: fit_range(np.concatenate(parts), *self._extremes[name])
            for name, parts in self._samples.items()
        }


class Quantizer(Marker):
    """Rounds tensors to 8 bits in their ranges, in a form that the converter understands.

    Args:
        ranges: {name: (low, high)}.
    """

    def __init__(self, ranges):
        self._ranges = ranges

    def __call__(self, name, tensor):
        """Returns `tensor`, rounded."""
        low, high = self._ranges[name]
        return tf.quantization.fake_quant_with_min_max_vars(tensor, low, high, num_bits=8)

    def like(self, name, tensor):
        """Returns `tensor`, rounded in the range of the one known as `name`."""
        return self(name, tensor)


def fit_range(values, low, high):
    """The range, with 0 in it, whose 256 steps have the least mean square error.

    Covering the extremes makes the steps of a long-tailed tensor too coarse; a smaller range
    clips them. The range from `low` to `high` is shrunk by the best of `SHRINKING`.
    """
    if low == high:
        return 0.0, 1.0
    errors = [_error(values, low * factor, high * factor) for factor in SHRINKING]
    best = SHRINKING[int(np.argmin(errors))]
    return float(low * best), float(high * best)


def _error(values, low, high):
    step = (high - low) / 255
    rounded = np.round((np.clip(values, low, high) - low) / step) * step + low
    return float(np.mean((rounded - values) ** 2))

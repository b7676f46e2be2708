import math

import numpy as np
import pytest

from keras_poolformer.training.loss_watch import LossWatch

STEPS = 75


def warning(losses, num_classes=10, warmup_steps=7):
    watch = LossWatch(num_classes, warmup_steps, len(losses))
    watch.add(losses)
    return watch.warning()


def curve(first, last, steps=STEPS, noise=0.1):
    return np.linspace(first, last, steps) + noise * np.random.default_rng(0).normal(size=steps)


@pytest.mark.parametrize(
    ("losses", "num_classes"),
    [
        (curve(2.35, 2.33), 10),
        (curve(2.3, 2.6), 10),
        (curve(5.0, 4.4), 10),  # another classifier than the data's, which is hardly unlearnt
        (curve(0.69, 0.69, noise=0.02), 2),
        (curve(6.91, 6.91, 2000), 1000),
    ],
)
def test_a_loss_that_does_not_fall(losses, num_classes):
    text = warning(losses, num_classes)
    assert text.startswith("the training loss does not fall: ")
    assert f"guessing has {math.log(num_classes):.3f}" in text and "learning_rate" in text


@pytest.mark.parametrize(
    ("losses", "num_classes"),
    [
        (curve(2.35, 1.2), 10),
        (curve(5.0, 1.5), 10),
        (curve(0.3, 0.3), 10),  # knew it all before
        (curve(2.35, 2.33, steps=20), 10),  # too few to tell
        (curve(0.75, 0.5, noise=0.05), 2),
        (curve(6.95, 6.5, 2000), 1000),
        ([], 10),
    ],
)
def test_no_false_alarm(losses, num_classes):
    assert warning(losses, num_classes) is None


def test_it_is_said_once_and_not_during_warm_up():
    watch = LossWatch(10, warmup_steps=30, total_steps=200)
    watch.add(curve(2.35, 2.33, 50))
    assert watch.warning() is None
    watch.add(curve(2.35, 2.33, 50))
    assert watch.warning()
    assert watch.warning() is None

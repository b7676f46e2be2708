"""LAMB next to timm's class: clipping, groups, zeros, and what Keras puts around it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import timm.optim
import torch

from conversion import oracles
from keras_poolformer import PoolFormerConfig, PoolFormerImageClassifier
from keras_poolformer.training.optimizer import Lamb
from tests.helpers import run_python

STEPS = 50
RATE = 2.0**-7  # the same number in float32 and float64
DECAY = 0.05
SHAPES = {
    "convolution": (3, 3, 4, 8),
    "dense": (8, 6),
    "zero weights": (6, 5),
    "zero gradients": (5, 4),
    "bias": (8,),
    "scalar": (1,),
    "zero bias and gradients": (4,),
}
# Measured: 2.7e-16 and 2.2e-7 of the largest weight.
TOLERANCE = {"float64": 2e-15, "float32": 1e-6}


def weights_and_gradients(dtype, size):
    """{name: weights} and for each step {name: gradient}; `size` is that of the gradients."""
    random = np.random.default_rng(0)
    weights = {name: random.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}
    gradients = [
        {name: (size * random.normal(size=shape)).astype(dtype) for name, shape in SHAPES.items()}
        for _ in range(STEPS)
    ]
    for name in SHAPES:
        if "zero weights" in name or "zero bias" in name:
            weights[name][:] = 0
        if "gradients" in name:
            for step in gradients:
                step[name][:] = 0
    return weights, gradients


def timms(weights, gradients, scaled=(), decay=DECAY, **options):
    """{name: weights} after timm's steps; those of `scaled` have a tenth of the rate."""
    parameters = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in weights.items()}
    groups = [
        {
            "params": [parameter],
            "weight_decay": decay if parameter.ndim > 1 else 0.0,
            "lr": RATE * (0.1 if name in scaled else 1.0),
        }
        for name, parameter in parameters.items()
    ]
    optimizer = timm.optim.Lamb(groups, lr=RATE, **options)
    for step in gradients:
        for name, parameter in parameters.items():
            parameter.grad = torch.tensor(step[name])
        optimizer.step()
    return {name: parameter.detach().numpy() for name, parameter in parameters.items()}


def variables_of(weights):
    return [keras.Variable(value, dtype=str(value.dtype)) for value in weights.values()]


def train(optimizer, variables, gradients, **options):
    """Takes a step for each entry of `gradients`, in a graph."""
    optimizer.build(variables)

    @tf.function(**options)
    def apply(step):
        optimizer.apply(step, variables)

    for step in gradients:
        apply([tf.constant(gradient) for gradient in step.values()])


def difference(variables, wanted):
    """Largest difference, in units of the largest weight of each tensor that is not all zeros."""
    errors = [
        np.abs(np.asarray(variable) - expected).max() / (np.abs(expected).max() or 1.0)
        for variable, expected in zip(variables, wanted.values(), strict=True)
    ]
    return np.max(errors)  # NaN if one is


@pytest.mark.first(1)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("size", [1e-3, 1e-1, 1.0])
def test_weights_become_those_of_timm(dtype, size):
    """Gradients of norm 0.02, 2 and 20: only the first are below the clipping."""
    weights, gradients = weights_and_gradients(dtype, size)
    variables = variables_of(weights)
    train(Lamb(RATE, DECAY), variables, gradients)
    found = difference(variables, timms(weights, gradients))
    print(f"{dtype}, gradients of {size}: weights differ by at most {found:.1e}")
    assert found < TOLERANCE[dtype]


def test_without_clipping_and_without_decay():
    """Without decay no weight has a trust ratio."""
    weights, gradients = weights_and_gradients("float64", 1.0)
    variables = variables_of(weights)
    train(Lamb(RATE, 0.0, global_clipnorm=None), variables, gradients)
    wanted = timms(weights, gradients, decay=0.0, max_grad_norm=None)
    assert difference(variables, wanted) < TOLERANCE["float64"]


def test_scaled_rates_are_timms_parameter_groups():
    weights, gradients = weights_and_gradients("float64", 1.0)
    variables, optimizer = variables_of(weights), Lamb(RATE, DECAY)
    scaled = [name for name in SHAPES if name in ("dense", "bias")]
    chosen = [variables[list(SHAPES).index(name)] for name in scaled]
    optimizer.scale_learning_rate(chosen, 0.1)
    train(optimizer, variables, gradients)
    assert difference(variables, timms(weights, gradients, scaled)) < TOLERANCE["float64"]


def test_it_decays_what_timm_decays():
    config = PoolFormerConfig(depths=(1, 1), widths=(8, 16), num_classes=3, head="pool_norm")
    model, oracle = PoolFormerImageClassifier(config), oracles.build_oracle(config, "timm").module
    optimizer = Lamb()
    optimizer.build(model.trainable_variables)
    ours = [v.shape for v in model.trainable_variables if optimizer._decays(v)]
    rest, decayed = timm.optim.param_groups_weight_decay(oracle, DECAY)
    assert (rest["weight_decay"], decayed["weight_decay"]) == (0, DECAY)
    numbers = sorted(int(np.prod(shape)) for shape in ours)
    assert numbers == sorted(parameter.numel() for parameter in decayed["params"])
    assert len(ours) + len(rest["params"]) == len(model.trainable_variables)


@pytest.mark.first(1)
@pytest.mark.parametrize("wrapped", [False, True])
def test_scaled_losses_are_clipped_at_their_own_size(wrapped):
    """By the optimizer, and by the one that Keras puts around it in mixed_float16."""
    scale = 1024.0
    weights, gradients = weights_and_gradients("float64", 1.0)
    variables, optimizer = variables_of(weights), Lamb(RATE, DECAY, loss_scale_factor=scale)
    if wrapped:
        optimizer = keras.optimizers.LossScaleOptimizer(Lamb(RATE, DECAY), initial_scale=scale)
    scaled = [{name: scale * gradient for name, gradient in step.items()} for step in gradients]
    train(optimizer, variables, scaled)
    assert difference(variables, timms(weights, gradients)) < TOLERANCE["float64"]


def test_accumulated_gradients_are_clipped_together():
    """Two steps of Keras' accumulation are one of their mean."""
    weights, gradients = weights_and_gradients("float64", 1.0)
    variables = variables_of(weights)
    train(Lamb(RATE, DECAY, gradient_accumulation_steps=2), variables, gradients)
    means = [
        {name: (first[name] + second[name]) / 2 for name in SHAPES}
        for first, second in zip(gradients[::2], gradients[1::2], strict=True)
    ]
    assert difference(variables, timms(weights, means)) < TOLERANCE["float64"]


@pytest.mark.slow
def test_xla_gives_the_same_weights():
    weights, gradients = weights_and_gradients("float32", 1.0)
    variables = variables_of(weights)
    train(Lamb(RATE, DECAY), variables, gradients, jit_compile=True)
    assert difference(variables, timms(weights, gradients)) < TOLERANCE["float32"]


def test_a_saved_optimizer_takes_the_same_next_step():
    """Its arguments, and by name its moments, step and averages."""
    weights, gradients = weights_and_gradients("float32", 1.0)
    first, before = variables_of(weights), Lamb(RATE, DECAY, use_ema=True, ema_momentum=0.9)
    for step in gradients[:5]:
        before.apply(list(step.values()), first)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(before))
    assert type(again) is Lamb and again.get_config() == before.get_config()
    second = [keras.Variable(variable.numpy()) for variable in first]
    again.build(second)
    kinds = ("average", "momentum", "velocity")
    names = [variable.name for variable in again.variables]
    assert all(sum(name.endswith(kind) for name in names) == len(second) for kind in kinds)
    for variable, saved in zip(again.variables, before.variables, strict=True):
        variable.assign(saved)
    for optimizer, variables in ((before, first), (again, second)):
        optimizer.apply(list(gradients[5].values()), variables)
    pairs = [*zip(first, second, strict=True), *zip(before.variables, again.variables, strict=True)]
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


SHARES = """
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_poolformer.training import Lamb

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
folder, rate, decay = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
with strategy.scope():
    weights = np.load(folder / "weights.npz")
    variables = [keras.Variable(weights[name], dtype="float64") for name in weights]
    optimizer = Lamb(rate, decay)
    optimizer.build(variables)


@tf.function
def apply(step):
    def apply_share():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        share = tf.where(replica == 0, tf.constant(0.75, tf.float64), 0.25)
        optimizer.apply([share * gradient for gradient in step], variables)

    strategy.run(apply_share)


gradients = np.load(folder / "gradients.npz")
for step in zip(*(gradients[name] for name in weights), strict=True):
    apply([tf.constant(gradient) for gradient in step])
np.savez(folder / "trained.npz", *(variable.numpy() for variable in variables))
"""


@pytest.mark.slow
def test_gradients_are_clipped_after_replicas_are_summed(tmp_path):
    """The shares of two replicas, in a process of its own, whose TensorFlow has two CPUs."""
    weights, gradients = weights_and_gradients("float64", 1.0)
    np.savez(tmp_path / "weights.npz", **weights)
    stacked = {name: np.stack([step[name] for step in gradients]) for name in SHAPES}
    np.savez(tmp_path / "gradients.npz", **stacked)
    done = run_python("-c", SHARES, tmp_path, RATE, DECAY)
    assert done.returncode == 0, done.stderr
    trained = [*np.load(tmp_path / "trained.npz").values()]
    found = difference(trained, timms(weights, gradients))
    print(f"two replicas: weights differ by at most {found:.1e}")
    assert found < TOLERANCE["float64"]

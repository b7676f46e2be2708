"""One side of benchmarks/gpu.py in a process of its own: training steps and inference.

All sides compute in bfloat16 from float32 weights when they train (AdamW, label smoothing, no drop
path) and from bfloat16 weights when they infer, on images and labels that stay on the device.
"""

import functools
import importlib
import os
import time
from typing import Any

import numpy as np

CLASSES = 1000
SMOOTHING, LEARNING_RATE, WEIGHT_DECAY = 0.1, 1e-3, 0.05
WARM_UPS = 2

_side: Any = None  # of this process: {"device": its name, task: a function of a number of steps}


def start(side, variant, batch, size):
    """Compiles one side in this process and takes its first steps; returns the device's name."""
    global _side
    random = np.random.default_rng(0)
    images = random.standard_normal((batch, size, size, 3), np.float32)
    labels = random.integers(0, CLASSES, batch)
    _side = _MAKERS[side](variant, images, labels)
    for task in ("training", "inference"):
        _side[task](WARM_UPS)
    return _side["device"]


def take_steps(task, steps):
    """Takes steps of a task and waits for the last one; returns seconds."""
    _side[task](WARM_UPS)  # the caches hold what the side before left
    start = time.perf_counter()
    _side[task](steps)
    return time.perf_counter() - start


def _keras(backend):
    os.environ["KERAS_BACKEND"] = backend
    import keras

    return keras


def _network(variant, policy):
    """The network, computing as a Keras dtype policy says."""
    import keras

    from keras_poolformer import PoolFormerImageClassifier

    keras.config.set_dtype_policy(policy)
    return PoolFormerImageClassifier.from_variant(variant, drop_path_rate=0.0)


def _jax(variant, images, labels):
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # PyTorch has the same GPU
    keras = _keras("jax")
    import jax
    import jax.numpy as jnp

    model = _network(variant, "mixed_bfloat16")
    optimizer = keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    optimizer.build(model.trainable_variables)
    images, targets = jax.device_put(images), jax.nn.one_hot(labels, CLASSES)
    call: Any = model.stateless_call

    def loss(weights, fixed, images):
        logits, fixed = call(weights, fixed, images, training=True)
        losses: Any = keras.losses.categorical_crossentropy(
            targets, logits.astype(jnp.float32), from_logits=True, label_smoothing=SMOOTHING
        )
        return losses.mean(), fixed

    @functools.partial(jax.jit, donate_argnums=0)
    def train(state, images):
        weights, fixed, moments = state
        (value, fixed), gradients = jax.value_and_grad(loss, has_aux=True)(weights, fixed, images)
        weights, moments = optimizer.stateless_apply(moments, gradients, weights)
        return (weights, fixed, moments), value

    held: list[Any] = [
        [variable.value for variable in variables]
        for variables in (
            model.trainable_variables, model.non_trainable_variables, optimizer.variables
        )
    ]  # fmt: skip

    def training(steps):
        value = None
        for _ in range(steps):
            held[:], value = train(tuple(held), images)
        jax.block_until_ready((held, value))

    half = _network(variant, "bfloat16")
    weights = [variable.value for variable in half.trainable_variables]
    fixed = [variable.value for variable in half.non_trainable_variables]
    predict = jax.jit(lambda images: half.stateless_call(weights, fixed, images)[0])
    half_images = images.astype(jnp.bfloat16)

    def inference(steps):
        jax.block_until_ready([predict(half_images) for _ in range(steps)])

    device = jax.devices()[0].device_kind
    return {"device": device, "training": training, "inference": inference}


def _tensorflow(variant, images, labels):
    keras = _keras("tensorflow")
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    model = _network(variant, "mixed_bfloat16")
    optimizer = keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    optimizer.build(model.trainable_variables)
    images, targets = tf.constant(images), tf.one_hot(labels, CLASSES)

    @tf.function(jit_compile=True)
    def train(images):
        with tf.GradientTape() as tape:
            logits = tf.cast(model(images, training=True), tf.float32)
            losses = keras.losses.categorical_crossentropy(
                targets, logits, from_logits=True, label_smoothing=SMOOTHING
            )
            loss = tf.reduce_mean(losses)
        gradients: Any = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    half = _network(variant, "bfloat16")
    predict = tf.function(lambda images: half(images, training=False), jit_compile=True)
    half_images = tf.cast(images, tf.bfloat16)

    def take(function, images, steps):
        for _ in range(steps - 1):
            function(images)
        function(images).numpy()

    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    return {
        "device": details.get("device_name", "cpu"),
        "training": functools.partial(take, train, images),
        "inference": functools.partial(take, predict, half_images),
    }


def _timm(variant, images, labels):
    importlib.import_module("conversion")  # makes every build of torchvision importable
    import timm
    import torch

    torch.set_float32_matmul_precision("high")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = timm.create_model(variant).train()
    model.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
    )
    compiled = torch.compile(model)
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).to(device)  # channels last in memory
    targets = torch.from_numpy(labels).to(device)

    def training(steps):
        loss: Any = None
        for _ in range(steps):
            with torch.autocast(device, torch.bfloat16):
                loss = torch.nn.functional.cross_entropy(
                    compiled(batch), targets, label_smoothing=SMOOTHING
                )
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        loss.item()

    half: Any = timm.create_model(variant).eval()
    half.to(device, torch.bfloat16, memory_format=torch.channels_last)
    predict = torch.compile(half)
    half_batch = batch.to(torch.bfloat16)

    def inference(steps):
        logits: Any = None
        with torch.inference_mode():
            for _ in range(steps):
                logits = predict(half_batch)
        logits.float().sum().item()

    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return {"device": name, "training": training, "inference": inference}


_MAKERS = {
    "Keras on JAX": _jax,
    "Keras on TensorFlow, XLA": _tensorflow,
    "timm, torch.compile": _timm,
}

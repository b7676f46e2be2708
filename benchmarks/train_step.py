"""Our training step next to a bare one of Keras: milliseconds, same model, batches and machine.

Both take ten steps in one call, from the same batches in memory, with AdamW, label smoothing and
the accuracy of each batch. Ours is the trainer's loop; Keras' is the function that `Model.fit`
calls. Rounds of both alternate.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.ratios import estimate, ratio

ROUNDS, STEPS = 9, 10
TARGET = 1.05
SMOOTHING = 0.1


@dataclass(frozen=True)
class Case:
    """What is trained.

    Args:
        name: Name of the table's row.
        recipe: Name of a recipe in `RECIPES`.
        batch: Number of images per step.
        jit: Whether XLA compiles the step, on both sides.
        steps: Number of steps that one call takes.
    """

    name: str
    recipe: str
    batch: int
    jit: bool = False
    steps: int = STEPS


CASES = (
    Case("tiny, 64 pixels, batch 32", "poolformer_tiny_cifar10", 32),
    Case("tiny, 64 pixels, batch 32, XLA", "poolformer_tiny_cifar10", 32, jit=True),
    Case("s12, 224 pixels, batch 4", "poolformer_s12_in1k", 4),
)


def compare(case, rounds=ROUNDS):
    """Measures one case.

    Args:
        case: Case to measure.
        rounds: Number of rounds, at least 6.

    Returns:
        {"case", "ours", "peer", "ratio"}: milliseconds a step, ours over Keras'.
    """
    with tempfile.TemporaryDirectory() as folder:
        sides = {"ours": ours(case, Path(folder)), "peer": keras_own(case)}
        times = {name: [] for name in sides}
        for take in sides.values():
            take()  # traces, compiles
        for _ in range(rounds):
            for name, take in sides.items():
                start = time.perf_counter()
                take()
                times[name].append(1000 * (time.perf_counter() - start) / case.steps)
    return {
        "case": case.name,
        **{name: estimate(values).to_dict() for name, values in times.items()},
        "ratio": ratio(times["ours"], times["peer"]).to_dict(),
    }


def _recipe(case):
    from keras_poolformer.training.recipes import get_recipe

    plain = ["drop_path_rate=0", "mixup=0", "cutmix=0", f"label_smoothing={SMOOTHING}"]
    steps = [f"steps_per_call={case.steps}", f"batch_size={case.batch}", f"jit_compile={case.jit}"]
    return get_recipe(case.recipe).with_settings([*plain, *steps, "held_out=0"])


def _batches(case):
    """The same batch over and over, as a tf.data.Dataset, and the number of classes."""
    import tensorflow as tf

    recipe = _recipe(case)
    side, classes = recipe.augmentation.size, recipe.config.num_classes
    random = np.random.default_rng(0)
    images = random.normal(size=(case.batch, side, side, 3)).astype(np.float32)
    labels = random.integers(0, classes, case.batch)
    return tf.data.Dataset.from_tensors((images, labels)).repeat(), classes


def ours(case, folder):
    """Returns a function that takes `case.steps` of the trainer's steps."""
    import tensorflow as tf

    from keras_poolformer.data.splits.folder_split import FolderSplit
    from keras_poolformer.data.targets import ClassTarget
    from keras_poolformer.training.run import Run
    from keras_poolformer.training.strategy import one_device
    from keras_poolformer.training.trainer import Trainer

    batches, classes = _batches(case)
    split = FolderSplit(
        name="random",
        class_names=tuple(map(str, range(classes))),
        num_examples=case.batch,
        paths=tf.constant([""]),
        target=ClassTarget(classes),
        targets=tf.constant([0]),
        numbers=np.arange(case.batch),
    )
    strategy = one_device()
    trainer = Trainer(Run(_recipe(case), split, None, folder), strategy)
    iterator = iter(strategy.experimental_distribute_dataset(batches))
    return lambda: trainer.take_steps(iterator, 0, case.steps)


def keras_own(case):
    """Returns a function that takes `case.steps` of Keras' own steps."""
    import keras

    from keras_poolformer.models.classifier import PoolFormerImageClassifier

    batches, classes = _batches(case)
    batches = batches.map(lambda images, labels: (images, keras.ops.one_hot(labels, classes)))
    config = _recipe(case).config.replace(num_classes=classes)
    model = PoolFormerImageClassifier(config)
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-3, weight_decay=0.05),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=SMOOTHING),
        metrics=["accuracy"],
        jit_compile=case.jit,
        steps_per_execution=case.steps,
    )
    model.make_train_function()
    iterator = iter(batches)
    return lambda: model.train_function(iterator)  # pyright: ignore[reportOptionalCall]

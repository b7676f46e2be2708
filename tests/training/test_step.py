import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from conversion import oracles
from keras_poolformer import PoolFormerConfig, PoolFormerImageClassifier, load_torch_weights
from keras_poolformer.data.augmentation.mixing import Mixing
from keras_poolformer.models.activations import ACTIVATION_FUNCTIONS
from keras_poolformer.training.optimizer import AdamW
from keras_poolformer.training.step import EvaluationStep, TrainStep, _draw_from
from keras_poolformer.training.tasks import Classification
from tests.helpers import TOLERANCE, randomized_module, relative_error

CONFIG = PoolFormerConfig(depths=(1, 1, 2, 1), widths=(16, 24, 32, 40), num_classes=3)
# Where the depth plays no part: a network that is computed and traced in half the time.
SHALLOW = PoolFormerConfig(depths=(1, 2), widths=(16, 24), num_classes=3)
DRAW, SEED = np.array((1, 0, 0.5, 0.5), np.float32), np.array((1, 2), np.int32)


def step_of(model, mixing, batch, parts=1, learning_rate=1e-3):
    optimizer = AdamW(learning_rate)
    optimizer.build(model.trainable_variables)
    return TrainStep(model, optimizer, Classification(3, mixing), batch, parts)


@pytest.mark.parametrize("head", ["pool_norm", "norm_pool"])
def test_gradients_are_pytorchs(head, plain, photo_batch, tmp_path):
    """timm for pool_norm, transformers for norm_pool; stochastic depth off."""
    layout = "timm" if head == "pool_norm" else "hf"
    config = CONFIG.replace(head=head)
    oracle = oracles.build_oracle(config, layout)
    randomized_module(oracle.module)
    torch.save(oracle.module.state_dict(), tmp_path / "weights.pth")
    model = PoolFormerImageClassifier(config)
    load_torch_weights(model, tmp_path / "weights.pth")
    images, labels = photo_batch

    step = step_of(model, plain, len(labels))
    gradients, loss, *_ = step.gradients(images, labels, DRAW, SEED)  # traced, it takes longer

    oracle.module.train()
    logits = oracle.module(torch.tensor(images).permute(0, 3, 1, 2))
    logits = getattr(logits, "logits", logits)
    theirs = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    theirs.backward()
    assert float(loss) == pytest.approx(theirs.item(), rel=1e-5)
    wanted = pytorch_gradients(oracle, model, tmp_path)
    norm = np.sqrt(sum((one**2).sum() for one in wanted.values()))
    worst = 0.0
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        error = np.linalg.norm(gradient.numpy() - wanted[variable.path])
        if variable.path.endswith("norm1/beta"):  # zero in exact arithmetic
            assert error < 1e-6 * norm
        else:
            worst = max(worst, error / np.linalg.norm(wanted[variable.path]))
    print(f"{head}: gradients differ by at most {worst:.1e} of a tensor's own norm")
    assert worst < 1e-4


@pytest.mark.parametrize("count", [4, 3])
def test_compiled_gelu_and_its_gradient_are_pytorchs(count, plain):
    model = PoolFormerImageClassifier(SHALLOW)
    gelu = step_of(model, plain, 4)._compile(ACTIVATION_FUNCTIONS["gelu"])
    random = np.random.default_rng(0)
    images = 3 * random.standard_normal((count, 5, 6, 7)).astype(np.float32)
    upstream = random.standard_normal(images.shape).astype(np.float32)
    inputs = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = gelu(inputs)
    theirs = torch.from_numpy(images).requires_grad_()
    expected = torch.nn.functional.gelu(theirs)
    expected.backward(torch.from_numpy(upstream))
    ours = tape.gradient(outputs, inputs, output_gradients=upstream)
    assert relative_error(outputs, expected.detach().numpy()) < TOLERANCE
    assert relative_error(ours, theirs.grad.numpy()) < TOLERANCE


def test_activations_are_compiled_only_where_nothing_around_them_is(photo_batch, plain):
    """XLA compiles GELU as a function of its own, and one function for all layers of a shape."""
    step = step_of(PoolFormerImageClassifier(SHALLOW), plain, 4)
    images, labels = map(tf.constant, photo_batch)
    compiled = {}
    for jit in (False, True):
        traced = tf.function(dataclasses.replace(step, jit_compile=jit).gradients)
        functions = traced.get_concrete_function(images, labels, DRAW, SEED).graph.as_graph_def()
        compiled[jit] = sum(
            function.attr["_XlaMustCompile"].b for function in functions.library.function
        )
    assert compiled[False] >= 2 * len(SHALLOW.widths)  # forward and backward, of each shape
    assert compiled[True] == 0


def pytorch_gradients(oracle, model, folder):
    """PyTorch's gradients by our paths: transplanted like weights."""
    state = {name: one.grad for name, one in oracle.module.named_parameters()}
    torch.save(state, folder / "gradients.pth")
    carrier = PoolFormerImageClassifier(model.config)
    load_torch_weights(carrier, folder / "gradients.pth")
    return {one.path: one.numpy() for one in carrier.trainable_variables}


@pytest.mark.first(1)
@pytest.mark.parametrize("mixing", [Mixing(), Mixing(mixup=0.8, cutmix=0)])
def test_parts_give_the_gradients_of_the_whole(mixing, photo_batch):
    images, labels = photo_batch
    model = PoolFormerImageClassifier(SHALLOW)
    draw = mixing.draw(0, 1)
    whole = step_of(model, mixing, 4).gradients(images, labels, draw, SEED)
    parts = step_of(model, mixing, 4, parts=2).gradients(
        tf.constant(images), tf.constant(labels), draw, SEED
    )
    norm = tf.linalg.global_norm(whole[0])
    for one, other in zip(tf.nest.flatten(whole), tf.nest.flatten(parts), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6 * norm)


def test_masks_are_a_function_of_the_seed(photo_batch, plain):
    images, labels = photo_batch
    model = PoolFormerImageClassifier(SHALLOW.replace(drop_path_rate=0.9, layer_scale_init=1.0))
    step = step_of(model, plain, 4)
    loss = tf.function(lambda seed: step.gradients(images, labels, DRAW, seed)[1])
    losses = [float(loss(np.array((1, n), np.int32))) for n in (0, 1, 2, 0, 1, 2)]
    assert losses[:3] == losses[3:]
    assert len(set(losses)) == 3


def test_images_draw_different_masks(plain):
    model = PoolFormerImageClassifier(SHALLOW.replace(drop_path_rate=0.9, layer_scale_init=1.0))
    images = tf.ones((16, 32, 32, 3))
    logits, _ = step_of(model, plain, 16)._logits(images, tf.constant(SEED), 0, [])
    assert len(np.unique(logits.numpy().round(5), axis=0)) > 2


@pytest.mark.first(1)
@pytest.mark.parametrize("rates", [(0.5, 0.0), (0.0, 0.3)])
def test_masks_belong_to_the_example_and_not_to_the_replica(rates, photo_batch, plain):
    """The halves of a batch, each as a replica of its own has it, give the batch's gradients."""
    images, labels = map(tf.constant, photo_batch)
    config = SHALLOW.replace(drop_path_rate=rates[0], dropout_rate=rates[1], layer_scale_init=1.0)
    step = step_of(PoolFormerImageClassifier(config), plain, 4)
    whole = step.gradients(images, labels, DRAW, SEED)
    halves = [
        step.gradients(images[i : i + 2], labels[i : i + 2], DRAW, SEED, first=i) for i in (0, 2)
    ]
    norm = tf.linalg.global_norm(whole[0])
    for expected, *parts in zip(*map(tf.nest.flatten, (whole, *halves)), strict=True):
        np.testing.assert_allclose(sum(parts), expected, rtol=1e-5, atol=1e-6 * norm)
    gradients, *_ = step.gradients(images[2:], labels[2:], DRAW, SEED, first=0)
    moved = tf.linalg.global_norm([a - b for a, b in zip(gradients, halves[1][0], strict=True)])
    assert moved > 0.01 * norm


@pytest.mark.parametrize("count", [1, 35])
def test_drawn_numbers_are_uniform_and_the_same_under_xla(count):
    generator = keras.random.SeedGenerator(3)

    def draw(first, images):
        with keras.StatelessScope(state_mapping=[(generator.state, SEED.astype("uint32"))]):
            return _draw_from(first)((images, count), generator)

    numbers = draw(0, 4000).numpy()
    np.testing.assert_array_equal(draw(3000, 1000), numbers[3000:])
    compiled = tf.function(lambda first: draw(first, 1000), jit_compile=True)
    np.testing.assert_array_equal(compiled(tf.constant(3000)), numbers[3000:])
    assert numbers.min() >= 0 and numbers.max() < 1
    counts, _ = np.histogram(numbers, 10, (0, 1))
    expected = numbers.size / 10
    assert np.sum((counts - expected) ** 2 / expected) < 28  # 0.1 % of chi-squared with 9
    assert abs(np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]) < 0.06


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_one_batch_can_be_learnt_by_heart(precision, photo_batch, plain):
    keras.utils.set_random_seed(0)
    images, labels = photo_batch
    config = CONFIG.replace(layer_scale_init=0.1)
    model = PoolFormerImageClassifier(config, dtype=precision)
    step = tf.function(step_of(model, plain, 4, learning_rate=3e-3).__call__)
    losses = [float(step(images, labels, DRAW, SEED)[0]) for _ in range(60)]
    assert losses[-1] < 0.01 < 0.5 < losses[0]


def test_evaluation_ignores_padding_and_ranks_as_evaluate_does():
    scores = tf.constant([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 3.0], [9.0, 0.0, 0.0]])
    step = EvaluationStep(lambda images, training: images, Classification(3, Mixing()))
    _, first, among_five = step(scores, tf.constant([0, 1, 2, -1], tf.int64)).numpy()
    assert (first, among_five) == (2, 3)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_the_whole_step_compiles_with_xla(parts):
    """As near to a TPU's compiler as a machine without one comes."""
    config = CONFIG.replace(drop_path_rate=0.2)
    model = PoolFormerImageClassifier(config, dtype="mixed_bfloat16")
    step = step_of(model, Mixing(), 8, parts)
    compiled = tf.function(step.__call__, jit_compile=True)
    images, labels = tf.zeros((8, 64, 64, 3), tf.bfloat16), tf.zeros((8,), tf.int64)
    arguments = (images, labels, tf.constant(DRAW), tf.constant(SEED))
    text = compiled.experimental_get_compiler_ir(*arguments)(stage="hlo")
    assert "bf16[" in text
    for absent in ("custom-call", "infeed", "outfeed", "host", "<=", "send("):
        assert absent not in text, absent
    loss, _ = compiled(*arguments)
    assert np.isfinite(loss)

"""Segmenters are trained as classifiers are; losses, statistics and scores are PyTorch's."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from keras_poolformer import PoolFormerSegmenter
from keras_poolformer.cli import main
from keras_poolformer.data.augmentation.mixing import Mixing
from keras_poolformer.data.splits.opening import open_masked_splits, open_splits
from keras_poolformer.training import Run, WarmupPoly, get_recipe
from keras_poolformer.training.optimizer import AdamW
from keras_poolformer.training.step import TrainStep
from keras_poolformer.training.tasks import Segmentation
from tests.helpers import error_line
from tests.segmenters import (
    CONFIG,
    draw_shapes_folder,
    noise,
    randomized_segmenter,
    save_checkpoint,
)
from tests.training import runs

PLAIN = Mixing(mixup=0.0, cutmix=0.0, label_smoothing=0.0)
DRAW, SEED = np.array((1, 0, 0.5, 0.5), np.float32), np.array((1, 2), np.int32)
RECIPE = "poolformer_tiny_nuclei"
TOLERANCE = 1e-5  # of losses; measured: 1.2e-7 over 24 steps
SETTINGS = ["needs_init=false", "neck_width=16", "segmentation_width=8"]


@pytest.fixture(scope="module")
def masks():
    """int32 (4, 64, 64): classes in blocks, a corner of each mask without one."""
    blocks = np.random.default_rng(0).integers(0, CONFIG.num_classes, (4, 4, 4))
    masks = np.kron(blocks, np.ones((16, 16))).astype(np.int32)
    masks[:, :10, :20] = 255
    return masks


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A folder of drawn discs and squares on gray, with masks, of several sizes."""
    root = tmp_path_factory.mktemp("shapes") / "data"
    draw_shapes_folder(root, train=48, val=6)
    return root


def test_gradients_and_statistics_are_pytorchs(masks, tmp_path):
    """The loss is mmsegmentation's: a mean over all pixels, of which 255 count as 0."""
    oracle = randomized_segmenter(CONFIG.replace(head_dropout_rate=0.0))
    file = save_checkpoint(oracle, tmp_path / "x.pth")
    model = PoolFormerSegmenter.from_preset(file, head_dropout_rate=0.0)
    optimizer = AdamW(1e-3)
    optimizer.build(model.trainable_variables)
    step = TrainStep(model, optimizer, Segmentation(5, PLAIN), 4)
    images = noise(4, 64, 64, 3)
    gradients, loss, accuracy, statistics = step.gradients(images, masks, DRAW, SEED)

    oracle.train()
    logits = oracle(torch.from_numpy(images).permute(0, 3, 1, 2))[-1]
    logits = torch.nn.functional.interpolate(logits, (64, 64), mode="bilinear")
    labels = torch.from_numpy(masks).long()
    theirs = torch.nn.functional.cross_entropy(logits, labels, ignore_index=255, reduction="none")
    theirs.mean().backward()
    real = labels != 255
    shares = ((logits.argmax(1) == labels) & real).sum((1, 2)) / real.sum((1, 2))
    assert float(loss) == pytest.approx(theirs.mean().item(), rel=1e-5)
    assert float(accuracy) == pytest.approx(shares.mean().item(), abs=1e-3)
    tensors = dict(oracle.named_buffers())
    tensors |= {name: parameter.grad for name, parameter in oracle.named_parameters()}
    wanted = {variable.path: variable.numpy() for variable in read(tensors, tmp_path).variables}
    worst = 0.0
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        error = np.linalg.norm(gradient.numpy() - wanted[variable.path])
        worst = max(worst, error / max(np.linalg.norm(wanted[variable.path]), 1e-4))
    print(f"gradients differ by at most {worst:.1e} of a tensor's own norm")
    assert worst < 1e-3
    variables = [one for one in model.variables if "/moving_" in one.path]
    for variable, statistic in zip(variables, statistics, strict=True):
        # PyTorch's moving variance is of n - 1 values: of 16 at the coarsest level here.
        tolerance = 1e-2 if variable.path.endswith("variance") else 1e-4
        np.testing.assert_allclose(
            statistic.numpy(), wanted[variable.path], rtol=tolerance, atol=1e-5
        )


def read(tensors, folder):
    """A segmenter with the tensors of the re-implementation."""
    from conversion.semantic_fpn import mmseg_name

    tensors = {mmseg_name(name): tensor.detach() for name, tensor in tensors.items()}
    torch.save({"meta": {}, "state_dict": tensors}, folder / "tensors.pth")
    return PoolFormerSegmenter.from_preset(folder / "tensors.pth")


def test_scores_are_mmsegmentations(masks):
    """Its IoUMetric: areas by `histc`, sums over all images, means over the classes that occur."""
    random = np.random.default_rng(1)
    logits = random.normal(size=(4, 64, 64, 6)).astype(np.float32)  # one class never occurs
    logits[..., 5] = -100
    task = Segmentation(6, PLAIN)
    # In two batches, the second one of which ends in padding.
    padding = np.full((1, 64, 64), 255, np.int32)
    sums = task.sums(tf.constant(logits[:3]), tf.constant(masks[:3])).numpy().astype(np.float64)
    rows = (
        np.concatenate((part[3:], last)) for part, last in ((logits, logits[:1]), (masks, padding))
    )
    sums += task.sums(*map(tf.constant, rows)).numpy()
    result = task.evaluation(sums, 4)

    labels, predicted = torch.from_numpy(masks), torch.from_numpy(logits).argmax(-1)
    real = labels != 255
    areas = [
        torch.histc(values.float(), 6, 0, 5)
        for values in (
            predicted[real & (predicted == labels)], predicted[real], labels[real]
        )
    ]  # fmt: skip
    iou = areas[0] / (areas[1] + areas[2] - areas[0])
    losses = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits).permute(0, 3, 1, 2), labels.long(), ignore_index=255
    )
    assert result.mean_iou == pytest.approx(100 * np.nanmean(iou.numpy()), rel=1e-6)
    assert result.mean_accuracy == pytest.approx(
        100 * np.nanmean((areas[0] / areas[2]).numpy()), rel=1e-6
    )
    assert result.pixel_accuracy == pytest.approx(100 * float(areas[0].sum() / areas[2].sum()))
    assert result.loss == pytest.approx(losses.item(), rel=1e-5)


def test_the_poly_schedule():
    """mmengine's PolyLR at step t of T: (rate - least) * (1 - t / T) ** 0.9 + least."""
    schedule = WarmupPoly(2e-4, 130, warmup_steps=20, cooldown_steps=10, start=1e-6, floor=1e-5)
    rates = [float(schedule(step)) for step in range(130)]
    np.testing.assert_allclose(rates[:20], np.linspace(1e-6, 2e-4, 21)[:20], rtol=1e-5)
    expected = (2e-4 - 1e-5) * (1 - np.arange(100) / 100) ** 0.9 + 1e-5
    np.testing.assert_allclose(rates[20:120], expected, rtol=1e-5)
    np.testing.assert_allclose(rates[120:], 1e-5, rtol=1e-5)
    copy = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert float(copy(50)) == rates[50]


def test_recipes_are_mmsegmentations():
    """configs/poolformer/fpn_poolformer_s12_8xb4-40k_ade20k-512x512.py of its 1.2.2."""
    recipe = get_recipe("semantic_fpn_s12_ade20k")
    steps = 20_210 // recipe.batch_size * recipe.all_epochs
    assert 40_000 <= steps < 41_000
    assert (recipe.learning_rate, recipe.weight_decay, recipe.schedule) == (2e-4, 1e-4, "poly")
    assert (recipe.batch_size, recipe.config.num_classes, recipe.reduce_zero_label) == (
        32,
        150,
        True,
    )
    augmentation = recipe.augmentation
    assert (augmentation.size, augmentation.ratio_range, augmentation.cat_max_ratio) == (
        512, (0.5, 2.0), 0.75,
    )  # fmt: skip


def test_a_run_writes_a_segmenter(shapes, tmp_path, capsys):
    status = main(runs.arguments(shapes, tmp_path, [*SETTINGS, "epochs=1"], recipe=RECIPE))
    assert status == 0, capsys.readouterr().err
    out, err = capsys.readouterr()
    assert "mIoU" in out and "mIoU" in err
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (
        result["best_mean_iou"] == pytest.approx(result["mean_iou"])
        and (tmp_path / "curve.png").exists()
    )
    model = PoolFormerSegmenter.from_preset(tmp_path / "model.safetensors")
    saved = PoolFormerSegmenter.from_preset(tmp_path)
    assert saved.labels == ("ground", "disc", "square") and not saved.transform.do_center_crop
    images = noise(1, 32, 32, 3)
    np.testing.assert_array_equal(model(images), saved(images))
    assert saved.predict_labels(shapes / "images/val/0.png").max() < 3


def test_what_does_not_fit_is_refused(shapes, photo_folders, tmp_path):
    masked, labeled = open_masked_splits(shapes), open_splits(photo_folders)
    line = error_line(Run, "poolformer_tiny_cifar10", masked.training, None, tmp_path)
    assert "with a mask each must be of type SegmentationAugmentation. Received: Augm" in line
    line = error_line(Run, RECIPE, labeled.training, None, tmp_path)
    assert "with a label each must be of type Augmentation. Received: SegmentationAugm" in line
    for settings, words in (
        ({"mixup": 0.8}, "masks are not mixed"),
        ({"interpolation": "bicubic"}, "interpolation"),
    ):
        assert words in error_line(get_recipe(RECIPE).replace, **settings)


@pytest.fixture(scope="module")
def one_device(shapes, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("one")
    process = runs.start(shapes, workdir, [*SETTINGS, "save_every=2"], recipe=RECIPE)
    status, _, error = runs.finish(process)
    assert status == 0, error
    return workdir


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_train_the_same(replicas, one_device, shapes, tmp_path):
    """Batch normalization is over all of them."""
    options = ["--strategy", "mirrored", "--replicas", str(replicas)]
    process = runs.start(shapes, tmp_path, SETTINGS, options, recipe=RECIPE)
    status, _, error = runs.finish(process)
    assert status == 0, error
    compare_losses(runs.losses(tmp_path), runs.losses(one_device))


@pytest.mark.slow
def test_two_workers_train_the_same(one_device, shapes, tmp_path):
    options = ["--strategy", "multiworker"]
    workers = [
        runs.start(shapes, tmp_path, SETTINGS, options, config, recipe=RECIPE)
        for config in runs.cluster(2)
    ]
    ends = [runs.finish(worker) for worker in workers]
    assert [status for status, *_ in ends] == [0, 0], ends
    compare_losses(runs.losses(tmp_path), runs.losses(one_device))


def compare_losses(found, wanted):
    assert len(found) == len(wanted) == 24
    worst = np.abs(found / wanted - 1).max()
    print(f"losses differ by at most {worst:.1e}")
    assert worst < TOLERANCE


@pytest.mark.slow
def test_killed_and_resumed_to_the_same_bytes(one_device, shapes, tmp_path):
    settings = [*SETTINGS, "save_every=2"]
    for rows in (3, 11):
        process = runs.start(shapes, tmp_path, settings, recipe=RECIPE)
        while process.poll() is None and not has_rows(tmp_path / "log.csv", rows):
            pass
        process.kill()
        runs.finish(process)
        assert not (tmp_path / "model.keras").exists()
    status, _, error = runs.finish(runs.start(shapes, tmp_path, settings, recipe=RECIPE))
    assert status == 0, error
    for name in ("log.csv", "evaluations.csv", "result.json"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (one_device / name).read_text(
            encoding="utf-8"
        ), name
    found, wanted = runs.weights(tmp_path), runs.weights(one_device)
    assert found.keys() == wanted.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, wanted[name], name)


def has_rows(log, rows):
    return log.exists() and log.read_text(encoding="utf-8").count("\n") > rows

import numpy as np
import pytest
import tensorflow as tf

from keras_poolformer.data.augmentation.mixing import Mixing, mix

MIXUP = Mixing(mixup=0.8, cutmix=0.0, label_smoothing=0.1)
CUTMIX = Mixing(mixup=0.0, cutmix=1.0, label_smoothing=0.1)
CLASSES = 7


def batch(size=8, side=32):
    random = np.random.default_rng(0)
    images = random.normal(size=(size, side, side, 3)).astype(np.float32)
    return images, random.integers(0, CLASSES, size)


def pairs_from_reverse(rows):
    """Sorts rows so that neighbours are what timm pairs: the first with the last, and so on."""
    half = len(rows) // 2
    return np.stack([rows[:half], rows[::-1][:half]], 1).reshape(rows.shape)


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.9])
def test_mixup_is_timms(lam):
    import torch
    from timm.data.mixup import mixup_target

    images, labels = batch()
    draw = np.array((lam, 0, 0.5, 0.5), np.float32)
    ours, targets = mix(
        MIXUP, pairs_from_reverse(images), pairs_from_reverse(labels), CLASSES, draw
    )
    theirs = images * lam + images[::-1] * (1 - lam)
    wanted = mixup_target(torch.tensor(labels), CLASSES, lam, smoothing=0.1)
    np.testing.assert_allclose(ours, pairs_from_reverse(theirs), atol=1e-6)
    np.testing.assert_allclose(targets, pairs_from_reverse(wanted.numpy()), atol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_is_timms(seed, monkeypatch):
    import torch
    from timm.data import mixup as timm_mixup

    images, labels = batch()
    draw = CUTMIX.draw(0, seed)
    _, side, y, x = draw
    centres = iter([int(y * 32), int(x * 32)])
    monkeypatch.setattr(timm_mixup.np.random, "randint", lambda *_, **__: next(centres))
    box, lam = timm_mixup.cutmix_bbox_and_lam(images.shape[:3], 1 - side**2)
    (top, bottom, left, right) = box
    theirs = images.copy()
    theirs[:, top:bottom, left:right] = images[::-1, top:bottom, left:right]
    wanted = timm_mixup.mixup_target(torch.tensor(labels), CLASSES, lam, smoothing=0.1)
    ours, targets = mix(
        CUTMIX, pairs_from_reverse(images), pairs_from_reverse(labels), CLASSES, draw
    )
    np.testing.assert_allclose(ours, pairs_from_reverse(theirs), atol=1e-6)
    np.testing.assert_allclose(targets, pairs_from_reverse(wanted.numpy()), atol=1e-6)


def test_parts_of_a_batch_are_mixed_as_the_whole():
    images, labels = batch()
    draw = MIXUP.draw(3, 5)
    whole, targets = mix(MIXUP, images, labels, CLASSES, draw)
    for start in (0, 4):
        part = slice(start, start + 4)
        ours, own = mix(MIXUP, images[part], labels[part], CLASSES, draw)
        np.testing.assert_array_equal(ours, whole[part])
        np.testing.assert_array_equal(own, targets[part])


def test_targets_are_smoothed_labels_where_nothing_is_mixed():
    options = Mixing(mixup=0, cutmix=0, label_smoothing=0.2)
    images, labels = batch()
    same, targets = mix(options, tf.constant(images), labels, CLASSES, options.draw(0, 0))
    np.testing.assert_array_equal(same, images)
    np.testing.assert_allclose(targets, 0.8 * np.eye(CLASSES)[labels] + 0.2 / CLASSES, atol=1e-6)


def test_draws_follow_the_recipe():
    """Half of the batches are cut, half mixed; weights follow the beta distributions."""
    draws = np.stack([Mixing().draw(0, step) for step in range(4000)])
    cut = draws[:, 1] > 0
    assert cut.mean() == pytest.approx(0.5, abs=0.03)
    mixup, areas = draws[~cut, 0], draws[cut, 1] ** 2
    assert mixup.mean() == pytest.approx(0.5, abs=0.03)
    assert mixup.var() == pytest.approx(1 / (4 * (2 * 0.8 + 1)), abs=0.01)
    assert areas.mean() == pytest.approx(0.5, abs=0.03)
    assert areas.var() == pytest.approx(1 / 12, abs=0.01)
    assert draws[:, 2:].min() >= 0
    assert draws[:, 2:].max() < 1


def test_probability_leaves_batches_alone():
    draws = np.stack([Mixing(probability=0.3).draw(1, step) for step in range(2000)])
    alone = (draws[:, 0] == 1) & (draws[:, 1] == 0)
    assert alone.mean() == pytest.approx(0.7, abs=0.03)


def test_a_draw_is_a_function_of_seed_and_step():
    np.testing.assert_array_equal(Mixing().draw(1, 2), Mixing().draw(1, 2))
    assert not np.array_equal(Mixing().draw(1, 2), Mixing().draw(1, 3))
    assert not np.array_equal(Mixing().draw(1, 2), Mixing().draw(2, 2))

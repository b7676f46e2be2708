"""Pipelines: the same batches on any number of hosts and replicas, bit for bit, run after run."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from keras_poolformer import ImageTransform
from keras_poolformer.data import pipeline, targets
from keras_poolformer.data.augmentation.augment import Augmentation
from keras_poolformer.data.decoding import decode
from keras_poolformer.data.pipeline import TrainingPipeline, evaluation_batches
from keras_poolformer.data.splits.opening import open_splits
from keras_poolformer.images import graph
from keras_poolformer.support.errors import InputError

KINDS = ("folder", "tfds", "records")
SIZE = 6
AUGMENTATION = Augmentation(size=SIZE)
TRANSFORM = ImageTransform(size=SIZE, crop_pct=1.0)


@pytest.fixture
def numbered(monkeypatch):
    """Instead of the augmentation: a picture of the image's number and of its seed.

    TensorFlow optimizes the graph of `decode` anew in every pipeline, three times as long as this.
    """

    def augment(options, encoded, seed):
        number = tf.cast(tf.io.decode_png(encoded)[0, 0, 0], tf.float32)
        noise = tf.random.stateless_uniform((), seed)
        return tf.broadcast_to(tf.stack([number, noise, 0.0]), (options.size, options.size, 3))

    monkeypatch.setattr(targets, "augment", augment)


@pytest.fixture
def blank(monkeypatch):
    """Instead of the transform, which takes long to trace: zeros."""
    monkeypatch.setattr(graph, "transform", lambda *_: tf.zeros((SIZE, SIZE, 3)))


def epoch_of(split, hosts=1, replica_batch=4, global_batch=16, seed=5, epoch=0, **options):
    """(images, labels) of a whole epoch, as if all hosts' rows were gathered step by step."""
    epochs = TrainingPipeline(split, AUGMENTATION, seed)
    parts = [
        list(
            epochs.epoch(
                epoch,
                global_batch=global_batch,
                replica_batch=replica_batch,
                hosts=(host, hosts),
                **options,
            ).as_numpy_iterator()
        )
        for host in range(hosts)
    ]
    return gathered(parts, global_batch // hosts // replica_batch)


def gathered(parts, batches_of_step):
    assert len({len(part) for part in parts}) == 1
    steps = range(0, len(parts[0]), batches_of_step)
    batches = [one for step in steps for part in parts for one in part[step:][:batches_of_step]]
    return tuple(np.concatenate(column) for column in zip(*batches, strict=True))


def numbers_of(images):
    return images[:, 0, 0, 0].astype(int).tolist()


# ---------------------------------------------------------------------------------------
# Training


@pytest.mark.first(1)
@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_hosts_and_replicas_gives_the_same_batches(kind, numbered, open_kind):
    split, _ = open_kind(kind)
    images, labels = epoch_of(split, replica_batch=16)
    assert len(images) == 96  # 6 steps of 16; the image that is left over comes another time
    assert len(set(numbers_of(images))) == 96
    assert labels.tolist() == [number // 33 for number in numbers_of(images)]
    for hosts, replica_batch in ((1, 4), (4, 2)):
        again = epoch_of(split, hosts, replica_batch)
        np.testing.assert_array_equal(again[0], images)
        np.testing.assert_array_equal(again[1], labels)


@pytest.mark.first(1)
@pytest.mark.parametrize("kind", KINDS)
def test_odd_numbers_of_hosts(kind, numbered, open_kind):
    """Three hosts cannot share 2 streams; where files are many, each has its own."""
    split, _ = open_kind(kind)
    images, labels = epoch_of(split, 3, 2, 30)
    assert len(images) == 90 and len(set(numbers_of(images))) == 90
    assert labels.tolist() == [number // 33 for number in numbers_of(images)]
    if kind == "folder":
        np.testing.assert_array_equal(epoch_of(split, 1, 30, 30)[0], images)


@pytest.mark.first(1)
@pytest.mark.parametrize("kind", KINDS)
def test_hosts_can_share_streams_that_do_not_divide(kind, numbered, open_kind):
    """With more hosts than files, every host reads all and takes its rows."""
    split = replace(open_kind(kind)[0], num_files=2)
    images, _ = epoch_of(split)
    np.testing.assert_array_equal(epoch_of(split, 4)[0], images)


def test_a_host_reads_its_files_alone(numbered, open_kind, monkeypatch):
    split, _ = open_kind("records")
    asked = []
    stream = type(split).stream
    monkeypatch.setattr(
        type(split),
        "stream",
        lambda self, order, shard: asked.append(shard) or stream(self, order, shard),
    )
    options = {"global_batch": 16, "replica_batch": 4}
    TrainingPipeline(split, AUGMENTATION, seed=0).epoch(0, hosts=(1, 4), **options)
    assert asked == [(2, 8), (3, 8)]


@pytest.mark.parametrize(
    ("files", "batch", "hosts", "streams"),
    [
        (1, 4096, 32, 1),
        (1024, 4096, 1, 16),
        (1024, 4096, 16, 16),
        (1024, 4096, 32, 32),  # beyond 16 each host has its own
        (1024, 96, 3, 3),
        (5, 4096, 2, 4),
        (1024, 12, 1, 4),
        (1024, 7, 7, 7),
        (4, 4096, 16, 4),
    ],
)
def test_number_of_streams(files, batch, hosts, streams, open_kind):
    split = replace(open_kind("records")[0], num_files=files)
    assert pipeline._num_streams(split, batch, hosts) == streams


@pytest.mark.first(1)
@pytest.mark.parametrize("kind", KINDS)
def test_skipped_steps_leave_the_rest_as_it_was(kind, numbered, open_kind):
    split, _ = open_kind(kind)
    images, labels = epoch_of(split)
    for hosts, skipped in ((1, 4), (2, 1)):
        rest = epoch_of(split, hosts, skip_steps=skipped)
        np.testing.assert_array_equal(rest[0], images[16 * skipped :])
        np.testing.assert_array_equal(rest[1], labels[16 * skipped :])


def test_skipped_steps_are_not_read(numbered, tmp_path, write_folder):
    write_folder(tmp_path, {f"a/{number}.png": number for number in range(8)})
    split, _ = open_splits(tmp_path)
    options = {"global_batch": 2, "replica_batch": 2}
    epochs = TrainingPipeline(split, AUGMENTATION, seed=0)
    first, *_ = epochs.epoch(0, **options).as_numpy_iterator()
    for number in numbers_of(first[0]):
        (tmp_path / f"a/{number}.png").unlink()
    rest = list(epochs.epoch(0, skip_steps=1, **options))
    assert len(rest) == 3


def test_all_steps_skipped(numbered, open_kind):
    options = {"global_batch": 32, "replica_batch": 8}
    split, _ = open_kind("folder")
    assert not list(TrainingPipeline(split, AUGMENTATION, seed=0).epoch(0, skip_steps=3, **options))


@pytest.mark.first(1)
@pytest.mark.parametrize("kind", KINDS)
def test_epochs_and_seeds_differ(kind, numbered, open_kind):
    split, _ = open_kind(kind)
    images, _ = epoch_of(split)
    tf.random.set_seed(1)
    np.testing.assert_array_equal(epoch_of(open_kind(kind)[0])[0], images)
    for other in ({"epoch": 1}, {"seed": 6}):
        others, _ = epoch_of(split, **other)
        assert numbers_of(others) != numbers_of(images)
        # The augmentation of one and the same image differs, too.
        noise = dict(zip(numbers_of(images), images[:, 0, 0, 1], strict=True))
        again = zip(numbers_of(others), others[:, 0, 0, 1], strict=True)
        assert all(value != noise.get(number) for number, value in again)


def test_seeds_follow_the_example_and_not_its_place(numbered, open_kind):
    """The rule that all sources share: (run, epoch, example's number)."""
    seed = tf.constant([5, 0x5EED], tf.int64)
    for number in (3, tf.constant(40, tf.int64)):
        epoch_seed = tf.random.experimental.stateless_fold_in(seed, tf.constant(2, tf.int64))
        number = tf.cast(number, tf.int64)
        own = tf.random.experimental.stateless_fold_in(epoch_seed, number)
        expected = tf.random.stateless_uniform((), own).numpy()
        for kind in ("folder", "records"):
            images, _ = epoch_of(open_kind(kind)[0], epoch=2, global_batch=97, replica_batch=97)
            (row,) = (row for row in images if row[0, 0, 0] == int(number))
            assert row[0, 0, 1] == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_augmented_images_are_the_same_in_every_run(kind, open_kind):
    """With the augmentation itself, and its threads."""
    images, labels = epoch_of(open_kind(kind)[0])
    again = epoch_of(open_kind(kind)[0], hosts=2, replica_batch=8)
    np.testing.assert_array_equal(again[0], images)
    np.testing.assert_array_equal(again[1], labels)
    assert len(np.unique(images, axis=0)) > 80  # RandAugment makes some of these all black


@pytest.mark.slow
def test_shapes_are_static(open_kind):
    split, evaluation = open_kind("folder")
    options = replace(AUGMENTATION, rand_augment="")
    batches = TrainingPipeline(split, options, seed=0).epoch(0, global_batch=8, replica_batch=4)
    shapes = (tf.TensorSpec((4, SIZE, SIZE, 3), tf.float32), tf.TensorSpec((4,), tf.int64))
    assert batches.element_spec == shapes
    assert batches.options().deterministic
    batches = evaluation_batches(evaluation, TRANSFORM, global_batch=8, replica_batch=4)
    assert batches.element_spec == shapes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"global_batch": 98, "replica_batch": 2}, "at most 97, the examples of .* Received: 98"),
        ({"global_batch": 8, "replica_batch": 3}, "1 hosts x 3 examples .* Received: 8"),
        ({"global_batch": 8, "replica_batch": 4, "hosts": (0, 4)}, "4 hosts x 4 .* Received: 8"),
        ({"global_batch": 0, "replica_batch": 4}, "Received: 0"),
        ({"global_batch": 8, "replica_batch": 0}, "8"),
    ],
)
def test_batches_that_do_not_divide(options, message, open_kind):
    split, evaluation = open_kind("folder")
    with pytest.raises(InputError, match=message):
        TrainingPipeline(split, AUGMENTATION, seed=0).epoch(0, **options)
    if options["global_batch"] != 98:
        with pytest.raises(InputError, match=message):
            evaluation_batches(evaluation, TRANSFORM, **options)


# ---------------------------------------------------------------------------------------
# Evaluation


@pytest.mark.first(1)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("hosts", "global_batch", "replica_batch"), [(1, 4, 4), (1, 10, 5), (3, 6, 1)]
)
def test_every_example_is_evaluated_once(kind, hosts, global_batch, replica_batch, open_kind):
    _, split = open_kind(kind)
    parts = [
        list(
            evaluation_batches(
                split,
                TRANSFORM,
                global_batch=global_batch,
                replica_batch=replica_batch,
                hosts=(host, hosts),
            ).as_numpy_iterator()
        )
        for host in range(hosts)
    ]
    steps = -(-10 // global_batch)
    assert {len(part) for part in parts} == {steps * global_batch // hosts // replica_batch}
    images, labels = gathered([[batch for part in parts for batch in part]], 1)
    expected = [
        graph.transform(TRANSFORM, decode(example["image"])).numpy()
        for example in split.stream().map(split.load)
    ]
    np.testing.assert_array_equal(images[labels != -1], expected)
    assert labels[labels != -1].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    if hosts == 1:
        assert (labels[:10] != -1).all()  # what is padded comes last


def test_more_hosts_than_examples(blank, open_kind):
    _, split = open_kind("records")
    options = {"global_batch": 24, "replica_batch": 1}
    for host, expected in ((0, [-1, -1]), (1, [0, -1]), (11, [2, -1])):
        batches = evaluation_batches(split, TRANSFORM, hosts=(host, 12), **options)
        assert [int(labels[0]) for _, labels in batches] == expected


def test_photographs_are_evaluated_as_the_transform_says(tmp_path, photographs):
    folder = tmp_path / "data" / "a"
    folder.mkdir(parents=True)
    for photo in photographs[:3]:
        (folder / photo.name).write_bytes(photo.read_bytes())
    transform = ImageTransform(size=64)
    split, _ = open_splits(tmp_path / "data")
    (batch,) = evaluation_batches(split, transform, global_batch=4, replica_batch=4)
    np.testing.assert_array_equal(
        batch[0][:3], np.stack([transform(photo) for photo in sorted(folder.iterdir())])
    )
    assert batch[1].numpy().tolist() == [0, 0, 0, -1]

"""tf.data pipelines from a `Split` to the batches of one host.

`randomness` lists what is random in them and what that is a function of.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_poolformer.data.augmentation.augment import Augmentation
from keras_poolformer.data.augmentation.segmentation import SegmentationAugmentation
from keras_poolformer.data.randomness import epoch_seed, fold_in, order_seed
from keras_poolformer.data.splits.split import Dataset, Shard, Split, share
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.support.errors import InputError

# Number of streams that a split in many files is read as. The hosts, however many, share them, so
# that what each stream contributes to a batch is the same on one host as on all.
MOST_STREAMS = 16


class TrainingPipeline:
    """The augmented batches of each epoch of a split.

    TensorFlow traces what happens to an image once, and not again in each epoch.

    Args:
        split: Split to train on.
        augmentation: What happens to each image, and to its mask if it has one.
        seed: Whole number from 0. Seed of the run.

    Raises:
        InputError: The augmentation is not one for such examples.
    """

    def __init__(
        self, split: Split, augmentation: Augmentation | SegmentationAugmentation, seed: int
    ) -> None:
        split.target.check_augmentation(augmentation)
        self._split, self._seed = split, seed

        @tf.function(autograph=False)
        def prepare(raw: Any, seed_of_epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            example = split.load(raw)
            seed_of_example = fold_in(seed_of_epoch, example["key"])
            return split.target.augmented(augmentation, example, seed_of_example)

        self._prepare = prepare

    def epoch(
        self,
        epoch: int,
        *,
        global_batch: int,
        replica_batch: int,
        hosts: Shard = (0, 1),
        skip_steps: int = 0,
    ) -> Dataset:
        """Makes the batches of an epoch that one host feeds to its replicas.

        An epoch has `split.num_examples // global_batch` global batches. Host h of H takes the
        rows from h B / H of each, in order, `replica_batch` at a time. Which examples make up a
        batch depends on the seed, the epoch and the size of the global batch, not on the hosts.
        There is one exception: more than 16 hosts, or a number that is not a power of two, read
        files of their own where there are enough files.

        Args:
            epoch: Whole number from 0.
            global_batch: Number of examples in a step, over all hosts.
            replica_batch: Number of examples in a batch of this data set.
            hosts: (index, count) of this host.
            skip_steps: Number of global batches to skip at the beginning, without decoding them.

        Returns:
            tf.data.Dataset of (float32 (replica_batch, size, size, 3), int64 (replica_batch,));
            of a split with masks, the latter are int32 (replica_batch, size, size), 255 where
            there is no class.

        Raises:
            InputError: The global batch cannot be divided this way, or is larger than the split.
        """
        split = self._split
        rows = _rows_of_host(global_batch, replica_batch, hosts)
        steps = split.num_examples // global_batch
        if not steps:
            raise InputError(
                f"the global batch must be at most {split.num_examples:,}, the examples of "
                f"{split.name}. Received: {global_batch:,}"
            )
        raws = _ordered(split, order_seed(self._seed, epoch), global_batch, hosts)
        raws = raws.take(steps * rows).skip(skip_steps * rows)
        seed_of_epoch = epoch_seed(self._seed, epoch)

        @tf.autograph.experimental.do_not_convert
        def prepare(raw: Any) -> tuple[tf.Tensor, tf.Tensor]:
            return self._prepare(raw, seed_of_epoch)

        return _batches(_parallel(raws, prepare), replica_batch)


def evaluation_batches(
    split: Split,
    transform: ImageTransform,
    *,
    global_batch: int,
    replica_batch: int,
    hosts: Shard = (0, 1),
) -> Dataset:
    """Makes batches of all examples once, over all hosts, each of which gets the same number.

    Args:
        split: Split to evaluate on.
        transform: Preprocessing of the images.
        global_batch: Number of examples in a step, over all hosts.
        replica_batch: Number of examples in a batch of this data set.
        hosts: (index, count) of this host.

    Returns:
        tf.data.Dataset of (float32 (replica_batch, H, W, 3), int64 (replica_batch,)), in
        the stored order. The last rows can be padding: images of zeros with the label -1. Of a
        split with masks, these are int32 (replica_batch, H, W), resized to the nearest pixel, 255
        where there is no class and in all of the padding.

    Raises:
        InputError: The global batch cannot be divided this way, or the transform does not give
            images of one size.
    """
    rows = _rows_of_host(global_batch, replica_batch, hosts)
    if transform.output_shape is None:
        raise InputError("batches need images of one size, but the transform does not crop")

    @tf.autograph.experimental.do_not_convert
    def prepare(raw: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return split.target.transformed(transform, split.load(raw))

    examples = _parallel(split.stream(None, hosts), prepare)
    start, stop = share(split.num_examples, hosts)
    missing = -(-split.num_examples // global_batch) * rows - (stop - start)
    shape = transform.output_shape
    blank = tf.zeros((*shape, 3)), split.target.padding(shape)
    padding = tf.data.Dataset.from_tensors(blank).repeat(missing)
    return _batches(examples.concatenate(padding), replica_batch)


def _rows_of_host(global_batch: int, replica_batch: int, hosts: Shard) -> int:
    count = hosts[1]
    if global_batch < 1 or replica_batch < 1 or global_batch % (count * replica_batch):
        raise InputError(
            f"the global batch must be a multiple of {count} hosts x {replica_batch} examples of a "
            f"replica. Received: {global_batch}"
        )
    return global_batch // count


def _ordered(split: Split, order: int, global_batch: int, hosts: Shard) -> Dataset:
    """The rows of this host, of one global batch after the other."""
    count = hosts[1]
    streams = _num_streams(split, global_batch, count)
    numbers = range(*share(streams, hosts)) if streams % count == 0 else range(streams)
    parts = [split.stream(order, (number, streams)) for number in numbers]
    block = global_batch // streams
    raws = _in_turn(parts, block) if len(parts) > 1 else parts[0]
    if streams % count == 0:
        return raws
    # Whole groups of rows: a filter on single examples would cost more.
    groups = raws.batch(global_batch // count, drop_remainder=True)
    return groups.shard(count, hosts[0]).unbatch()


def _num_streams(split: Split, global_batch: int, num_hosts: int) -> int:
    """A power of two that divides the batch, or the number of hosts if they cannot share that."""
    most = min(MOST_STREAMS, split.num_files)
    streams = 1
    while 2 * streams <= most and global_batch % (2 * streams) == 0:
        streams *= 2
    if streams % num_hosts and split.num_files >= num_hosts:
        return num_hosts
    return streams


def _in_turn(parts: list[Dataset], block: int) -> Dataset:
    """`block` elements of each part, over and over."""
    choice = tf.data.Dataset.range(len(parts) * block).map(lambda number: number // block)
    parts = [part.prefetch(min(block, 16)) for part in parts]
    return tf.data.Dataset.choose_from_datasets(parts, choice.repeat())


def _parallel(dataset: Dataset, function: Callable[..., Any]) -> Dataset:
    return dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _batches(examples: Dataset, size: int) -> Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # Each host reads only its part already.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    batches = examples.batch(size, drop_remainder=True, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)

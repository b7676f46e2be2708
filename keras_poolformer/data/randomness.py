"""Seeds: what is random in training, and what each draw is a function of.

| what is random | it is a function of | where it is drawn |
|---|---|---|
| order of the examples | seed, epoch | `order_seed`, then `Split.stream`: numpy's permutation of all image files; of records and tfds, a permutation of the files, then tf.data's shuffle buffer, seeded with the shard too |
| crop, flip, interpolation | seed, epoch, key of the example | `epoch_seed` and `fold_in`, in `pipeline` |
| RandAugment | the same, folded with 1 | `fold_in`, in `augmentation.augment` |
| noise of random erasing | the same, folded with 2 | `fold_in`, in `augmentation.augment` |
| mixup and cutmix | seed, step | `augmentation.mixing.Mixing.draw`, on the host |
| drop path and dropout | seed, step, layer, place of the example in the global batch | `training.step`, with a counter-based generator |
| fresh weights | seed | `training.building`: `keras.utils.set_random_seed`, before the model is built |

No generator carries a state from one step to the next. A run that is resumed from a checkpoint is
therefore the run that was interrupted, and devices, hosts and parts of a batch draw the same
numbers for the same examples. Validation splits are not drawn: `Split.held_out` is a function of
the data and of the number of examples.
"""  # noqa: E501 - a table

import numpy as np
import tensorflow as tf

_AUGMENTATION = 0x5EED  # keeps augmentation apart from all else that a seed may be used for


def order_seed(seed: int, epoch: int) -> int:
    """Seed of the order of an epoch's examples: a whole number below 2**63."""
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> 1)


def epoch_seed(seed: int, epoch: int) -> tf.Tensor:
    """Seed of an epoch's augmentation: int64 (2,), a constant on the host."""
    with tf.device("CPU:0"):
        return fold_in(tf.constant([seed, _AUGMENTATION], tf.int64), epoch)


def fold_in(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """Derives a seed from another one and a number.

    Args:
        seed: int32 or int64 (2,).
        number: Whole number. 64 bits of it count, so that no two images of a data set share a
            seed.
    """
    number = tf.cast(number, tf.int64)
    return tf.random.experimental.stateless_fold_in(seed, number, alg="philox")

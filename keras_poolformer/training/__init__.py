"""Training on one device, several, or a TPU pod: one loop on tf.distribute."""

STRATEGIES = ("one_device", "mirrored", "multiworker", "tpu")

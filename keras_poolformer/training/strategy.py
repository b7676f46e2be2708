"""Where a model is trained: one device, several, several machines, TPUs."""

import contextlib
import os
import re

import tensorflow as tf

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.json_files import parse_json
from keras_poolformer.training import STRATEGIES


def create_strategy(kind, replicas=None, tpu_name=None, zone=None, project=None):
    """Makes a strategy by name.

    Args:
        kind: one of `STRATEGIES`.
        replicas: for "mirrored".
        tpu_name, zone, project: for "tpu".

    Raises:
        InputError: there is no such strategy, an option belongs to another one, or as the
            strategy's own function says.
    """
    if kind not in STRATEGIES:
        raise InputError(f"`strategy` must be one of {', '.join(STRATEGIES)}. Received: {kind!r}")
    if replicas is not None and kind != "mirrored":
        raise InputError(f"`replicas` goes with mirrored. Received: strategy {kind}")
    if kind != "tpu" and any((tpu_name, zone, project)):
        raise InputError(f"`tpu`, `zone` and `project` go with tpu. Received: strategy {kind}")
    if kind == "mirrored":
        return mirrored(replicas)
    if kind == "multiworker":
        return multiworker()
    if kind == "tpu":
        return tpu(tpu_name, zone, project)
    return one_device()


def one_device():
    """The first GPU, or else the CPU."""
    device = "/GPU:0" if tf.config.list_physical_devices("GPU") else "/CPU:0"
    return tf.distribute.OneDeviceStrategy(device)


def mirrored(replicas=None):
    """The devices of one machine, each with a copy of the weights.

    Args:
        replicas: so many GPUs; on a machine without GPUs, so many logical devices on the CPU,
            which TensorFlow makes only before it has done anything else. By default all GPUs.

    Raises:
        InputError: there are not so many GPUs, or TensorFlow has begun already.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if replicas is not None and replicas < 1:
        raise InputError(f"`replicas` must be at least 1. Received: {replicas}")
    if gpus:
        if replicas and replicas > len(gpus):
            raise InputError(
                f"`replicas` must be at most {len(gpus)}, one a GPU. Received: {replicas}"
            )
        return tf.distribute.MirroredStrategy([f"/GPU:{i}" for i in range(replicas or len(gpus))])
    replicas = replicas or 1
    _split_cpu(replicas)
    return tf.distribute.MirroredStrategy([f"/CPU:{i}" for i in range(replicas)])


def _split_cpu(count):
    cpu = tf.config.list_physical_devices("CPU")[0]
    with contextlib.suppress(RuntimeError):  # TensorFlow has begun: it keeps what it has
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        )
    present = len(tf.config.list_logical_devices("CPU"))
    if present < count:
        raise InputError(
            f"`replicas` must be at most {present}: TensorFlow has begun already with so many "
            f"logical devices. Received: {count}"
        )


def multiworker():
    """This machine as one worker of those that the environment variable TF_CONFIG names.

    All workers run the same command, and see the same working directory: the first one writes.

    Raises:
        InputError: TF_CONFIG is missing or broken, or the other workers cannot be reached.
    """
    _check_tf_config(os.environ.get("TF_CONFIG"))
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise InputError(
            f"the workers of TF_CONFIG cannot be joined: {_first_line(error)}"
        ) from None


_TF_CONFIG = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'


def _check_tf_config(text):
    if not text:
        raise InputError(f"multiworker needs TF_CONFIG, as in {_TF_CONFIG}. Received: none")
    try:
        config = parse_json(text.encode(), "TF_CONFIG")
        cluster, task = config["cluster"], config["task"]
        kind, index = task["type"], task["index"]
        addresses = cluster[kind]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"TF_CONFIG must be like {_TF_CONFIG}. Received: {_short(text)} "
                         f"({type(error).__name__}: {error})") from None  # fmt: skip
    lists = [cluster.get(role, []) for role in ("chief", "worker")]
    ports = all(
        isinstance(one, str) and re.fullmatch(r"[^\s/]+:\d{1,5}", one)
        for addresses in lists if isinstance(addresses, list) for one in addresses
    )  # fmt: skip
    if not set(cluster) <= {"chief", "worker"} or not ports or not isinstance(addresses, list):
        raise InputError(
            f"TF_CONFIG must list chief and worker as host:port. Received: {_short(text)}"
        )
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(addresses):
        raise InputError(
            f"TF_CONFIG's task index must be 0 to {len(addresses) - 1}. Received: {index!r}"
        )


def tpu(name=None, zone=None, project=None):
    """A TPU: a Cloud TPU VM's own with the name "local", or one by name; pods alike.

    Args:
        name: of the TPU, its grpc:// address, or "local" on a TPU VM; None to ask the
            environment.
        zone, project: of Google Cloud, where the name alone does not tell.

    Raises:
        InputError: no TPU is found there.
    """
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            tpu=name, zone=zone, project=project
        )
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (tf.errors.OpError, ImportError, OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"no TPU is found as {name!r}: on a TPU VM use `--tpu local` with the package "
            f"tensorflow-tpu, elsewhere name, zone and project. Received: {_first_line(error)}"
        ) from None


def check_batch(strategy, recipe):
    """Refuses a batch that the replicas cannot share evenly.

    Args:
        strategy: a `tf.distribute.Strategy`.
        recipe: a `Recipe`.

    Raises:
        InputError: the batch is no multiple of replicas times parts, or a part is odd where
            images are mixed with their neighbours.
    """
    replicas, parts = strategy.num_replicas_in_sync, recipe.accumulate_steps
    evenly = replicas * parts * (2 if recipe.mixing.mixes else 1)
    if recipe.batch_size % evenly:
        factors = f"{replicas} replicas x {parts} accumulate_steps"
        pairs = " x 2, for mixup and cutmix pair images" if recipe.mixing.mixes else ""
        raise InputError(
            f"`batch_size` must be a multiple of {evenly} ({factors}{pairs}). "
            f"Received: {recipe.batch_size}"
        )


def is_chief(strategy):
    """Whether this process is the one that writes files."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver is None:
        return True
    kind, index = resolver.task_type, resolver.task_id
    has_chief = "chief" in resolver.cluster_spec().as_dict()
    return kind == "chief" if has_chief else index == 0


def _first_line(error):
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _short(text):
    return text if len(text) <= 200 else text[:200] + "..."

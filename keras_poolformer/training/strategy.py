"""The strategies of tf.distribute: one device, several, several machines, TPUs."""

import contextlib
import os
import re
from typing import Any, TypeAlias

import tensorflow as tf

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.json_files import parse_json
from keras_poolformer.training import STRATEGIES
from keras_poolformer.training.recipe import Recipe

# TensorFlow loads its submodules lazily, so type checkers do not see tf.distribute.Strategy.
Strategy: TypeAlias = Any


def create_strategy(
    kind: str,
    replicas: int | None = None,
    tpu_name: str | None = None,
    zone: str | None = None,
    project: str | None = None,
) -> Strategy:
    """Creates a strategy by name.

    Args:
        kind: One of `STRATEGIES`.
        replicas: Number of devices of "mirrored"; None for all GPUs.
        tpu_name: Name of the TPU of "tpu", as `tpu` takes it.
        zone: Zone of the TPU.
        project: Project of the TPU.

    Raises:
        InputError: There is no such strategy, an option belongs to another one, or the devices
            are not there.
    """
    if kind not in STRATEGIES:
        raise InputError(f"`strategy` must be one of {', '.join(STRATEGIES)}. Received: {kind!r}")
    if replicas is not None and kind != "mirrored":
        raise InputError(f"`replicas` requires strategy mirrored. Received: strategy {kind}")
    if kind != "tpu" and any((tpu_name, zone, project)):
        raise InputError(
            f"`tpu`, `zone` and `project` require strategy tpu. Received: strategy {kind}"
        )
    if kind == "mirrored":
        return mirrored(replicas)
    if kind == "multiworker":
        return multiworker()
    if kind == "tpu":
        return tpu(tpu_name, zone, project)
    return one_device()


def one_device() -> Strategy:
    """Returns the strategy of the first GPU, or of the CPU if there is none."""
    device = "/GPU:0" if tf.config.list_physical_devices("GPU") else "/CPU:0"
    return tf.distribute.OneDeviceStrategy(device)


def mirrored(replicas: int | None = None) -> Strategy:
    """Returns the strategy of several devices of one machine, each with a copy of the weights.

    Args:
        replicas: Number of GPUs, by default all. On a machine without GPUs, number of logical
            devices on the CPU, which TensorFlow creates only before it does anything else.

    Raises:
        InputError: There are not that many GPUs, or TensorFlow was used already.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if replicas is not None and replicas < 1:
        raise InputError(f"`replicas` must be at least 1. Received: {replicas}")
    if gpus:
        if replicas and replicas > len(gpus):
            raise InputError(
                f"`replicas` must be at most {len(gpus)}, the number of GPUs. Received: {replicas}"
            )
        return tf.distribute.MirroredStrategy([f"/GPU:{i}" for i in range(replicas or len(gpus))])
    replicas = replicas or 1
    _split_cpu(replicas)
    return tf.distribute.MirroredStrategy([f"/CPU:{i}" for i in range(replicas)])


def _split_cpu(count: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    with contextlib.suppress(RuntimeError):  # TensorFlow was used: it keeps its devices
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        )
    present = len(tf.config.list_logical_devices("CPU"))
    if present < count:
        raise InputError(
            f"`replicas` must be at most {present}, the number of logical devices with which "
            f"TensorFlow was initialized. Received: {count}"
        )


def multiworker() -> Strategy:
    """Returns the strategy of the workers that the environment variable TF_CONFIG names.

    All workers run the same command and see the same working directory; the first one writes.

    Raises:
        InputError: TF_CONFIG is missing or not valid, or the other workers cannot be reached.
    """
    _check_tf_config(os.environ.get("TF_CONFIG"))
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise InputError(
            f"the workers of TF_CONFIG cannot be reached: {_first_line(error)}"
        ) from None


_TF_CONFIG = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'


def _check_tf_config(text: str | None) -> None:
    if not text:
        raise InputError(f"multiworker requires TF_CONFIG, as in {_TF_CONFIG}. Received: none")
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
        isinstance(address, str) and re.fullmatch(r"[^\s/]+:\d{1,5}", address)
        for addresses in lists if isinstance(addresses, list) for address in addresses
    )  # fmt: skip
    if not set(cluster) <= {"chief", "worker"} or not ports or not isinstance(addresses, list):
        raise InputError(
            f"TF_CONFIG must list chief and worker as host:port. Received: {_short(text)}"
        )
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(addresses):
        raise InputError(
            f"TF_CONFIG's task index must be 0 to {len(addresses) - 1}. Received: {index!r}"
        )


def tpu(name: str | None = None, zone: str | None = None, project: str | None = None) -> Strategy:
    """Returns the strategy of a TPU or a pod.

    Args:
        name: Name of the TPU, its grpc:// address, or "local" on a Cloud TPU VM; None to use what
            the environment says.
        zone: Zone of the TPU, where the name is not enough.
        project: Project of the TPU, where the name is not enough.

    Raises:
        InputError: The TPU is not found.
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
            f"the TPU {name!r} was not found: on a TPU VM use `--tpu local` with the package "
            f"tensorflow-tpu, elsewhere name, zone and project. Received: {_first_line(error)}"
        ) from None


def check_batch(strategy: Strategy, recipe: Recipe) -> None:
    """Rejects a batch that the replicas cannot share evenly.

    Args:
        strategy: Strategy of the run.
        recipe: Recipe of the run.

    Raises:
        InputError: The batch is not a multiple of replicas times parts, or a part is odd and
            images are mixed with their neighbors.
    """
    replicas, parts = strategy.num_replicas_in_sync, recipe.accumulate_steps
    evenly = replicas * parts * (2 if recipe.mixing.mixes else 1)
    if recipe.batch_size % evenly:
        factors = f"{replicas} replicas x {parts} accumulate_steps"
        pairs = " x 2, because mixup and cutmix pair images" if recipe.mixing.mixes else ""
        raise InputError(
            f"`batch_size` must be a multiple of {evenly} ({factors}{pairs}). "
            f"Received: {recipe.batch_size}"
        )


def is_chief(strategy: Strategy) -> bool:
    """Whether this process is the one that writes files."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver is None:
        return True
    kind, index = resolver.task_type, resolver.task_id
    has_chief = "chief" in resolver.cluster_spec().as_dict()
    return kind == "chief" if has_chief else index == 0


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."

"""The strategies themselves; what is trained under them is in test_strategies.py."""

import dataclasses
import json

import pytest
import tensorflow as tf

from keras_poolformer.data.augmentation.mixing import Mixing
from keras_poolformer.support.errors import InputError
from keras_poolformer.training import strategy as strategies
from keras_poolformer.training.recipes import get_recipe


@pytest.fixture
def tpu_calls(monkeypatch):
    """What is asked of TensorFlow for a TPU, which gives what was asked for."""
    calls = []

    def record(name, result=None):
        def call(*arguments, **named):
            calls.append((name, *arguments, named) if named else (name, *arguments))
            return result

        return call

    resolver = tf.distribute.cluster_resolver
    monkeypatch.setattr(resolver, "TPUClusterResolver", record("resolver", "RESOLVER"))
    connect = record("connect")
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", connect)
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", record("initialize"))
    monkeypatch.setattr(tf.distribute, "TPUStrategy", record("strategy", "STRATEGY"))
    return calls


@pytest.mark.parametrize("name", ["pod", "grpc://10.0.0.2:8470"])
def test_a_tpu_elsewhere_is_connected_to(name, tpu_calls):
    assert strategies.create_strategy("tpu", None, name, "us-central1-a", "us") == "STRATEGY"
    asked = {"tpu": name, "zone": "us-central1-a", "project": "us"}
    assert tpu_calls == [
        ("resolver", asked),
        ("connect", "RESOLVER"),
        ("initialize", "RESOLVER"),
        ("strategy", "RESOLVER"),
    ]


def test_a_tpu_of_this_machine_is_not(tpu_calls):
    assert strategies.create_strategy("tpu", None, "local") == "STRATEGY"
    names = [name for name, *_ in tpu_calls]
    assert names == ["resolver", "initialize", "strategy"]


@pytest.mark.parametrize("name", ["local", None])
def test_no_tpu(name, monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    with pytest.raises(InputError, match=r"the TPU .* was not found"):
        strategies.create_strategy("tpu", None, name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pod",), "`strategy` must be one of one_device, mirrored, multiworker, tpu"),
        (("one_device", 2), "`replicas` requires strategy mirrored. Received: strategy one_device"),
        (("mirrored", 0), "`replicas` must be at least 1. Received: 0"),
        (("mirrored", None, "local"), "require strategy tpu. Received: strategy mirrored"),
        (("one_device", None, None, "zone"), "require strategy tpu. Received: strategy one_device"),
    ],
)
def test_options_of_another_strategy(arguments, message):
    with pytest.raises(InputError, match=message):
        strategies.create_strategy(*arguments)


def test_tensorflow_has_begun_already():
    tf.zeros(1)
    with pytest.raises(
        InputError, match=r"`replicas` must be at most \d+, the number of logical devices"
    ):
        strategies.mirrored(64)


WORKERS = ["127.0.0.1:2222", "127.0.0.1:2223"]


def config(cluster=None, task=None):
    return json.dumps({
        "cluster": {"worker": WORKERS} if cluster is None else cluster,
        "task": {"type": "worker", "index": 0} if task is None else task,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "multiworker requires TF_CONFIG"),
        ("", "multiworker requires TF_CONFIG"),
        ("{", "TF_CONFIG must be like"),
        ("[]", "TF_CONFIG must be like"),
        ("{}", "KeyError: 'cluster'"),
        (config(task={"type": "worker"}), "KeyError: 'index'"),
        (config(task={"type": "chief", "index": 0}), "KeyError: 'chief'"),
        (config(task={"type": "worker", "index": 2}), "index must be 0 to 1. Received: 2"),
        (config(task={"type": "worker", "index": -1}), "index must be 0 to 1. Received: -1"),
        (config(task={"type": "worker", "index": "0"}), "index must be 0 to 1. Received: '0'"),
        (config(cluster={"worker": "127.0.0.1:2222"}), "must list chief and worker as host:port"),
        (config(cluster={"worker": ["127.0.0.1"]}), "must list chief and worker as host:port"),
        (config(cluster={"worker": WORKERS, "ps": WORKERS}), "must list chief and worker"),
        (config(cluster={"worker": ["x" * 10**6]}), "must list chief and worker"),
    ],
)
def test_broken_tf_config(text, message, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError) as caught:
        strategies.create_strategy("multiworker")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("batch", "parts", "mixing", "message"),
    [
        (7, 1, Mixing(), "multiple of 2 .* pair images.*Received: 7"),
        (6, 4, Mixing(0.0, 0.0), r"multiple of 4 \(1 replicas x 4 accumulate_steps\)"),
    ],
)
def test_a_batch_that_does_not_divide(batch, parts, mixing, message):
    recipe = get_recipe("finetune").replace(batch_size=batch, accumulate_steps=parts)
    recipe = dataclasses.replace(recipe, mixing=mixing)
    with pytest.raises(InputError, match=message):
        strategies.check_batch(strategies.one_device(), recipe)

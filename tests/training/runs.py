"""Training runs in processes of their own, as a person starts them."""

import ast
import csv
import json
import os
import socket
import subprocess
import sys

import numpy as np

RUN = "import sys; from keras_poolformer.cli import main; sys.exit(main(sys.argv[1:]))"
SMALL = [
    "batch_size=8", "epochs=4", "warmup_epochs=1", "cooldown_epochs=0", "held_out=0",
    "depths=(1,1)", "widths=(8,16)", "size=32", "steps_per_call=2",
]  # fmt: skip
# To learn in 24 steps; without RandAugment, which takes seconds to trace.
LEARNING = ["ema_decay=0.9", "learning_rate=0.005", "rand_augment="]
EVERYTHING_RANDOM = ["drop_path_rate=0.3", "mixup=0.8", "cutmix=1.0", "ema_decay=0.9"]


def arguments(data, workdir, settings=(), options=(), recipe="poolformer_tiny_cifar10"):
    """The command line of a small run: 6 steps an epoch, 24 in all."""
    return [
        "train", "--recipe", recipe, "--data", str(data), "--workdir",
        str(workdir), *options, "--set", *SMALL, *settings,
    ]  # fmt: skip


def as_keywords(*settings):
    """Settings of a command line as `train` takes them in Python."""
    pairs = (setting.split("=") for setting in settings)
    return {name: ast.literal_eval(value) if value else value for name, value in pairs}


def start(data, workdir, settings=(), options=(), tf_config=None, **recipe):
    """Starts a run; returns the process."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "CUDA_VISIBLE_DEVICES": "-1"}
    if tf_config:
        environment["TF_CONFIG"] = json.dumps(tf_config)
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments(data, workdir, settings, options, **recipe)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, timeout=300):
    """Waits; returns (status, stdout, last line of stderr)."""
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, (err.strip().splitlines() or [""])[-1]


def cluster(workers):
    """TF_CONFIG of each worker, on free ports of this machine."""
    sockets = [socket.socket() for _ in range(workers)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        for index in range(workers)
    ]


def losses(workdir):
    """float (steps,): the losses of log.csv, whose steps must be 1, 2, ..."""
    with (workdir / "log.csv").open(encoding="utf-8") as file:
        assert file.readline().startswith("step,loss")
        rows = list(csv.reader(file))
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    return np.array([float(row[1]) for row in rows])


def weights(workdir):
    """{name: array} of model.safetensors."""
    from safetensors.numpy import load_file

    return load_file(workdir / "model.safetensors")

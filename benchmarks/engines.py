"""How contestants are run: each engine loads a file and returns (prepare, predict).

`prepare` turns images (N, size, size, 3) into what the engine takes and is not timed;
`predict` returns logits (N, num_classes) as a numpy array, and is.
"""

from typing import Any

import numpy as np


def litert(job, path, threads):
    """A .tflite file, one interpreter of one thread for each of `threads` workers."""
    from ai_edge_litert.interpreter import Interpreter

    from keras_poolformer.runtime import TFLiteClassifier

    (details,) = Interpreter(str(path)).get_input_details()
    classifier = TFLiteClassifier(path, num_threads=1, num_workers=threads)

    def prepare(images):
        if classifier.input_shape != images.shape[1:]:  # litert-torch keeps PyTorch's order
            images = images.transpose(0, 3, 1, 2)
        scale, zero_point = details["quantization"]
        if scale and details["dtype"] != images.dtype:
            limits = np.iinfo(details["dtype"])
            images = np.clip(np.round(images / scale) + zero_point, limits.min, limits.max)
        return np.ascontiguousarray(images, details["dtype"])

    return prepare, classifier.predict


def onnxruntime(job, path, threads):
    """An .onnx file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    (one_input,) = session.get_inputs()

    def prepare(images):
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))

    return prepare, lambda images: session.run(None, {one_input.name: images})[0]


def torch_eager(job, path, threads):
    """timm's network as it is."""
    return _torch(load_timm(job), threads)


def torch_compiled(job, path, threads):
    """timm's network, compiled for each batch size on its own."""
    import torch

    return _torch(load_timm(job), threads, lambda module: torch.compile(module, dynamic=False))


def _torch(module, threads, compiled=lambda module: module):
    """Channels last, which was the faster order here, eager and compiled."""
    import torch

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    run = compiled(module.to(memory_format=torch.channels_last))

    def prepare(images):
        return to_nchw(images).to(memory_format=torch.channels_last)

    def predict(images):
        with torch.inference_mode():
            return run(images).numpy()

    return prepare, predict


def saved_model(job, path, threads):
    """Our SavedModel; the environment of the process says how many threads."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    signature: Any = loaded.signatures["normalized"]
    return tf.constant, lambda images: signature(images)["logits"].numpy()


def load_timm(job) -> Any:
    """timm's network with the job's weights; with random mixing, made of timm's parts."""
    from safetensors.numpy import load_file

    from conversion.oracles import build_oracle

    oracle = build_oracle(job.config, job.layout)
    oracle.load(load_file(job.weights))
    return oracle.module


def to_nchw(images) -> Any:
    """Images (N, H, W, C) as PyTorch takes them."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


ENGINES = {
    "litert": litert,
    "onnxruntime": onnxruntime,
    "torch-eager": torch_eager,
    "torch-compiled": torch_compiled,
    "saved_model": saved_model,
}

# {engine: what is imported before the clock of a start runs}.
PACKAGES = {
    "litert": ("ai_edge_litert.interpreter", "keras_poolformer.runtime"),
    "onnxruntime": ("onnxruntime",),
}

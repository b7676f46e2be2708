"""Makes the contestants' files: `python -m benchmarks.build FOLDER GROUP NAME...`.

Each group is made in a process of its own: TensorFlow and PyTorch stay out of each other's way.
"""

import functools
import sys
import tempfile

import numpy as np

from benchmarks.contestants import CONTESTANTS
from benchmarks.job import Job


def build_tensorflow(job, names):
    """The weights, the expected logits, our files, the floors and the plain Keras export."""
    from keras_poolformer import PoolFormerImageClassifier, load_torch_weights, save_torch_weights

    model = PoolFormerImageClassifier(job.config)
    randomize(model)
    save_torch_weights(model, job.weights, layout=job.layout, overwrite=True)
    load_torch_weights(model, job.weights, layout=job.layout)
    images = job.images("normalized")
    np.save(job.expected, np.concatenate([model(image[None]) for image in images]))
    makers = {"ours": _ours, "floor": _floor, "keras": _plain_keras, "saved_model": _saved_model}
    for name in names:
        make = makers.get(name.split("-")[0])
        if make:
            make(job, model, CONTESTANTS[name])


def randomize(model):
    """Randomizes every weight: fresh layer scales of 1e-5 would hide the blocks."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        noise = rng.standard_normal(variable.shape)
        if variable.path.endswith("random_matrix"):
            variable.assign(_averages(noise))
        elif len(variable.shape) > 1:
            variable.assign(noise * _fan_in(variable) ** -0.5)
        else:
            deviation, mean = _distribution(variable.path)
            variable.assign(deviation * noise + mean)


def _averages(noise):
    """A matrix each row of which has positive weights that sum to 1."""
    weights = np.exp(noise)
    return weights / weights.sum(1, keepdims=True)


def _fan_in(variable):
    height_width = variable.shape[:2]  # of a depthwise kernel, (H, W, C, 1)
    return np.prod(height_width if "dwconv" in variable.path else variable.shape[:-1])


def _distribution(path):
    """(Standard deviation, mean) of a vector, such that activations stay alive.

    Scales of shortcuts are near 1, as they start: half of the stream at each of the 36 shortcuts
    would leave nothing of an image but what biases add, the same for each pixel.
    """
    if "/res_scale" in path:
        return 0.1, 1.0
    if path.endswith("moving_variance"):  # of a segmenter's batch norms: positive
        return 0.1, 1.0
    if "/act" in path:  # StarReLU's
        return 0.1, 0.9 if path.endswith("scale") else -0.3
    return 0.2, 0.5 if "gamma" in path else 0.0  # norms' and layer scales' gamma; biases


def _ours(job, model, contestant):
    from keras_poolformer import export_tflite

    export_tflite(
        model,
        job.folder / contestant.file,
        recipe=contestant.arithmetic,
        calibration=list(job.images("pixels", checked_only=False)),
        transform=job.transform,
        overwrite=True,
    )


def _saved_model(job, model, contestant):
    from keras_poolformer import export_saved_model

    path = job.folder / contestant.file
    export_saved_model(model, path, transform=job.transform, overwrite=True)


def _floor(job, model, contestant):
    import tensorflow as tf

    from benchmarks.floor import floor_function, require_floor
    from keras_poolformer.export.networks.folding import fold
    from keras_poolformer.export.tflite import convert

    network, path = fold(model), job.folder / contestant.file
    function = floor_function(network, job.images("normalized", checked_only=False))
    spec = tf.TensorSpec((1, job.size, job.size, job.config.in_channels), tf.float32, "images")
    configure = functools.partial(_configure, job, contestant.arithmetic)
    path.write_bytes(convert(spec, function, configure))
    require_floor(path, network, contestant.arithmetic)


def _plain_keras(job, model, contestant):
    """What Keras and the converter do by themselves, with a static batch of 1."""
    import keras
    import tensorflow as tf

    shape = (1, job.size, job.size, job.config.in_channels)
    signature = [keras.InputSpec(shape=shape, dtype="float32")]
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", input_signature=signature, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=["serving_default"]
        )
        _configure(job, contestant.arithmetic, converter)
        (job.folder / contestant.file).write_bytes(converter.convert())


def _configure(job, arithmetic, converter):
    """Sets up a converter for our recipe of this name, with the converter's choice of ranges."""
    from keras_poolformer.export.recipes import get_recipe

    recipe = get_recipe(arithmetic)
    recipe.configure(converter, "logits")
    if recipe.needs_calibration:
        images = job.images("normalized", checked_only=False)
        converter.representative_dataset = lambda: ([image[None]] for image in images)


def build_litert_torch(job, names):
    """timm's network through litert-torch, as its documentation does it."""
    import litert_torch

    from benchmarks.engines import load_timm, to_nchw

    image = to_nchw(job.images("normalized")[:1])
    path = job.folder / CONTESTANTS["litert-torch-fp32"].file
    litert_torch.convert(load_timm(job), (image,)).export(str(path))
    if "litert-torch-dynamic_int8" in names:
        from ai_edge_quantizer import quantizer, recipe

        quantized = quantizer.Quantizer(str(path), recipe.dynamic_wi8_afp32()).quantize()
        target = job.folder / CONTESTANTS["litert-torch-dynamic_int8"].file
        quantized.export_model(str(target), overwrite=True)


def build_onnxruntime(job, names):
    """timm's network through PyTorch's ONNX exporter, any batch; and its dynamic int8."""
    import torch

    from benchmarks.engines import load_timm, to_nchw

    path = job.folder / CONTESTANTS["onnxruntime-fp32"].file
    torch.onnx.export(
        load_timm(job),
        (to_nchw(job.images("normalized")[:2]),),
        str(path),
        dynamo=True,
        dynamic_shapes=({0: "batch"},),
        external_data=False,
        verbose=False,
    )
    if "onnxruntime-dynamic_int8" in names:
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.shape_inference import quant_pre_process

        target = job.folder / CONTESTANTS["onnxruntime-dynamic_int8"].file
        with tempfile.TemporaryDirectory() as folder:
            prepared = f"{folder}/prepared.onnx"
            quant_pre_process(str(path), prepared)
            # Its convolutions know unsigned weights only.
            quantize_dynamic(prepared, str(target), weight_type=QuantType.QUInt8)


GROUPS = {
    "tensorflow": build_tensorflow,  # first: the others load the weights that it writes
    "litert-torch": build_litert_torch,
    "onnxruntime": build_onnxruntime,
}


if __name__ == "__main__":
    GROUPS[sys.argv[2]](Job.read(sys.argv[1]), sys.argv[3:])

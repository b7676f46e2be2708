"""Export to .tflite: builtin operators only, batch 1, static shapes."""

import dataclasses
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_poolformer.export.comparison import (
    ExportResult,
    checksum,
    compare,
    export_provenance,
)
from keras_poolformer.export.graphs import (
    affine_normalization,
    default_outputs,
    export_labels,
    has_probabilities,
    probabilities,
    require_tensorflow,
    save_graphs,
)
from keras_poolformer.export.metadata import with_metadata
from keras_poolformer.export.micro import without_gelu
from keras_poolformer.export.networks.calibration import calibrate, read_calibration
from keras_poolformer.export.networks.folding import fold
from keras_poolformer.export.networks.ranges import Quantizer
from keras_poolformer.export.recipes import INPUTS, OUTPUTS, get_recipe
from keras_poolformer.images.transform import checked_transform
from keras_poolformer.models.backbone import PoolFormerBackbone
from keras_poolformer.runtime.description import SCORES, Description, append_description
from keras_poolformer.runtime.tflite_model import TFLiteModel
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import refuse_existing, replacing, size_of

PROBABILITIES_RANGE = (0.0, 255 / 256)  # what LiteRT's integer softmax and logistic have


def export_tflite(
    model,
    path,
    recipe="fp32",
    inputs=None,
    outputs=None,
    calibration=None,
    transform=None,
    labels=None,
    overwrite=False,
    skip_broken=False,
    progress=None,
):
    """Writes a model as a .tflite file, runs it, and compares it with the model.

    Args:
        model: a `PoolFormerImageClassifier` or `PoolFormerBackbone`.
        path: the file to write.
        recipe: "fp32", "fp16", "dynamic_int8", "int8" or "int8_micro".
        inputs: "normalized" takes float32 as the model does, the default; "pixels" takes
            uint8 and normalises inside the graph, the only way and the default of the integer
            recipes.
        outputs: "logits", the default, or "probabilities", by softmax or, of several labels, by
            sigmoid, as the config's `problem_type` says; "embedding", what the classifier's
            linear layer sees, and all that a model without classes has; "pyramid", the outputs
            P2, P3, ... of the stages, un-normed unless the model has `feature_norms`, the
            default of a backbone.
        calibration: what the integer recipes choose their ranges by: a few hundred images like
            those that the model will see, none of them test images; a folder, or a list or array
            of uint8 images of any size.
        transform: the `ImageTransform` of the model; by default the one it was loaded with.
        labels: class names; by default the config's.
        overwrite: whether an existing file may be replaced.
        skip_broken: whether unreadable calibration images are left out instead of refused.
        progress: called with (done, in all) while int8 calibrates, or None.

    Returns:
        An `ExportResult`.

    Raises:
        InputError: an argument is none of these, or `path` cannot be written.
    """
    require_tensorflow()
    chosen = get_recipe(recipe)
    inputs = inputs or ("pixels" if chosen.is_integer else "normalized")
    usual = default_outputs(model)
    outputs = outputs or usual
    for name, value, choices in (("inputs", inputs, INPUTS), ("outputs", outputs, OUTPUTS)):
        if value not in choices:
            raise InputError(f"`{name}` must be one of {', '.join(choices)}. Received: {value!r}")
    refuse_existing(path, overwrite)
    transform = checked_transform(transform) or model.transform
    labels = export_labels(model, labels)
    _require_exportable(model, transform, chosen, inputs, outputs)
    if chosen.is_integer:
        images, skipped = read_calibration(calibration, transform, skip_broken)
        function = _integer_function(model, transform, images, outputs, progress)
    else:
        images, skipped = [], []
        function = _float_function(model, transform, inputs, outputs)
    spec = _image_spec(model, transform, chosen, inputs)
    flatbuffer = convert(spec, function, _with_byte_outputs(chosen, outputs))
    if not chosen.has_gelu:
        flatbuffer = without_gelu(flatbuffer)
    description = Description(
        recipe=recipe,
        outputs=outputs,
        transform=transform.to_dict(),
        labels=labels,
        provenance=export_provenance(model, transform),
        problem_type=model.config.problem_type,
    )
    with replacing(path, overwrite) as written:
        written.write_bytes(with_metadata(flatbuffer, description))
        append_description(written, description)
        size, sha256 = size_of(written), checksum(written)
        exported = TFLiteModel(written)
        errors = compare(model, transform, exported.run, exported.input_kind, outputs, images)
    return ExportResult(
        path=Path(path),
        bytes=size,
        sha256=sha256,
        recipe=recipe,
        inputs=inputs,
        outputs=outputs,
        errors=errors,
        provenance=description.provenance,
        operators=dict(Counter(exported.operators())),
        partitions=exported.partitions(),
        calibration_images=len(images),
        skipped=tuple(skipped),
    )


def _require_exportable(model, transform, recipe, inputs, outputs):
    if isinstance(model, PoolFormerBackbone) and outputs != "pyramid":
        raise InputError(f"a backbone has `outputs`='pyramid' alone. Received: {outputs!r}")
    if not model.config.num_classes and outputs in SCORES:
        raise InputError(f"a model without classes has no {outputs}: `outputs`='embedding'")
    if outputs == "probabilities" and not has_probabilities(model):
        raise InputError(
            "a regression has no probabilities: `outputs`='logits' are its values. "
            "Received: problem_type='regression'"
        )
    if transform.output_shape is None:
        raise InputError("export needs a fixed size, but the transform does not crop")
    if recipe.is_integer and model.config.norm != "group_norm":
        raise InputError(
            f"recipe {recipe.name} has no form of norm {model.config.norm} in 8 bits: use recipe "
            f"dynamic_int8. Received: norm={model.config.norm!r}"
        )
    if recipe.is_integer and inputs != "pixels":
        raise InputError(f"recipe {recipe.name} takes `inputs`='pixels'. Received: 'normalized'")
    if inputs == "pixels" and model.config.in_channels != 3:
        raise InputError(
            f"`inputs`='pixels' needs a model of RGB images. "
            f"Received: {model.config.in_channels} channels"
        )


def _image_spec(model, transform, recipe, inputs):
    """The input of one image; the converter itself makes int8's floats uint8."""
    dtype = tf.uint8 if inputs == "pixels" and not recipe.is_integer else tf.float32
    shape = (1, *transform.output_shape, model.config.in_channels)
    return tf.TensorSpec(shape, dtype, "images")


def _float_function(model, transform, inputs, outputs):
    """The folded network, with what goes before and after it."""
    network = _as_tensors(fold(model, outputs))
    scale, offset = affine_normalization(transform)

    def run(images):
        if inputs == "pixels":
            images = tf.cast(images, tf.float32) * scale + offset
        if outputs == "pyramid":
            return network.pyramid(images)
        result = network(images)
        return {outputs: probabilities(model, result) if outputs == "probabilities" else result}

    return run


def _with_byte_outputs(recipe, outputs):
    """What MediaPipe Tasks takes leaves integer files as uint8: it reads no signed bytes."""
    if not recipe.is_integer or outputs not in ("probabilities", "embedding"):
        return recipe

    def configure(converter):
        recipe.configure(converter)
        converter.inference_output_type = tf.uint8

    return dataclasses.replace(recipe, configure=configure)


def _as_tensors(part) -> Any:
    """The same folded network, its arrays as tensors: graphs capture them instead of copies."""
    if isinstance(part, np.ndarray):
        return tf.constant(part, tf.float32)
    if isinstance(part, tuple):
        return tuple(map(_as_tensors, part))
    if dataclasses.is_dataclass(part):
        return type(part)(*(_as_tensors(getattr(part, f.name)) for f in dataclasses.fields(part)))
    return part


def _integer_function(model, transform, images, outputs, progress):
    """The integer network, every tensor rounded to the 8 bits of its range."""
    network, ranges = calibrate(fold(model, outputs), transform, images, progress)
    quantizer = Quantizer(ranges | {"probabilities": PROBABILITIES_RANGE})

    def run(images):
        result = network(quantizer("pixels", images), quantizer)
        if outputs == "probabilities":
            result = quantizer("probabilities", probabilities(model, result))
        return result if outputs == "pyramid" else {outputs: result}

    return run


def convert(images, function, recipe):
    """Returns the flatbuffer of a function of one tensor.

    A static batch of 1 makes a missing kernel fail here, not on a phone.

    Args:
        images: the `tf.TensorSpec` of its input.
        function: that returns a tensor or {name: tensor}.
        recipe: a `Recipe`.
    """
    with tempfile.TemporaryDirectory() as folder:
        save_graphs(folder, [], [("serving_default", function, images)])
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        recipe.configure(converter)
        return converter.convert()

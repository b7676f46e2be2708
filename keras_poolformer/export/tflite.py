"""Export to .tflite: builtin operators only, batch 1, static shapes."""

import dataclasses
import functools
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_poolformer.export.checks import checked_kinds, require_exportable
from keras_poolformer.export.comparison import (
    ExportResult,
    checksum,
    compare,
    export_provenance,
)
from keras_poolformer.export.four_bits import with_four_bits
from keras_poolformer.export.graphs import (
    GraphFunction,
    affine_normalization,
    described_task,
    export_labels,
    fixed_size,
    label_map,
    probabilities,
    require_tensorflow,
    save_graphs,
)
from keras_poolformer.export.metadata import with_metadata
from keras_poolformer.export.micro import without_gelu
from keras_poolformer.export.networks.calibration import (
    Calibration,
    Progress,
    calibrate,
    read_calibration,
)
from keras_poolformer.export.networks.folding import fold
from keras_poolformer.export.networks.places import OUTPUT, PIXELS
from keras_poolformer.export.networks.ranges import Quantizer
from keras_poolformer.export.recipes import Recipe, get_recipe
from keras_poolformer.images.transform import ImageTransform, checked_transform
from keras_poolformer.models.base import MetaFormerModel
from keras_poolformer.runtime.description import (
    LABEL_MAP,
    Description,
    append_description,
)
from keras_poolformer.runtime.tflite_model import TFLiteModel
from keras_poolformer.support.files import refuse_existing, replacing, size_of


def export_tflite(
    model: MetaFormerModel,
    path: str | os.PathLike[str],
    recipe: str = "fp32",
    *,
    inputs: str | None = None,
    outputs: str | None = None,
    calibration: Calibration | None = None,
    transform: ImageTransform | None = None,
    labels: Sequence[str] | np.ndarray | None = None,
    overwrite: bool = False,
    skip_broken: bool = False,
    progress: Progress | None = None,
) -> ExportResult:
    """Writes a model as a .tflite file, runs it, and compares it with the model.

    Args:
        model: `MetaFormerImageClassifier`, `MetaFormerSegmenter` or `MetaFormerBackbone` to export.
        path: File to write.
        recipe: How weights and arithmetic are stored: "fp32", "fp16", "dynamic_int8",
            "dynamic_int4", "int8" or "int8_micro".
        inputs: Kind of input. "normalized" is float32 as the model takes it, the default; "pixels"
            is uint8, normalized inside the graph, the only kind of the integer recipes.
        outputs: What the file returns: "logits", the default; "probabilities", by softmax or, for
            several labels, by sigmoid, as the config's `problem_type` says; "labels", the class of
            each pixel, uint8, of a segmenter, whose other outputs have a quarter of the image's
            height and width; "embedding", the input of the classifier's linear layer, the default
            of a model without classes; or "pyramid", the outputs P2, P3, ... of the stages,
            un-normed unless the model has `feature_norms`, the default of a backbone.
        calibration: Images that the integer recipes choose their ranges by, and dynamic_int4 its
            weights: a few hundred like those that the model will see, none of them test images. A
            folder, or a list or array of uint8 images of any size.
        transform: Transform of the model's images; by default the model's own. For a segmenter's
            file, images are resized to its `size`, whatever their aspect ratio.
        labels: Class names; by default the config's.
        overwrite: Whether to replace an existing file.
        skip_broken: Whether to skip corrupt calibration images instead of rejecting them.
        progress: Function that is called with (steps done, number of steps) while a recipe
            calibrates, or None.

    Returns:
        The file's size, operators, and distance from the model.

    Raises:
        InputError: An argument is not valid, or `path` cannot be written.
    """
    require_tensorflow()
    chosen = get_recipe(recipe)
    inputs, outputs = checked_kinds(model, chosen, inputs, outputs)
    refuse_existing(path, overwrite)
    transform = fixed_size(model, checked_transform(transform) or model.transform)
    labels = export_labels(model, labels)
    require_exportable(model, transform, chosen, inputs, outputs)
    images = np.empty(0, np.uint8)
    skipped: list[str] = []
    if chosen.needs_calibration:
        images, skipped = read_calibration(calibration, transform, skip_broken)
    if chosen.is_integer:
        function = _integer_function(model, chosen, transform, images, outputs, progress)
    else:
        function = _float_function(model, chosen, transform, inputs, outputs)
    spec = _image_spec(model, transform, chosen, inputs)
    flatbuffer = convert(spec, function, lambda converter: chosen.configure(converter, outputs))
    if chosen.has_four_bits:
        prepared = images if inputs == "pixels" else transform.normalize(images)
        flatbuffer = with_four_bits(flatbuffer, prepared, progress)
    if chosen.gelu_as_table:
        flatbuffer = without_gelu(flatbuffer)
    description = Description(
        recipe=recipe,
        outputs=outputs,
        transform=transform,
        labels=labels,
        provenance=export_provenance(model, transform),
        problem_type=model.config.problem_type,
        task=described_task(model, outputs),
        palette=model.config.palette,
    )
    with replacing(path, overwrite) as written:
        written.write_bytes(with_metadata(flatbuffer, description, model.config))
        append_description(written, description)
        size, sha256 = size_of(written), checksum(written)
        exported = TFLiteModel(written)
        errors = compare(model, transform, exported.run, exported.from_pixels, outputs, images)
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
        task=description.task,
    )


def _image_spec(
    model: MetaFormerModel, transform: ImageTransform, recipe: Recipe, inputs: str
) -> tf.TensorSpec:
    """The input of one image. In integer recipes it is the converter that turns floats to uint8."""
    dtype = tf.uint8 if inputs == "pixels" and not recipe.is_integer else tf.float32
    shape = (1, *(transform.output_shape or ()), model.config.in_channels)
    return tf.TensorSpec(shape, dtype, "images")


def _float_function(
    model: MetaFormerModel, recipe: Recipe, transform: ImageTransform, inputs: str, outputs: str
) -> GraphFunction:
    """The folded network, with normalization before it and probabilities after it."""
    network = _as_tensors(fold(model, outputs, recipe.split_depthwise, recipe.has_four_bits))
    scale, offset = affine_normalization(transform)

    def run(images: tf.Tensor) -> dict[str, tf.Tensor]:
        if inputs == "pixels":
            images = tf.cast(images, tf.float32) * scale + offset
        if outputs == "pyramid":
            return network.pyramid(images)
        result = network(images)
        if outputs == "probabilities":
            result = probabilities(model, result)
        if outputs == LABEL_MAP:
            result = label_map(result, images.shape[1:3])
        return {outputs: result}

    return run


def _as_tensors(part: Any) -> Any:
    """The same folded network with tensors for arrays: graphs capture them instead of copies."""
    if isinstance(part, np.ndarray):
        return tf.constant(part, tf.float32)
    if isinstance(part, tuple):
        return tuple(map(_as_tensors, part))
    if dataclasses.is_dataclass(part):
        return type(part)(*(_as_tensors(getattr(part, f.name)) for f in dataclasses.fields(part)))
    return part


def _integer_function(
    model: MetaFormerModel,
    recipe: Recipe,
    transform: ImageTransform,
    images: np.ndarray,
    outputs: str,
    progress: Progress | None,
) -> GraphFunction:
    """The integer network, every tensor rounded to the 8 bits of its range."""
    folded = fold(model, outputs, recipe.split_depthwise)
    network, ranges = calibrate(folded, transform, images, progress)
    quantizer = Quantizer(ranges)

    def run(images: tf.Tensor) -> dict[str, tf.Tensor]:
        result = network(quantizer(PIXELS, images), quantizer)
        if isinstance(result, dict):
            return result
        if outputs == "probabilities":
            result = quantizer.probabilities(probabilities(model, result))
        if outputs == LABEL_MAP:
            size = images.shape[1:3]
            result = label_map(result, size, functools.partial(quantizer.like, OUTPUT))
        return {outputs: result}

    return run


def convert(
    images: tf.TensorSpec, function: GraphFunction, configure: Callable[[Any], None]
) -> bytes:
    """Returns the flatbuffer of a function of one tensor.

    A static batch of 1 makes a missing kernel fail here, not on a phone.

    Args:
        images: Type and shape of the function's argument.
        function: Function to convert.
        configure: Function that sets up the `tf.lite.TFLiteConverter`.
    """
    with tempfile.TemporaryDirectory() as folder:
        save_graphs(folder, [], [("serving_default", function, images)])
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        configure(converter)
        return converter.convert()

"""Export to a TensorFlow SavedModel with a signature for each form of images."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_poolformer.data.decoding import decode_in_graph
from keras_poolformer.export.comparison import (
    ExportResult,
    checksum,
    compare,
    export_provenance,
)
from keras_poolformer.export.graphs import (
    GraphFunction,
    default_outputs,
    described_task,
    export_labels,
    has_probabilities,
    label_map,
    probabilities,
    require_image_size,
    require_tensorflow,
    save_graphs,
)
from keras_poolformer.export.recipes import SAVED_MODEL, SAVED_MODEL_RECIPE
from keras_poolformer.images.transform import ImageTransform, checked_transform
from keras_poolformer.models.base import MetaFormerModel
from keras_poolformer.models.segmenter import MetaFormerSegmenter
from keras_poolformer.runtime.description import LABEL_MAP, Description, add_description
from keras_poolformer.support.files import refuse_existing, replacing, size_of
from keras_poolformer.support.patterns import without_patterns


def export_saved_model(
    model: MetaFormerModel,
    path: str | os.PathLike[str],
    *,
    transform: ImageTransform | None = None,
    labels: Sequence[str] | np.ndarray | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes a model as a SavedModel folder.

    Each signature returns {"logits", "probabilities"}, float32 (N, num_classes); {"logits"} for a
    regression, {"embedding"} for a model without classes, {"P2", "P3", ...} for a backbone. A
    segmenter's logits and probabilities have a quarter of the prepared images' height and width,
    and {"labels"} is the class of each of their pixels, uint8, or uint16 for more than 256
    classes:

    - `normalized(images)`: float32 (N, H, W, C), as the Keras model takes them.
    - `pixels(images)`: uint8 (N, H, W, 3) of any size; resized, cropped and normalized in
      the graph, within 1 of 255 of `ImageTransform` before normalization.
    - `encoded(image_bytes)`: strings (N,), each a whole JPEG or PNG file, as TF Serving
      clients send them; also `serving_default`. The pixels are those of `load_image`, turned
      upright by their EXIF orientation, except that CMYK is within 4 of 255. Other formats are
      rejected.

    Models whose images are not RGB get only `normalized`, which is then `serving_default`.

    assets.extra/keras_poolformer.json says how images are prepared and where the weights are
    from, and assets.extra/labels.txt names the classes, if they have names.

    Args:
        model: `MetaFormerImageClassifier`, `MetaFormerSegmenter` or `MetaFormerBackbone` to export.
        path: Folder to write.
        transform: Transform of the model's images; by default the model's own.
        labels: Class names; by default the config's.
        overwrite: Whether to replace an existing folder.

    Returns:
        The path.

    Raises:
        InputError: An argument is not valid, or `path` cannot be written.
    """
    require_tensorflow()
    refuse_existing(path, overwrite, SAVED_MODEL)
    transform = checked_transform(transform) or model.transform
    require_image_size(model, transform)
    outputs = default_outputs(model)
    description = Description(
        recipe=SAVED_MODEL_RECIPE.name,
        outputs=outputs,
        transform=transform,
        labels=export_labels(model, labels),
        provenance=export_provenance(model, transform),
        problem_type=model.config.problem_type,
        task=described_task(model, outputs),
        palette=model.config.palette,
    )
    with replacing(path, overwrite, SAVED_MODEL) as written:
        save_graphs(written, model.variables, _endpoints(model, transform))
        add_description(written, description)
    return Path(path)


def examine(model: MetaFormerModel, path: str | os.PathLike[str]) -> ExportResult:
    """Loads a SavedModel that `export_saved_model` wrote, and compares it with its model.

    Args:
        model: Model that was exported.
        path: Folder of the SavedModel.

    Returns:
        The folder's size, and distance from the model.
    """
    with without_patterns(path) as folder:
        normalized = tf.saved_model.load(folder).signatures["normalized"]
    outputs = default_outputs(model)
    return ExportResult(
        path=Path(path),
        bytes=size_of(path),
        recipe=SAVED_MODEL_RECIPE.name,
        inputs="any",
        outputs=_all_outputs(model),
        errors=compare(
            model,
            model.transform,
            lambda images: normalized(images=tf.constant(images)),
            model.transform.normalize,
            outputs,
        ),
        provenance=export_provenance(model, model.transform),
        sha256=checksum(path),
        task=described_task(model, outputs),
    )


def _all_outputs(model: MetaFormerModel) -> str:
    """What a SavedModel returns, for a table."""
    if isinstance(model, MetaFormerSegmenter):
        return "logits, probabilities and labels"
    return "logits and probabilities" if has_probabilities(model) else default_outputs(model)


def _endpoints(
    model: MetaFormerModel, transform: ImageTransform
) -> list[tuple[str, GraphFunction, tf.TensorSpec]]:
    """(name, function, input) of each signature; the first becomes `serving_default`."""
    outputs = default_outputs(model)
    network = model.feature_extractor() if outputs == "pyramid" else model
    channels = model.config.in_channels
    side = model.config.image_side
    floats = tf.TensorSpec((None, side, side, channels), tf.float32, "images")

    @tf.function(input_signature=[floats], autograph=False)  # one network for all signatures
    def normalized(images: tf.Tensor) -> dict[str, tf.Tensor]:
        result = network(images, training=False)
        if outputs == "pyramid":
            return result
        results = {outputs: result}
        if outputs == "logits" and has_probabilities(model):
            results["probabilities"] = probabilities(model, result)
        if isinstance(model, MetaFormerSegmenter):
            results[LABEL_MAP] = label_map(result, tf.shape(images)[1:3])
        return results

    def pixels(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return normalized(transform.tf(images))

    def encoded(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        shape = transform.output_shape or (None, None)
        prepared = tf.map_fn(
            lambda content: transform.tf(decode_in_graph(content)),
            image_bytes,
            fn_output_signature=tf.TensorSpec((*shape, 3), tf.float32),
        )
        return normalized(prepared)

    if channels != 3:
        return [("normalized", normalized, floats)]
    return [
        ("encoded", encoded, tf.TensorSpec((None,), tf.string, "image_bytes")),
        ("pixels", pixels, tf.TensorSpec((None, None, None, 3), tf.uint8, "images")),
        ("normalized", normalized, floats),
    ]

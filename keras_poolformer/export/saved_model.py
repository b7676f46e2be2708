"""Export to a TensorFlow SavedModel with a signature for each way to hand over images."""

from pathlib import Path

import tensorflow as tf

from keras_poolformer.data.decoding import decode_in_graph
from keras_poolformer.export.comparison import (
    ExportResult,
    checksum,
    compare,
    export_provenance,
)
from keras_poolformer.export.graphs import (
    default_outputs,
    export_labels,
    has_probabilities,
    probabilities,
    require_tensorflow,
    save_graphs,
)
from keras_poolformer.export.recipes import SAVED_MODEL
from keras_poolformer.images.transform import checked_transform
from keras_poolformer.runtime.description import Description, add_description
from keras_poolformer.support.files import refuse_existing, replacing, size_of
from keras_poolformer.support.patterns import without_patterns


def export_saved_model(model, path, transform=None, labels=None, overwrite=False):
    """Writes a model as a SavedModel directory.

    Signatures, each of which returns {"logits", "probabilities"}, float32 (N, num_classes);
    {"logits"} of a regression, {"embedding"} of a model without classes, {"P2", "P3", ...} of a
    backbone:

    - `normalized(images)`: float32 (N, H, W, C), as the Keras model takes them.
    - `pixels(images)`: uint8 (N, H, W, 3) of any size; resized, cropped and normalised in
      the graph, within 1 of 255 of `ImageTransform` before normalisation.
    - `encoded(image_bytes)`: strings (N,), each a whole JPEG or PNG file, as TF Serving
      clients send them; also `serving_default`. The pixels are those of `load_image`, upright
      as EXIF says, but for CMYK, which is within 4 of 255. Other formats are refused.

    Models whose images are not RGB get `normalized` alone, as `serving_default`.

    assets.extra/keras_poolformer.json says how images are prepared and where the weights are
    from, and assets.extra/labels.txt names the classes, if they have names.

    Args:
        model: a `PoolFormerImageClassifier` or `PoolFormerBackbone`.
        path: the directory to write.
        transform: the `ImageTransform` of the model; by default the one it was loaded with.
        labels: class names; by default the config's.
        overwrite: whether an existing directory may be replaced.

    Returns:
        The path.
    """
    require_tensorflow()
    refuse_existing(path, overwrite, SAVED_MODEL)
    transform = checked_transform(transform) or model.transform
    description = Description(
        recipe="saved_model",
        outputs=default_outputs(model),
        transform=transform.to_dict(),
        labels=export_labels(model, labels),
        provenance=export_provenance(model, transform),
        problem_type=model.config.problem_type,
    )
    with replacing(path, overwrite, SAVED_MODEL) as written:
        save_graphs(written, model.variables, _endpoints(model, transform))
        add_description(written, description)
    return Path(path)


def examine(model, path):
    """Loads a SavedModel that `export_saved_model` wrote, and compares it with its model.

    Args:
        model: that it was made of.
        path: the directory.

    Returns:
        An `ExportResult`.
    """
    with without_patterns(path) as folder:
        normalized = tf.saved_model.load(folder).signatures["normalized"]
    outputs = default_outputs(model)
    return ExportResult(
        path=Path(path),
        bytes=size_of(path),
        recipe="saved_model",
        inputs="any",
        outputs="logits and probabilities" if has_probabilities(model) else outputs,
        errors=compare(
            model,
            model.transform,
            lambda images: normalized(images=tf.constant(images)),
            "normalized",
            outputs,
        ),
        provenance=export_provenance(model, model.transform),
        sha256=checksum(path),
    )


def _endpoints(model, transform):
    """(name, function, input) of each signature; the first becomes `serving_default`."""
    outputs = default_outputs(model)
    network = model.feature_extractor() if outputs == "pyramid" else model
    channels = model.config.in_channels
    floats = tf.TensorSpec((None, None, None, channels), tf.float32, "images")

    @tf.function(input_signature=[floats], autograph=False)  # one network for all signatures
    def normalized(images):
        result = network(images, training=False)
        if outputs == "logits" and has_probabilities(model):
            return {"logits": result, "probabilities": probabilities(model, result)}
        return result if outputs == "pyramid" else {outputs: result}

    def pixels(images):
        return normalized(transform.tf(images))

    def encoded(image_bytes):
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

"""Export to .tflite: builtin operators only, batch 1, static shapes."""

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_poolformer.errors import InputError
from keras_poolformer.export.folding import fold
from keras_poolformer.export.graphs import require_tensorflow, save_graphs
from keras_poolformer.export.recipes import INPUTS, OUTPUTS, get_recipe
from keras_poolformer.files import refuse_existing, replacing
from keras_poolformer.loading import image_transform
from keras_poolformer.model import PoolFormerImageClassifier
from keras_poolformer.presets import ASSETS
from keras_poolformer.ranking import softmax
from keras_poolformer.runtime.classifier import TFLiteClassifier
from keras_poolformer.runtime.description import Description, append_description

CHECKED_IMAGES = 8


@dataclass(frozen=True)
class ExportResult:
    """An exported file, and how far it is from the model it came from.

    Args:
        path: of the file.
        bytes: its size.
        recipe: that it was made with.
        error: relative L2 distance of its outputs from the Keras model's, over
            `CHECKED_IMAGES` photographs that the package ships.
    """

    path: Path
    bytes: int
    recipe: str
    error: float

    def to_dict(self):
        """Returns the result as JSON-ready values."""
        return dataclasses.asdict(self) | {"path": str(self.path)}


def export_tflite(
    model,
    path,
    recipe="fp32",
    inputs="normalized",
    outputs="logits",
    transform=None,
    labels=None,
    overwrite=True,
):
    """Writes a classifier as a .tflite file, runs it, and compares it with the model.

    Args:
        model: a `PoolFormerImageClassifier`.
        path: the file to write.
        recipe: "fp32", "fp16" or "dynamic_int8".
        inputs: "normalized" takes float32 as the model does; "pixels" takes uint8 and
            normalises inside the graph.
        outputs: "logits" or "probabilities".
        transform: the `ImageTransform` of the model; by default the one it was loaded with.
        labels: class names; by default the config's.
        overwrite: whether an existing file may be replaced.

    Returns:
        An `ExportResult`.

    Raises:
        InputError: an argument is none of these, or `path` cannot be written.
    """
    require_tensorflow()
    chosen = get_recipe(recipe)
    for name, value, choices in (("inputs", inputs, INPUTS), ("outputs", outputs, OUTPUTS)):
        if value not in choices:
            raise InputError(f"`{name}` must be one of {', '.join(choices)}. Received: {value!r}")
    refuse_existing(path, overwrite)
    transform = transform or image_transform(model)
    _require_exportable(model, transform, inputs)
    images, classify = _inference_function(model, transform, inputs, outputs)
    flatbuffer = _convert(images, classify, chosen)
    description = Description(
        recipe=recipe,
        outputs=outputs,
        transform=transform.to_dict(),
        labels=tuple(labels or model.config.labels or ()),
        provenance=model.get_config()["provenance"] or {},
    )
    with replacing(path, overwrite) as written:
        written.write_bytes(flatbuffer)
        append_description(written, description)
        error = _error(model, written, transform, outputs)
    return ExportResult(Path(path), Path(path).stat().st_size, recipe, error)


def _require_exportable(model, transform, inputs):
    if not isinstance(model, PoolFormerImageClassifier):
        raise InputError(
            f"`model` must be a PoolFormerImageClassifier. Received: {type(model).__name__}"
        )
    if transform.output_size is None:
        raise InputError("export needs a fixed size, but the transform does not crop")
    if inputs == "pixels" and model.config.in_channels != 3:
        raise InputError(
            f"`inputs`='pixels' needs a model of RGB images. "
            f"Received: {model.config.in_channels} channels"
        )


def _inference_function(model, transform, inputs, outputs):
    """The input of one image, and the folded network with what goes before and after it."""
    network = fold(model)
    side, dtype = transform.output_size, tf.uint8 if inputs == "pixels" else tf.float32
    scale, offset = _affine_normalization(transform)

    def classify(images):
        if inputs == "pixels":
            images = tf.cast(images, tf.float32) * scale + offset
        scores = network(images)
        return tf.nn.softmax(scores) if outputs == "probabilities" else scores

    return tf.TensorSpec((1, side, side, model.config.in_channels), dtype, "images"), classify


def _affine_normalization(transform):
    """Scale and offset per channel that do to pixels what `transform.normalize` does."""
    black, white = transform.normalize(np.uint8([[[0, 0, 0], [255, 255, 255]]]))[0]
    return (white - black) / 255, black


def _convert(images, classify, recipe):
    """The flatbuffer; a static batch of 1 makes a missing kernel fail here, not on a phone."""
    with tempfile.TemporaryDirectory() as folder:
        save_graphs(folder, [], [("classify", classify, images)])
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        recipe.configure(converter)
        return converter.convert()


def _error(model, path, transform, outputs):
    """Relative L2 distance between the file's outputs and the model's, over photographs."""
    classifier = TFLiteClassifier(path)
    normalized = pixels = _noise(classifier.input_shape)
    if model.config.in_channels == 3:
        photographs = sorted((ASSETS / "photos").iterdir())
        every = len(photographs) // CHECKED_IMAGES
        pixels = transform.pixels(photographs[::every][:CHECKED_IMAGES])
        normalized = transform.normalize(pixels)
    expected = np.concatenate([model(image[None], training=False) for image in normalized])
    if outputs == "probabilities":
        expected = softmax(expected)
    received = classifier.predict(pixels if classifier.input_kind == "pixels" else normalized)
    return float(np.linalg.norm(received - expected) / np.linalg.norm(expected))


def _noise(shape):
    """Stands in for photographs of other than three channels, on the normalised scale."""
    noise = np.random.default_rng(0).standard_normal((CHECKED_IMAGES, *shape))
    return noise.astype("float32")

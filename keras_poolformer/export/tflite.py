"""Export to .tflite: builtin operators only, batch 1, static shapes."""

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_poolformer.errors import InputError
from keras_poolformer.export.graphs import require_tensorflow, save_graphs
from keras_poolformer.export.recipes import INPUTS, OUTPUTS, get_recipe
from keras_poolformer.files import refuse_existing, replacing
from keras_poolformer.loading import image_transform
from keras_poolformer.presets import ASSETS
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
    graph = _inference_graph(model, transform, inputs, outputs)
    flatbuffer = _convert(graph, chosen)
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
        error = _error(graph, written, transform)
    return ExportResult(Path(path), Path(path).stat().st_size, recipe, error)


def _inference_graph(model, transform, inputs, outputs):
    """The model for one image of static size, with what goes before and after it."""
    side, channels = transform.output_size, model.config.in_channels
    if side is None:
        raise InputError("export needs a fixed size, but the transform does not crop")
    if inputs == "pixels" and channels != 3:
        raise InputError(
            f"`inputs`='pixels' needs a model of RGB images. Received: {channels} channels"
        )
    dtype = "uint8" if inputs == "pixels" else "float32"
    images = keras.Input(batch_shape=(1, side, side, channels), dtype=dtype, name="images")
    x = images
    if inputs == "pixels":
        scale, offset = _affine_normalization(transform)
        x = keras.ops.cast(x, "float32") * scale + offset
    scores = model(x)
    if outputs == "probabilities":
        scores = keras.layers.Softmax(name="probabilities")(scores)
    return keras.Model(images, scores, name="export")


def _affine_normalization(transform):
    """Scale and offset per channel that do to pixels what `transform.normalize` does."""
    black, white = transform.normalize(np.uint8([[[0, 0, 0], [255, 255, 255]]]))[0]
    return (white - black) / 255, black


def _convert(graph, recipe):
    """The flatbuffer; a static batch of 1 makes a missing kernel fail here, not on a phone."""
    with tempfile.TemporaryDirectory() as folder:
        one_image = tf.TensorSpec(graph.input_shape, graph.inputs[0].dtype, "images")
        save_graphs(folder, graph, [("classify", lambda images: graph(images), one_image)])
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        recipe.configure(converter)
        return converter.convert()


def _error(graph, path, transform):
    """Relative L2 distance between the file's outputs and the graph's, over photographs."""
    batch = _check_images(graph, transform)
    expected = np.concatenate([graph(image[None]).numpy() for image in batch])
    received = TFLiteClassifier(path).predict(batch)
    return float(np.linalg.norm(received - expected) / np.linalg.norm(expected))


def _check_images(graph, transform):
    shape, dtype = graph.input_shape[1:], graph.inputs[0].dtype
    if shape[-1] != 3:  # no photographs of other channels: noise on the normalised scale
        noise = np.random.default_rng(0).standard_normal((CHECKED_IMAGES, *shape))
        return noise.astype("float32")
    photographs = sorted((ASSETS / "photos").iterdir())
    every = len(photographs) // CHECKED_IMAGES
    pixels = transform.pixels(photographs[::every][:CHECKED_IMAGES])
    return pixels if dtype == "uint8" else transform.normalize(pixels)

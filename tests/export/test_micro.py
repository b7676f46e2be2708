"""int8_micro on TFLite Micro's own interpreter, against LiteRT's reference kernels."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_poolformer import (
    ImageTransform,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    export_tflite,
)
from keras_poolformer.presets import ASSETS
from keras_poolformer.runtime import TFLiteClassifier

micro = pytest.importorskip("tflite_micro", reason="x86-64 Linux has it").runtime

PHOTOS = sorted((ASSETS / "photos").iterdir())
TRANSFORM = ImageTransform(size=32, crop_pct=1.0)
TINY = PoolFormerConfig(depths=(1, 1), widths=(8, 12), num_classes=5)
CASES = {
    "gelu": (TINY, "logits"),
    "gelu_tanh": (TINY.replace(activation="gelu_tanh"), "logits"),
    "gelu_10": (TINY.replace(activation="gelu_10"), "logits"),
    "relu": (TINY.replace(activation="relu"), "logits"),
    "pool_norm": (TINY.replace(head="pool_norm"), "probabilities"),
    "pool size 5": (TINY.replace(pool_size=5), "embedding"),
    "maps": (TINY, "pyramid"),
}
ARENA = 2_000_000  # bytes


def randomized(config):
    model = PoolFormerImageClassifier(config)
    rng = np.random.default_rng(0)
    for variable in model.weights:
        scale = np.prod(variable.shape[:-1]) ** -0.5 if len(variable.shape) > 1 else 0.3
        offset = 0.7 if "gamma" in variable.path else 0.0
        variable.assign(offset + scale * rng.standard_normal(variable.shape))
    return model


def on_litert(path, pixels, resolver=OpResolverType.BUILTIN_REF):
    """The bytes of each output, [(N, ...), ...]."""
    interpreter = Interpreter(str(path), experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    outputs = [one["index"] for one in interpreter.get_output_details()]
    results = []
    for image in pixels:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        results.append([interpreter.get_tensor(index)[0] for index in outputs])
    return [np.stack(one) for one in zip(*results, strict=True)]


def on_micro(path, pixels, outputs):
    interpreter = micro.Interpreter.from_file(str(path), arena_size=ARENA)
    results = []
    for image in pixels:
        interpreter.set_input(image[None], 0)
        interpreter.invoke()
        results.append([interpreter.get_output(index)[0] for index in range(outputs)])
    return [np.stack(one) for one in zip(*results, strict=True)]


@pytest.fixture(scope="module")
def preset():
    return PoolFormerImageClassifier.from_preset("poolformer_tiny_cifar10")


@pytest.mark.parametrize("name", CASES)
def test_micro_gives_the_same_bytes_as_litert(name, tmp_path):
    config, outputs = CASES[name]
    path = tmp_path / "m.tflite"
    result = export_tflite(
        randomized(config),
        path,
        recipe="int8_micro",
        outputs=outputs,
        calibration=PHOTOS[:4],
        transform=TRANSFORM,
    )
    assert "GELU" not in result.operators
    pixels = TRANSFORM.pixels(PHOTOS[8:12])
    expected = on_litert(path, pixels)
    received = on_micro(path, pixels, len(expected))
    for one, other in zip(received, expected, strict=True):
        assert one.dtype == other.dtype and np.ptp(one) > 0
        assert np.array_equal(one, other)


def test_the_table_gives_the_same_bytes_as_the_kernel(preset, tmp_path):
    """Of LiteRT, in the file of the recipe int8, for every kind of kernel."""
    paths = {name: tmp_path / f"{name}.tflite" for name in ("int8", "int8_micro")}
    photos = [photo for photo in PHOTOS if photo.name.startswith("cifar10")]
    for recipe, path in paths.items():
        export_tflite(preset, path, recipe=recipe, calibration=photos)
    pixels = TFLiteClassifier(paths["int8"]).transform.pixels(photos)
    for resolver in (OpResolverType.AUTO, OpResolverType.BUILTIN_REF):
        (kernel,), (table,) = (on_litert(path, pixels, resolver) for path in paths.values())
        assert np.array_equal(kernel, table)
    (on_device,) = on_micro(paths["int8_micro"], pixels, 1)
    assert np.array_equal(on_device, kernel)

"""int8_micro on TFLite Micro's own interpreter, against LiteRT's reference kernels."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_poolformer import (
    ImageTransform,
    PoolFormerConfig,
    export_tflite,
)
from keras_poolformer.export.micro import without_gelu
from tests.export.family import FAMILIES, family_model
from tests.helpers import PHOTOS, randomized_model

micro = pytest.importorskip("tflite_micro", reason="x86-64 Linux has it").runtime

TRANSFORM = ImageTransform(size=32, crop_pct=1.0)
TINY = PoolFormerConfig(depths=(1,), widths=(8,), num_classes=5)
CASES = {
    "probabilities": (TINY.replace(activation="gelu_tanh", head="pool_norm"), "probabilities"),
    "maps": (PoolFormerConfig(depths=(1, 1), widths=(8, 12), num_classes=5), "pyramid"),
}
ARENA = 2_000_000  # bytes
# Micro's kernels and LiteRT's reference ones do not round alike everywhere, in files without any
# GELU either: measured, at most 3 levels of 256 in 3.3 % of the outputs.
LEVELS, SHARE = 6, 0.07


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
        # Copies: the interpreter gives views of its own memory.
        results.append([interpreter.get_output(index)[0].copy() for index in range(outputs)])
    return [np.stack(one) for one in zip(*results, strict=True)]


def assert_close_on_micro(path, pixels):
    expected = on_litert(path, pixels)
    received = on_micro(path, pixels, len(expected))
    for one, other in zip(received, expected, strict=True):
        difference = np.abs(one.astype(int) - other)
        print(f"{difference.max()} levels, {(difference > 0).mean():.2%}")
        assert one.dtype == other.dtype and np.ptp(one.astype(int)) > 10
        assert difference.max() <= LEVELS and (difference > 0).mean() <= SHARE


def exported(path, recipe, config, outputs):
    return export_tflite(
        randomized_model(config),
        path,
        recipe=recipe,
        outputs=outputs,
        calibration=PHOTOS[:4],
        transform=TRANSFORM,
    )


@pytest.mark.slow
def test_the_recipe_runs_on_micro(tmp_path):
    path = tmp_path / "m.tflite"
    result = exported(path, "int8_micro", TINY, "logits")
    assert "GELU" not in result.operators and result.operators["GATHER"] == 1
    assert result.error < 0.2
    assert_close_on_micro(path, TRANSFORM.pixels(PHOTOS))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_runs_on_micro(name, tmp_path):
    path = tmp_path / "m.tflite"
    model = family_model(FAMILIES[name])
    export_tflite(model, path, recipe="int8_micro", calibration=PHOTOS[:4], transform=TRANSFORM)
    assert_close_on_micro(path, TRANSFORM.pixels(PHOTOS[:8]))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_tables_give_the_same_bytes_as_the_kernel(name, tmp_path):
    """In LiteRT, in a file of the recipe int8, by XNNPACK and by the reference kernels."""
    config, outputs = CASES[name]
    kernel, table = tmp_path / "kernel.tflite", tmp_path / "table.tflite"
    assert "GELU" in exported(kernel, "int8", config, outputs).operators
    table.write_bytes(without_gelu(kernel.read_bytes()))
    pixels = TRANSFORM.pixels(PHOTOS)
    for resolver in (OpResolverType.AUTO, OpResolverType.BUILTIN_REF):
        results = [on_litert(path, pixels, resolver) for path in (kernel, table)]
        for one, other in zip(*results, strict=True):
            assert np.array_equal(one, other)
    assert_close_on_micro(table, pixels)

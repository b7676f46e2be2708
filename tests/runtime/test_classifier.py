"""TFLiteClassifier: what it takes, what it rejects, and its pool of workers."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import get_ident

import numpy as np
import pytest

from keras_poolformer import (
    ImageTransform,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    export_tflite,
)
from keras_poolformer.runtime import TFLiteClassifier, workers
from keras_poolformer.support.errors import InputError

TRANSFORM = ImageTransform(size=32, crop_pct=1.0)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    config = PoolFormerConfig(
        depths=(1,), widths=(8,), num_classes=4, labels=tuple("abcd"), initializer_range=0.5
    )
    model = PoolFormerImageClassifier(config, provenance={"transform": TRANSFORM.to_dict()})
    path = tmp_path_factory.mktemp("tflite") / "m.tflite"
    export_tflite(model, path)
    return path


def test_classify_agrees_with_predict(path, photographs):
    classifier = TFLiteClassifier(path)
    logits = classifier.predict(TRANSFORM([photographs[0]]))[0].astype("float64")
    probabilities = np.exp(logits) / np.exp(logits).sum()
    top = classifier.classify(photographs[0], top_k=3)
    assert [label for label, _ in top] == ["abcd"[i] for i in np.argsort(-probabilities)[:3]]
    assert [p for _, p in top] == pytest.approx(sorted(probabilities, reverse=True)[:3])


@pytest.mark.parametrize("inputs", ["normalized", "pixels"])
def test_images_are_prepared_as_the_file_takes_them(inputs, tmp_path, photographs):
    config = PoolFormerConfig(depths=(1,), widths=(8,), num_classes=4)
    path = tmp_path / "m.tflite"
    export_tflite(
        PoolFormerImageClassifier(config), path, "fp32", inputs=inputs, transform=TRANSFORM
    )
    classifier = TFLiteClassifier(path)
    prepare = {"normalized": TRANSFORM, "pixels": TRANSFORM.pixels}[inputs]
    expected = prepare(photographs[:2])
    received = classifier.prepare(photographs[:2])
    assert received.dtype == expected.dtype == classifier.input_dtype
    assert np.array_equal(received, expected)
    assert np.array_equal(classifier.from_pixels(TRANSFORM.pixels(photographs[:2])), expected)
    assert classifier.predict(received).shape == (2, 4)


def test_a_pool_of_workers_keeps_the_order(path):
    images = np.random.default_rng(0).standard_normal((40, 32, 32, 3)).astype("float32")
    alone = TFLiteClassifier(path).predict(images)
    assert np.array_equal(TFLiteClassifier(path, num_workers=3).predict(images), alone)


def test_a_warm_up_reaches_every_worker(path, monkeypatch):
    """Even where each would be done before the next is asked for."""

    class UnhurriedPool(ThreadPoolExecutor):
        def submit(self, *arguments):
            future = super().submit(*arguments)
            time.sleep(0.1)
            return future

    threads = []
    monkeypatch.setattr(workers, "ThreadPoolExecutor", UnhurriedPool)
    classifier = TFLiteClassifier(path, num_workers=4)
    monkeypatch.setattr(classifier, "_run_one", lambda _: threads.append(get_ident()))
    classifier.warm_up()
    assert len(threads) == len(set(threads)) == 4


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 33, 32, 3), "float32"),
        np.zeros((32, 32, 3), "float32"),
        np.zeros((1, 32, 32, 3), "uint8"),
    ],
    ids=["size", "no batch", "dtype"],
)
def test_wrong_arrays_are_refused(path, images):
    with pytest.raises(InputError, match=r"takes float32 images of shape \(N, 32, 32, 3\)"):
        TFLiteClassifier(path).predict(images)


def test_a_file_without_a_description_predicts_but_does_not_classify(path, tmp_path, photographs):
    data = path.read_bytes()
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(data[: data.index(b"PK\x03\x04")])
    classifier = TFLiteClassifier(bare)
    images = TRANSFORM(photographs[:1])
    assert np.array_equal(classifier.predict(images), TFLiteClassifier(path).predict(images))
    for method in (classifier.prepare, classifier.classify):
        with pytest.raises(InputError, match="does not say how images are prepared"):
            method(photographs[0])


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x1c\0\0\0TFL3" + b"\xff" * 400])
def test_broken_files_are_refused(tmp_path, content):
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(InputError, match=r"not a usable TFLite model") as raised:
        TFLiteClassifier(tmp_path / "m.tflite")
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        TFLiteClassifier(tmp_path / "m.tflite")

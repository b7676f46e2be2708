"""Models that `evaluate` refuses: damaged, foreign, or of another kind."""

import shutil
import zipfile
from functools import partial

import pytest

from keras_poolformer import PoolFormerImageClassifier, export_saved_model, export_tflite


def test_a_tflite_file_that_says_nothing_of_itself(exports, data, tmp_path, refusal):
    content = (exports / "fp32.tflite").read_bytes()
    (tmp_path / "bare.tflite").write_bytes(content[: content.index(b"PK\x03\x04")])
    message = refusal("evaluate", tmp_path / "bare.tflite", "--data", data)
    assert "does not say how images are prepared" in message


@pytest.mark.parametrize("line", ["", "one\n"])
def test_a_tflite_file_with_too_few_labels(line, exports, data, tmp_path, refusal):
    content = (exports / "fp32.tflite").read_bytes()
    path = tmp_path / "relabelled.tflite"
    path.write_bytes(content[: content.index(b"PK\x03\x04")])
    with zipfile.ZipFile(exports / "fp32.tflite") as source, zipfile.ZipFile(path, "a") as archive:
        archive.writestr("keras_poolformer.json", source.read("keras_poolformer.json"))
        archive.writestr("labels.txt", line)
    message = refusal("evaluate", path, "--data", data)
    expected = "a label for each of its 10 classes. Received: 1" if line else "has no labels"
    assert expected in message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("saved_model.pb", b"no protocol buffer", "not a usable SavedModel"),
        ("saved_model.pb", b"", "not a usable SavedModel"),
        ("variables/variables.index", b"no table", "not a usable SavedModel"),
        ("variables/variables.data-00000-of-00001", b"short", "not a usable SavedModel"),
        ("variables/variables.index", None, "not a usable SavedModel"),
        ("assets.extra/keras_poolformer.json", None, "does not say how images are prepared"),
        ("assets.extra/keras_poolformer.json", b"{", "its description is corrupt"),
        ("assets.extra/keras_poolformer.json", b"[]", "its description is corrupt"),
        ("assets.extra/keras_poolformer.json", b"{}", "its description is corrupt"),
        ("assets.extra/keras_poolformer.json", b"\xff", "its description is corrupt"),
        ("assets.extra/labels.txt", b"cat\ndog\n", "each of its 10 classes. Received: 2"),
    ],
)
def test_a_damaged_saved_model(name, content, message, exports, data, tmp_path, refusal):
    shutil.copytree(exports / "saved_model", tmp_path / "model")
    if content is None:
        (tmp_path / "model" / name).unlink()
    else:
        (tmp_path / "model" / name).write_bytes(content)
    assert message in refusal("evaluate", tmp_path / "model", "--data", data)


@pytest.mark.parametrize(
    ("name", "output", "message"),
    [
        ("serve", "logits", "must have the signature 'normalized'. Received: serve"),
        ("normalized", "scores", "return logits. Received: images -> scores"),
    ],
)
def test_a_foreign_saved_model(name, output, message, exports, data, tmp_path, refusal):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32, "images")])
    def classify(images):
        return {output: tf.reduce_mean(images, (1, 2))}

    module = tf.Module()
    module.classify = classify
    tf.saved_model.save(module, str(tmp_path / "model"), {name: classify})
    (tmp_path / "model/assets.extra").mkdir()
    with zipfile.ZipFile(exports / "fp32.tflite") as description:
        description.extractall(tmp_path / "model/assets.extra")
    assert message in refusal("evaluate", tmp_path / "model", "--data", data)


@pytest.mark.first(2)
@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        ({"in_channels": 4}, "x.keras", "must take RGB images. Received: 4 channels"),
        ({"in_channels": 4}, "x", "must take RGB images. Received: 4 channels"),
        ({"in_channels": 4}, "x.tflite", "must take RGB images. Received: 4 channels"),
        ({"num_classes": 0}, "x.keras", "must be a classifier"),
    ],
)
def test_models_of_another_kind(changes, name, message, tiny_config, numbered, out, refusal):
    model = PoolFormerImageClassifier(tiny_config.replace(**changes))
    save = {"x.keras": model.save, "x": partial(export_saved_model, model)}
    save.get(name, partial(export_tflite, model))(out / name)
    assert message in refusal("evaluate", out / name, "--data", numbered)


def test_sources_that_are_not_there(data, tmp_path, refusal):
    assert "nor a preset" in refusal("evaluate", "nosuch", "--data", data)
    assert "no such file" in refusal("evaluate", tmp_path / "x.tflite", "--data", data)
    (tmp_path / "x.tflite").write_text("no model", encoding="utf-8", newline="\n")
    assert "not a usable TFLite model" in refusal("evaluate", tmp_path / "x.tflite", "--data", data)

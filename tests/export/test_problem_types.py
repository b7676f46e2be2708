"""Several labels, one output and regression, compared with transformers' own pipeline."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from keras_poolformer import (
    ImageTransform,
    PoolFormerImageClassifier,
    export_saved_model,
    export_tflite,
    save_torch_weights,
)
from keras_poolformer.evaluation.opening import open_scorer
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.support.errors import InputError
from tests.helpers import PHOTOS, randomized_module

torch = pytest.importorskip("torch")
oracles = pytest.importorskip("conversion.oracles")  # after which transformers can be imported
transformers = pytest.importorskip("transformers")

TRANSFORM = ImageTransform(size=32, crop_pct=1.0)
# {name: (problem_type, num_classes)}
KINDS = {
    "several labels": ("multi_label_classification", 3),
    "one output": (None, 1),
    "one label": ("multi_label_classification", 1),
    "regression": ("regression", 2),
    "classes": ("single_label_classification", 3),
}
BYTES = 0.08  # largest difference of int8 scores from float ones; measured 0.02


@pytest.fixture(scope="module", params=KINDS)
def case(request, tiny_config, tmp_path_factory):
    """(problem type, transformers' module, the directory that it wrote, our model)."""
    problem_type, num_classes = KINDS[request.param]
    labels = tuple(f"tag {i}" for i in range(num_classes))
    config = tiny_config.replace(num_classes=num_classes)
    module = randomized_module(oracles.build_oracle(config, "hf").module)
    module.config.problem_type = problem_type
    module.config.id2label = dict(enumerate(labels))
    folder = tmp_path_factory.mktemp("hub")
    module.save_pretrained(folder)
    model = PoolFormerImageClassifier.from_preset(folder)
    model.transform = TRANSFORM
    return problem_type, module, folder, model


def pipeline_scores(config, logits):
    """{label: score} that transformers' pipeline makes of logits (classes,)."""
    pipeline = transformers.ImageClassificationPipeline
    itself = SimpleNamespace(model=SimpleNamespace(config=config))
    answer = pipeline.postprocess(itself, {"logits": torch.tensor(logits)[None]}, top_k=9)
    return {entry["label"]: entry["score"] for entry in answer}


@pytest.fixture(scope="module")
def expected(case):
    """transformers' answer to a photograph, from pixels to scores."""
    _, module, _, _ = case
    pixels = torch.from_numpy(TRANSFORM([PHOTOS[0]]).transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        logits = module.eval()(pixels).logits[0].numpy()
    return pipeline_scores(module.config, logits)


@pytest.mark.first(2)
def test_scores_are_those_of_transformers(case, expected):
    problem_type, _, _, model = case
    assert model.config.problem_type == problem_type
    assert dict(model.classify(PHOTOS[0])) == pytest.approx(expected, abs=1e-4)


@pytest.mark.first(1)
def test_the_directories_that_we_write_keep_it(case, expected, tmp_path):
    problem_type, _, _, model = case
    save_torch_weights(model, tmp_path / "hf", "hf")
    theirs = transformers.PoolFormerConfig.from_pretrained(tmp_path / "hf")
    assert theirs.problem_type == problem_type
    logits = model.predict_on_batch(TRANSFORM([PHOTOS[0]]))[0]
    assert pipeline_scores(theirs, logits) == pytest.approx(expected, abs=1e-4)
    document = json.loads((tmp_path / "hf" / "config.json").read_text(encoding="utf-8"))
    assert ("problem_type" in document) == (problem_type is not None)
    model.save_to_preset(tmp_path / "ours")
    again = PoolFormerImageClassifier.from_preset(tmp_path / "ours")
    assert again.config == model.config


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("case", "recipe", "outputs"),
    [
        ("several labels", "fp32", "probabilities"),
        ("several labels", "int8", "probabilities"),
        ("regression", "fp32", "logits"),
        pytest.param("several labels", "fp32", "logits", marks=pytest.mark.slow),
        pytest.param("one output", "int8", "probabilities", marks=pytest.mark.slow),
    ],
    indirect=["case"],
)
def test_files_for_devices(case, expected, recipe, outputs, tmp_path):
    _, _, _, model = case
    path = tmp_path / "m.tflite"
    export_tflite(model, path, recipe, inputs="pixels", outputs=outputs, calibration=PHOTOS[:8])
    classifier = TFLiteClassifier(path)
    if recipe == "int8":
        (output,) = classifier._interpreter().get_output_details()
        assert output["quantization"] == (1 / 256, 0)  # of LiteRT's integer logistic
    received = dict(classifier.classify(PHOTOS[0]))
    assert received == pytest.approx(expected, abs=BYTES if recipe == "int8" else 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["several labels", "regression"], indirect=True)
def test_saved_models(case, expected, tmp_path):
    problem_type, _, folder, model = case
    export_saved_model(model, tmp_path / "m")
    signature = tf.saved_model.load(str(tmp_path / "m")).signatures["normalized"]
    received = signature(images=tf.constant(TRANSFORM([PHOTOS[0]])))
    outputs = ["logits"] if problem_type == "regression" else ["logits", "probabilities"]
    assert sorted(received) == outputs
    by_label = dict(zip(model.labels, received[outputs[-1]].numpy()[0].tolist(), strict=True))
    assert by_label == pytest.approx(expected, abs=1e-4)
    for source in (folder, tmp_path / "m"):  # class folders have one class for each image
        with pytest.raises(InputError, match=rf"must name one class.*{problem_type}"):
            open_scorer(str(source)).require_one_class()


@pytest.mark.parametrize("case", ["regression"], indirect=True)
def test_a_regression_has_no_probabilities(case, tmp_path):
    _, _, _, model = case
    with pytest.raises(InputError, match="a regression has no probabilities"):
        export_tflite(model, tmp_path / "m.tflite", outputs="probabilities")


def test_the_loss_is_that_of_the_problem_type(case):
    problem_type, _, _, model = case
    logits = np.array([[0.5, -1, 2], [1, 0, -3]], np.float32)[:, : model.config.num_classes]
    labels = (logits > 0).astype(np.float32)
    if problem_type == "single_label_classification":
        labels = logits.argmax(axis=1)
    config = SimpleNamespace(problem_type=problem_type or "regression", num_labels=logits.shape[1])
    loss = transformers.loss.loss_utils.ForSequenceClassificationLoss
    expected = float(loss(torch.tensor(labels), torch.tensor(logits), config))
    assert float(model.default_loss()(labels, logits)) == pytest.approx(expected, rel=1e-5)

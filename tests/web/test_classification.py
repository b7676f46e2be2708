"""The page's answers compared with Python's: the same file, the same photographs."""

import os
import re
import subprocess

import pytest

from keras_poolformer import ImageTransform, export_tflite
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.scores import softmax
from tests.export.family import FAMILIES, TRANSFORM, family_model
from tests.helpers import DEMO, ROOT
from tests.web.conftest import BUILT
from tests.web.pages import run_first_in_worker
from web.serve import serving

# Largest differences of a probability, over all 31 photographs. Measured: 1.7e-6 between fp32
# and Keras; 0.011 between the dynamic int8 file here and in Python, whose kernels round
# activations otherwise; 0.036 between it and Keras.
FLOAT, SAME_FILE, QUANTIZED = 2e-5, 0.03, 0.1

WITHOUT_RELAXED_SIMD = """
    const {instantiate} = WebAssembly;
    WebAssembly.instantiate = (bytes, ...rest) => bytes.length < 100
        ? Promise.reject(new Error("not in this browser")) : instantiate(bytes, ...rest);
"""


@pytest.fixture(scope="session")
def from_keras(tiny, photos):
    """[{label: probability}, ...]."""
    probabilities = softmax(tiny.predict_on_batch(ImageTransform.from_preset(DEMO)(photos)))
    return [dict(zip(tiny.config.labels, row.tolist(), strict=True)) for row in probabilities]


def largest_difference(answers, expected):
    """Of the probabilities of the five shown classes."""
    return max(
        abs(answer[label] - reference[label])
        for answer, reference in zip(answers, expected, strict=True)
        for label in answer
    )


def best(answers):
    return [max(answer, key=answer.get) for answer in answers]


def test_our_file(page, photos, from_keras):
    in_python, answers = TFLiteClassifier(BUILT / "model.tflite"), []
    for path in photos:
        answers.append(page.classify(path))
        height, width, values = page.pixels()
        assert (height, width) == in_python.transform.output_shape
        assert values == in_python.transform.pixels(path).ravel().tolist(), path.name
    expected = [dict(in_python.classify(path, top_k=10)) for path in photos]
    same_file = largest_difference(answers, expected)
    keras = largest_difference(answers, from_keras)
    print(f"largest difference: {same_file:.1e} from the file in Python, {keras:.1e} from Keras")
    assert best(answers) == best(expected)
    assert same_file <= SAME_FILE
    assert keras <= QUANTIZED
    assert all(list(answer.values()) == sorted(answer.values())[::-1] for answer in answers)


def test_other_ways_in(page, cat):
    expected = page.classify(cat)
    assert page.answer_after(lambda: page.drop(cat)) == expected
    assert page.answer_after(lambda: page.paste(cat)) == expected
    assert page.answer_after(page.take_example) == expected


def test_the_last_of_several_images_counts(page, photos):
    expected = page.classify(photos[-1])

    assert page.answer_after(lambda: page.drop(*photos)) == expected
    assert page.page.get_by_alt_text(photos[-1].name).is_visible()


def test_any_other_file_of_ours(open_page, photos, from_keras, float_file):
    page = open_page(f"?model={float_file.name}")
    answers = [page.classify(path) for path in photos]
    difference = largest_difference(answers, from_keras)
    print(f"largest difference of fp32 from Keras: {difference:.1e}; the first result came "
          f"{page.measured['firstResultMs']} ms after the model")  # fmt: skip
    assert difference <= FLOAT
    assert best(answers) == best(from_keras)
    assert "fp32" in page.page.inner_text("#model")

    again = page.answer_after(lambda: page.drop(BUILT / "model.tflite"))  # takes its place
    assert page.measured["model"] == "model.tflite"
    assert again == pytest.approx(answers[-1], abs=QUANTIZED)
    assert "dynamic_int8" in page.page.inner_text("#model")


@pytest.mark.parametrize("recipe", ["fp32", "dynamic_int8"])
@pytest.mark.parametrize("family", ["poolformerv2", "caformer"])
def test_the_family(family, recipe, open_page, folder, photos):
    labels = ("a", "b", "c", "d", "e")
    path = folder / f"{family}_{recipe}.tflite"
    model = family_model(FAMILIES[family].replace(labels=labels))
    export_tflite(
        model, path, recipe=recipe, inputs="pixels", outputs="probabilities", transform=TRANSFORM
    )
    page, in_python = open_page(f"?model={path.name}"), TFLiteClassifier(path)
    answers = [page.classify(photo) for photo in photos[:4]]
    expected = [dict(in_python.classify(photo)) for photo in photos[:4]]
    assert largest_difference(answers, expected) <= (FLOAT if recipe == "fp32" else SAME_FILE)


def test_integers_throughout(open_page, photos, int8_file):
    path = int8_file("probabilities")
    page = open_page(f"?model={path.name}")
    in_python = TFLiteClassifier(path)
    for photo in photos[:4]:
        answer, expected = page.classify(photo), dict(in_python.classify(photo))
        assert len(set(expected.values())) > 1  # or any constant would pass
        assert answer == pytest.approx(expected, abs=2 / 256)  # measured 0


@pytest.mark.parametrize(
    ("problem_type", "shown"),
    [("multi_label_classification", r"\d+\.\d %"), ("regression", r"-?\d+\.\d+")],
)
def test_what_the_logits_mean(problem_type, shown, tiny, open_page, folder, photos):
    config = tiny.config.replace(problem_type=problem_type)
    model = type(tiny)(config, {"transform": tiny.transform.to_dict()})
    model.set_weights(tiny.get_weights())
    path = folder / f"{problem_type}.tflite"
    export_tflite(model, path, inputs="pixels")
    page = open_page(f"?model={path.name}")
    for photo in photos[:2]:
        assert page.classify(photo) == pytest.approx(dict(model.classify(photo)), abs=FLOAT)
    row = page.page.locator("#classes li").first
    assert re.fullmatch(shown, row.locator(".percent").inner_text())
    assert row.locator(".bar").count() == (problem_type != "regression")


def test_a_file_with_too_few_labels_is_refused(tiny, open_page, folder):
    path = folder / "few.tflite"
    export_tflite(tiny, path)
    data = path.read_bytes()
    name = b"automobile\n"
    assert data.count(name) == 1
    path.write_bytes(data.replace(name, b"automobile "))
    problem = open_page(f"?model={path.name}").problem()
    assert problem == "few.tflite has 9 labels for 10 classes: export it again."


def test_one_thread_without_the_servers_headers(page, open_page, folder, cat, monkeypatch):
    expected = page.classify(cat)
    monkeypatch.setattr("web.serve.HEADERS", {})
    with serving(folder) as address:
        page = open_page(address=address)
        assert page.classify(cat) == pytest.approx(expected, abs=1e-6)
        assert "1 thread " in page.page.inner_text("#model")


def test_without_relaxed_simd(page, open_page, cat):
    expected = page.classify(cat)
    page = open_page(prepare=lambda page: run_first_in_worker(page, WITHOUT_RELAXED_SIMD))
    assert page.classify(cat) == pytest.approx(expected, abs=SAME_FILE)
    assert "1 thread " in page.page.inner_text("#model")


def test_the_code_of_the_docs(browser, folder, cat, tmp_path):
    text = (ROOT / "docs" / "web.md").read_text(encoding="utf-8")
    code = text.partition("```js\n")[2].partition("```")[0]
    (tmp_path / "app.js").write_text(code, encoding="utf-8", newline="\n")
    bundler = ROOT / "web" / "node_modules" / ".bin" / "esbuild"
    options = ["--bundle", "--format=esm", f"--outfile={folder / 'app.js'}", "--log-level=error"]
    paths = os.environ | {"NODE_PATH": str(ROOT / "web" / "node_modules")}
    subprocess.run([bundler, tmp_path / "app.js", *options], check=True, env=paths)
    (folder / "app.html").write_text(
        "<!doctype html><body><img src=examples/cat.jpg>", encoding="utf-8", newline="\n"
    )
    with serving(folder) as address:
        page = browser.new_page()
        page.goto(f"{address}app.html")
        probabilities = page.evaluate(
            "async () => Array.from(await (await import('/app.js')).classify(document.images[0]))"
        )
        page.close()
    expected = TFLiteClassifier(BUILT / "model.tflite").classify(cat, top_k=10)
    labels = TFLiteClassifier(BUILT / "model.tflite").labels
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert labels[max(range(10), key=probabilities.__getitem__)] == expected[0][0]

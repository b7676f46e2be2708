"""What `explain` draws, prints and rejects."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_poolformer import ImageTransform, PoolFormerBackbone, PoolFormerImageClassifier
from keras_poolformer.commands import explain
from keras_poolformer.images.drawing import LINE_HEIGHT, MARGIN
from keras_poolformer.inspection.contact_sheet import LEGEND_HEIGHT, PAIR_SIDE
from keras_poolformer.inspection.grad_cam import grad_cam, overlay

CIFAR = "poolformer_tiny_cifar10"


def drawn_pairs(path, count):
    """The photographs and overlays of a sheet with one or two of them."""
    with Image.open(path) as file:
        sheet = file.convert("RGB")
    step = 2 * PAIR_SIDE + 2 + MARGIN
    assert sheet.size == (
        MARGIN + count * step,
        PAIR_SIDE + LINE_HEIGHT + 2 * MARGIN + LEGEND_HEIGHT,
    )
    for left in (MARGIN + place * step for place in range(count)):
        boxes = (
            (x, MARGIN, x + PAIR_SIDE, MARGIN + PAIR_SIDE) for x in (left, left + PAIR_SIDE + 2)
        )
        yield tuple(np.asarray(sheet.crop(box)).astype(int) for box in boxes)


def test_the_picture_shows_what_the_model_saw_and_its_map(files, run, out, photographs):
    output = out / "sheet.png"
    status, printed, lines = run(
        "explain", files / "tiny.keras", *photographs[:2], "-o", output, "--layer", "P3"
    )
    assert (status, lines) == (0, [])
    assert printed.splitlines()[-1] == str(output)
    model = PoolFormerImageClassifier.from_preset(files / "tiny.keras")
    transform = ImageTransform()  # 224 pixels, as the picture has them
    maps = grad_cam(model, transform(photographs[:2]), layer="P3")
    for photo, cam, pair in zip(photographs, maps, drawn_pairs(output, 2), strict=False):
        pixels = transform.pixels(photo)
        assert np.array_equal(pair[0], pixels)
        assert np.abs(pair[1] - np.asarray(overlay(pixels, cam)).astype(int)).max() <= 1


@pytest.mark.slow
def test_small_inputs_are_shown_at_a_higher_resolution(run, out, photographs):
    """The same section, so that averaging it gives back what the model saw."""
    output = out / "sheet.png"
    assert run("explain", CIFAR, photographs[0], "-o", output)[0] == 0
    ((photograph, _),) = drawn_pairs(output, 1)
    seen = ImageTransform.from_preset(CIFAR).pixels(photographs[0])
    small = Image.fromarray(photograph.astype(np.uint8)).resize((64, 64), Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(small).astype(int) - seen).mean() < 2  # measured: 1.0
    assert np.abs(np.diff(photograph, axis=1)).mean() > 0


@pytest.mark.slow
def test_json_has_class_and_probability(run, out, photographs):
    arguments = ("explain", CIFAR, *photographs[:2], "-o", out / "a.png", "--json")
    predicted = json.loads(run("predict", CIFAR, *photographs[:2], "--json", "--top-k", 10)[1])
    for options, chosen in (
        ((), None),
        (("--class", "Dog"), "dog"),
    ):
        status, printed, _ = run(*arguments, "--overwrite", *options)
        report = json.loads(printed)
        assert (status, report["path"]) == (0, str(out / "a.png"))
        assert all((row["layer"], row["map"]) == ("P3", [8, 8]) for row in report["images"])
        for row, (image, top) in zip(report["images"], predicted.items(), strict=True):
            probabilities = {one["label"]: one["probability"] for one in top}
            label = chosen or top[0]["label"]
            assert (row["image"], row["label"]) == (image, label)
            assert row["probability"] == pytest.approx(probabilities[label], abs=1e-6)
    assert row["class"] == 5


def test_what_cannot_be_explained_is_refused(
    files, refusal, out, tmp_path, tiny_config, photographs, monkeypatch
):
    photo, output = photographs[0], ("-o", out / "a.png")
    message = refusal("explain", CIFAR, photo, *output, "--class", "catt")
    assert "a label or a number from 0 to 9. Did you mean 'cat'? Received: 'catt'" in message
    assert "Received: '10'" in refusal("explain", CIFAR, photo, *output, "--class", 10)
    assert "`layer` must be one of P2" in refusal("explain", CIFAR, photo, *output, "--layer", "P9")
    assert "no such file" in refusal("explain", CIFAR, tmp_path / "x.jpg", *output)
    assert "must end in .png" in refusal("explain", CIFAR, photo, "-o", out / "a.jpg")
    nowhere = out / "no" / "a.png"
    assert "not an existing folder" in refusal("explain", CIFAR, photo, "-o", nowhere)
    (tmp_path / "bad.png").write_bytes(b"no image")
    assert "not an image" in refusal("explain", CIFAR, tmp_path / "bad.png", *output)
    PoolFormerImageClassifier(tiny_config.replace(num_classes=0)).save(tmp_path / "x.keras")
    assert "must classify" in refusal("explain", tmp_path / "x.keras", photo, *output)
    PoolFormerBackbone(tiny_config).save(tmp_path / "y.keras")
    refusal("explain", tmp_path / "y.keras", photo, *output)
    twins = tiny_config.replace(labels=("crane", "owl", "crane"))
    PoolFormerImageClassifier(twins).save(tmp_path / "z.keras")
    message = refusal("explain", tmp_path / "z.keras", photo, *output, "--class", "crane")
    assert message.endswith("give one of [0, 2]")
    monkeypatch.setattr(explain, "MAX_IMAGES", 1)
    assert "at most 1 images" in refusal("explain", CIFAR, photo, photo, *output)


@pytest.mark.slow
def test_broken_images_are_reported_and_the_others_drawn(files, run, out, photographs):
    (out / "broken.png").write_bytes(b"oops")
    arguments = ("explain", files / "tiny.keras", photographs[0], out / "broken.png", "--json")
    for options, expected in (((), 1), (("--skip-broken", "--overwrite"), 0)):
        status, printed, (line,) = run(*arguments, "-o", out / "x.png", *options)
        assert status == expected
        (row,) = json.loads(printed)["images"]
        assert row["image"] == str(photographs[0])
        assert "broken.png" in line
    assert (out / "x.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_size_and_labels_replace_the_presets(run, out, tmp_path, photographs):
    """At 224 pixels the last stage has 7 x 7 places, as in the authors' figures."""
    labels = tmp_path / "labels.txt"
    labels.write_text(
        "".join(f"kind {index}\n" for index in range(10)), encoding="utf-8", newline="\n"
    )
    arguments = ("explain", CIFAR, photographs[0], "-o", out / "a.png", "--json", "--overwrite")
    for size, layer, places in ((224, "P5", [7, 7]), ("32x224", "P2", [8, 56])):
        status, printed, _ = run(*arguments, "--size", size, "--labels", labels)
        (row,) = json.loads(printed)["images"]
        assert (status, row["layer"], row["map"]) == (0, layer, places)
        assert row["label"] == f"kind {row['class']}"


@pytest.mark.slow
def test_a_picture_is_replaced_only_if_asked(refusal, run, out, photographs):
    output = out / "a.png"
    output.write_text("precious", encoding="utf-8", newline="\n")
    assert "exists already" in refusal("explain", CIFAR, photographs[0], "-o", output)
    assert output.read_text(encoding="utf-8") == "precious"
    assert run("explain", CIFAR, photographs[0], "-o", output, "--overwrite")[0] == 0
    assert len(list(drawn_pairs(output, 1))) == 1

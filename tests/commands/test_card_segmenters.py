"""`card` of a segmenter: a hub repository with its mIoU, and code that runs."""

import re
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from keras_poolformer import ImageTransform, PoolFormerSegmenter
from keras_poolformer.cli import main
from keras_poolformer.images.segmentation import segmentation_transform
from tests.export.segmenters import randomized
from tests.helpers import PHOTOS, relative_error
from tests.segmenters import LABELS, PALETTE, SHALLOW

TRANSFORM = segmentation_transform(64)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A segmenter as a repository, measured on two photographs."""
    folder, random = tmp_path_factory.mktemp("card"), np.random.default_rng(0)
    model = randomized(SHALLOW.replace(labels=LABELS, palette=PALETTE))
    model.transform = TRANSFORM
    model.save(folder / "m.keras")
    for kind in ("images", "masks"):
        (folder / "data" / kind).mkdir(parents=True)
    for photo in PHOTOS[-2:]:
        shutil.copy(photo, folder / "data" / "images")
        with Image.open(photo) as image:
            mask = random.integers(0, 5, (image.height, image.width))
        Image.fromarray(mask.astype(np.uint8)).save(folder / "data" / "masks" / f"{photo.stem}.png")
    arguments = ["card", f"{folder}/m.keras", "-o", f"{folder}/out", "--recipes", "fp32"]
    assert main([*arguments, "--data", f"{folder}/data", "--dataset", "noise"]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def text(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


def test_files(repository):
    names = {path.name for path in repository.iterdir()}
    preset = {"model.keras", "keras_poolformer.json", "labels.txt"}
    assert names == {"README.md", "mmsegmentation", "m_fp32.tflite", *preset}
    assert (repository / "labels.txt").read_text(encoding="utf-8").splitlines() == list(LABELS)
    assert ImageTransform.from_preset(repository) == TRANSFORM
    assert PoolFormerSegmenter.from_preset(repository).palette == PALETTE


def test_it_says_what_evaluate_measures(repository, text, run):
    header = yaml.safe_load(text.split("---")[1])
    (result,) = header["model-index"][0]["results"]
    assert result["task"]["type"] == header["pipeline_tag"] == "image-segmentation"
    (metric,) = result["metrics"]
    status, printed, _ = run("evaluate", repository, "--data", repository.parent / "data")
    assert status == 0
    miou, macc, pixels = re.findall(r"(\d+\.\d\d) %", printed)
    assert metric["type"] == "mean_iou"
    assert metric["value"] == pytest.approx(float(miou) / 100, abs=2e-4)
    assert f"| model.keras | {miou} % | {macc} % | {pixels} % |" in text
    assert "On 2 images of data:" in text and "| m_fp32.tflite |" in text


@pytest.mark.slow
def test_mmsegmentations_tensors_give_its_logits(repository):
    """In the re-implementation in PyTorch, which is compared with mmsegmentation itself."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    from conversion.semantic_fpn import build_segmenter, mmseg_name

    tensors = load_file(repository / "mmsegmentation" / "model.safetensors")
    module = build_segmenter(SHALLOW).eval()
    module.load_state_dict({name: tensors.pop(mmseg_name(name)) for name in module.state_dict()})
    assert not tensors
    images = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype(np.float32)
    with torch.inference_mode():
        logits = module(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))[-1]
    received = PoolFormerSegmenter.from_preset(repository).predict_on_batch(images)
    assert relative_error(received, logits.permute(0, 2, 3, 1).numpy()) <= 3e-6


@pytest.mark.slow
def test_its_code_runs(repository, text, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.chdir(repository)
    shutil.copy(PHOTOS[-1], repository / "photo.jpg")
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block, names)
    with Image.open("photo.jpg") as photo, Image.open("overlay.png") as overlay:
        assert photo.size == overlay.size == names["labels"].shape[::-1]
    printed = capsys.readouterr().out
    assert sum(
        float(line.split()[-1]) for line in printed.splitlines() if line.split()[0] in LABELS
    ) == pytest.approx(1)
    again = PoolFormerSegmenter.from_preset(repository / "mmsegmentation" / "model.pth")
    assert again.config.num_classes == SHALLOW.num_classes
    for name in ("photo.jpg", "overlay.png", "mmsegmentation/model.pth"):
        (repository / name).unlink()


@pytest.mark.slow
def test_class_folders_are_rejected(repository, numbered, out, refusal):
    arguments = ("card", repository, "-o", out / "x", "--recipes", "none", "--data", numbered)
    assert "is a segmenter, which is measured on images with masks" in refusal(*arguments)

"""Presets of segmenters: their files' names end in the first digits of their checksums."""

import hashlib
import io

import pytest

from keras_poolformer import PoolFormerBackbone, PoolFormerSegmenter
from keras_poolformer.cli import main
from keras_poolformer.sources import presets, resolve
from keras_poolformer.sources.segmenters import SEGMENTERS, SegmenterRelease
from keras_poolformer.support.errors import InputError
from keras_poolformer.variants import VARIANTS
from tests.helpers import TINY, relative_error
from tests.segmenters import checkpoint, noise, randomized_segmenter, run_torch

torch = pytest.importorskip("torch")

PRESET = "poolformer_s12_ade20k"
CONFIG = TINY.replace(num_classes=150, head="semantic_fpn", feature_norms=True)
META = {"CLASSES": tuple(f"class {n}" for n in range(150)), "PALETTE": [[0, 0, 0]] * 150}


@pytest.fixture
def module(site, web_file, monkeypatch, tmp_path):
    """A tiny network as if it were OpenMMLab's s12."""
    module, buffer = randomized_segmenter(CONFIG), io.BytesIO()
    torch.save({"meta": META, "state_dict": checkpoint(module)}, buffer)
    start = hashlib.sha256(buffer.getvalue()).hexdigest()[:8]
    release = SegmenterRelease("poolformer_s12", "20220501_115154", start, 36.68)
    site.files[f"/{release.file}"] = web_file(buffer.getvalue())
    monkeypatch.setitem(VARIANTS, "poolformer_s12", TINY)
    monkeypatch.setitem(SEGMENTERS, PRESET, release)
    monkeypatch.setattr(presets, "ADDRESS", site.url)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return module


def test_downloaded_and_loaded(module, site):
    model = PoolFormerSegmenter.from_preset(PRESET)
    images = noise(1, 64, 64, 3)
    assert relative_error(model(images), run_torch(module, images)["logits"]) <= 3e-6
    assert (model.labels[0], model.labels[-1], model.palette[1]) == (
        "wall",
        "flag",
        (180, 120, 120),
    )
    PoolFormerBackbone.from_preset(PRESET)
    assert len(site.asked()) == 1


def test_another_file_is_rejected(module, site, monkeypatch):
    release = SEGMENTERS[PRESET]
    other = release._replace(sha256_start="00000000")
    site.files[f"/{other.file}"] = site.files[f"/{release.file}"]
    monkeypatch.setitem(SEGMENTERS, PRESET, other)
    with pytest.raises(InputError, match="expected the sha256 that begins with 00000000"):
        resolve(PRESET).read()


def test_what_is_known_without_weights(module, site, capsys):
    model = PoolFormerSegmenter.from_preset(PRESET, load_weights=False)
    assert model.config.num_classes == 150
    assert main(["summary", PRESET]) == 0
    assert "150 classes, head semantic_fpn, 512 pixels" in capsys.readouterr().out
    assert site.requests == []

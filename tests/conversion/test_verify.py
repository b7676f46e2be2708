"""`python -m conversion`: the proof passes when it should, and only then."""

import json

import numpy as np
import pytest

from keras_poolformer import PoolFormerConfig, PoolFormerImageClassifier
from keras_poolformer.shipped import ASSETS
from keras_poolformer.sources import torch_source
from keras_poolformer.support.errors import InputError
from tests.helpers import randomized_module
from tests.segmenters import CONFIG as SEGMENTER
from tests.segmenters import (
    LABELS,
    randomized_segmenter,
    save_checkpoint,
)
from tests.segmenters import (
    checkpoint as mmseg_checkpoint,
)

torch = pytest.importorskip("torch")
oracles = pytest.importorskip("conversion.oracles")

from timm.models.metaformer import checkpoint_filter_fn  # noqa: E402

from conversion import __main__ as command_line  # noqa: E402
from conversion.verify import TOLERANCE, verify  # noqa: E402

CONFIG = PoolFormerConfig(depths=(1, 1, 2, 1), widths=(8, 16, 24, 32), num_classes=5)
PHOTO = ASSETS / "photos" / "chelsea.jpg"
HEADS = {"sail": "norm_pool", "hf": "norm_pool", "timm": "pool_norm"}


@pytest.fixture
def checkpoint(tmp_path):
    """A function that writes randomised weights in a layout."""

    def write(layout):
        oracle = oracles.build_oracle(CONFIG, layout)
        state = randomized_module(oracle.module).state_dict()
        if layout == "sail":
            state = {oracles.sail_name(name): tensor for name, tensor in state.items()}
        torch.save({"state_dict": state}, tmp_path / "weights.pth")
        return tmp_path / "weights.pth"

    return write


def run(*arguments):
    return command_line.main([str(one) for one in arguments])


def run_verify(*arguments):
    """Verifies on one photograph: all that are shipped take seconds."""
    return run("verify", *arguments, "--photos", PHOTO)


def test_sail_names_are_those_that_timm_knows():
    """timm's own reader of the authors' checkpoints judges our independent name map."""
    hf, timm = (oracles.build_oracle(CONFIG, layout).module for layout in ("hf", "timm"))
    sail = {oracles.sail_name(name): tensor for name, tensor in hf.state_dict().items()}
    timm.load_state_dict(checkpoint_filter_fn(sail, timm), strict=True)
    assert set(oracles.build_oracle(CONFIG, "sail").names) == set(sail)


@pytest.mark.first(1)
@pytest.mark.parametrize("layout", HEADS)
def test_verify_passes(checkpoint, capsys, layout):
    assert run_verify(checkpoint(layout)) == 0
    printed = capsys.readouterr().out
    assert "equal (tolerance 2e-06)" in printed
    for name in ("P2", "P3", "P4", "P5", "logits"):
        assert f"  {name}" in printed


def test_the_checkpoint_is_read_once(checkpoint, photographs, monkeypatch):
    paths = []

    def read(path, original=torch_source.read_checkpoint, **options):
        paths.append(path)
        return original(path, **options)

    monkeypatch.setattr(torch_source, "read_checkpoint", read)
    path = checkpoint("sail")
    assert run("verify", path, "--photos", photographs[0]) == 0
    assert paths == [path]


@pytest.mark.first(1)
@pytest.mark.parametrize("layout", ["hf", "timm"])
def test_the_other_head_compares_the_stages_only(checkpoint, layout):
    other = {"norm_pool": "pool_norm", "pool_norm": "norm_pool"}[HEADS[layout]]
    _, verification = verify(checkpoint(layout), [PHOTO], overrides={"head": other})
    assert set(verification.errors) == {"P2", "P3", "P4", "P5"}
    assert "logits not compared" in str(verification)


def test_a_new_classifier_compares_the_stages_only(checkpoint, capsys):
    assert run_verify(checkpoint("hf"), "--num-classes", 9) == 0
    assert "logits not compared" in capsys.readouterr().out


def test_a_backbone_without_a_head_compares_the_stages_only(checkpoint, capsys):
    path = checkpoint("hf")
    state = torch.load(path)["state_dict"]
    bare = {  # as transformers' PoolFormerModel names its weights
        name.removeprefix("poolformer."): tensor
        for name, tensor in state.items()
        if name.startswith("poolformer.")
    }
    torch.save(bare, path)
    assert run_verify(path) == 2
    assert "lacks norm.bias, norm.weight (without a head it loads as a backbone)" in (
        capsys.readouterr().err
    )
    assert run_verify(path, "--backbone") == 0
    assert "logits not compared" in capsys.readouterr().out


def test_verify_fails_when_the_models_differ(checkpoint, capsys):
    assert run_verify(checkpoint("hf"), "--activation", "gelu_tanh") == 0  # both have it
    path = checkpoint("timm")
    model, verification = verify(path, [PHOTO])
    assert verification.passed
    model.head.bias.assign_add(np.full(5, 1e-3, "float32"))
    from conversion.verify import compare
    from keras_poolformer.checkpoints.checkpoint import read_checkpoint

    oracle = oracles.build_oracle(CONFIG, "timm")
    oracle.load(read_checkpoint(path).tensors)
    errors = compare(model, oracle, np.ones((1, 64, 64, 3), "float32")).errors
    assert errors["logits"] > TOLERANCE >= errors["P5"]


def test_a_segmenter(tmp_path, capsys):
    path = save_checkpoint(randomized_segmenter(), tmp_path / "x.pth", CLASSES=LABELS)
    assert run_verify(path) == 0
    printed = capsys.readouterr().out
    for name in ("P2", "P5", "N2", "N5", "logits"):
        assert f"  {name}" in printed
    assert "labels of " in printed and "equal (tolerance 3e-06)" in printed
    assert run_verify(path, "--backbone") == 0
    assert "logits not compared" in capsys.readouterr().out
    assert run_verify(path, "--num-classes", 9) == 0
    assert run_verify(path, "--head", "norm_pool") == 2
    assert "only a model of the checkpoint's task" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"exactly its own tensors.*output_norms\.0\.bias"):
        module = {
            n: t for n, t in mmseg_checkpoint(randomized_segmenter()).items() if "norm0.b" not in n
        }
        oracles.build_oracle(SEGMENTER, "mmseg").load(module)


def test_convert_writes_the_model_and_its_provenance(checkpoint, tmp_path, photographs):
    output = tmp_path / "model.keras"
    path = checkpoint("sail")
    assert run("convert", path, "-o", output, "--photos", photographs[0]) == 0
    provenance = json.loads((tmp_path / "model.provenance.json").read_text(encoding="utf-8"))
    assert provenance["layout"] == "sail"
    assert max(provenance["relative_errors"].values()) <= TOLERANCE
    model = PoolFormerImageClassifier.from_preset(output)
    assert dict(model.provenance)["sha256"] == provenance["sha256"]


def test_a_failed_proof_leaves_no_file(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("conversion.verify.TOLERANCE", 0.0)
    assert (
        run("convert", checkpoint("sail"), "-o", tmp_path / "model.keras", "--photos", PHOTO) == 2
    )
    assert "differ" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pth"]


def test_timms_class_refuses_what_it_cannot_be(checkpoint, capsys):
    assert run_verify(checkpoint("timm"), "--activation", "relu") == 2
    assert "timm's class has activation=gelu or star_relu" in capsys.readouterr().err

"""docs/keras_hub.md: its Python blocks, in order, next to KerasHub."""

import numpy as np
import pytest

from tests.docs.reading import read
from tests.helpers import ROOT
from tests.hub.networks import outputs

DOCUMENT = ROOT / "docs" / "keras_hub.md"


# KerasHub writes the optimizer's state and reads it into an optimizer without variables.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
def test_every_block_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = [step for step in read(DOCUMENT.read_text("utf-8")) if step.kind == "python"]
    for block in blocks:
        exec(compile("\n" * (block.line - 1) + block.text, DOCUMENT.name, "exec"), names)
    assert len(blocks) == 5
    check_what_the_text_says(names)


def check_what_the_text_says(names):
    assert names["logits"].shape == (4, 10)
    x = np.random.default_rng(0).standard_normal((1, 64, 64, 3)).astype(np.float32)
    expected = outputs(names["tuned"], x)["outputs"]
    for name in ("again", "ours", "theirs"):
        assert np.array_equal(outputs(names[name], x)["outputs"], expected)
    for head, bias in (("classification_head", 0.0), ("box_head", -4.595)):
        layer = getattr(names["fresh"], head).prediction_layer
        assert np.allclose(layer.bias, bias, atol=1e-3)

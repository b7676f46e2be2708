"""docs/onnx.md: its Python block, next to ONNX Runtime and OpenVINO."""

import shutil

from keras_poolformer.shipped import ASSETS
from tests.docs.reading import read
from tests.helpers import ROOT, TOLERANCE, relative_error

DOCUMENT = ROOT / "docs" / "onnx.md"


def test_every_block_runs(tmp_path, monkeypatch):
    """Measured 3.5e-6 in ONNX Runtime, and 5e-7 in OpenVINO."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ASSETS / "photos" / "chelsea.jpg", "photo.jpg")
    (block,) = [step for step in read(DOCUMENT.read_text("utf-8")) if step.kind == "python"]
    names = {}
    exec(compile("\n" * (block.line - 1) + block.text, DOCUMENT.name, "exec"), names)
    for received, tolerance in (("of_onnx", 1e-5), ("of_openvino", TOLERANCE)):
        error = relative_error(names[received], names["logits"])
        print(f"{received}: {error:.1e}")
        assert error < tolerance

"""The benchmark in the browser: what needs no browser of it."""

import json

from benchmarks.web.contestants import CONTESTANTS, PAIRS
from benchmarks.web.tables import markdown
from tests.helpers import ROOT


def test_pairs_are_contestants_with_as_many_threads():
    for ours, peer in PAIRS:
        assert {ours, peer} <= set(CONTESTANTS)
        assert ours.threads == peer.threads
        assert (ours.engine, peer.engine) == ("litert", "onnxruntime")


def test_the_docs_have_the_published_figures():
    record = json.loads((ROOT / "docs" / "web_benchmark.json").read_text(encoding="utf-8"))
    assert markdown(record) in (ROOT / "docs" / "web.md").read_text(encoding="utf-8")

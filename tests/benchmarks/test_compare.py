"""A whole comparison of a tiny network, and what it refuses."""

import importlib.util
import itertools
import json
import shutil

import numpy as np
import pytest

from benchmarks import compare as command_line
from benchmarks.compare import compare
from benchmarks.contestants import CONTESTANTS, choose
from benchmarks.job import new_job, relative_error
from benchmarks.latency import checked_error
from benchmarks.processes import Worker
from benchmarks.tables import print_tables
from benchmarks.targets import TARGETS, check_targets
from keras_poolformer.support.errors import InputError, MissingExtraError
from keras_poolformer.variants import VARIANTS
from tests.benchmarks.conftest import small

NAMES = ["ours-fp32", "floor-fp32"]
VARIANT = "poolformer_s12"  # whose targets are checked


@pytest.fixture(scope="module")
def compared(tiny_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare") / "made"
    options = {"rounds": 6, "calls": 2, "folder": folder, "variant": VARIANT}
    return folder, compare(tiny_config, 32, NAMES, **options)


def test_results(compared):
    folder, found = compared
    ours, floor = found["contestants"]
    assert [ours["name"], floor["name"]] == NAMES
    assert ours["error"] < 1e-5
    assert floor["error"] is None
    assert floor["to_floor"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert ours["to_best_peer"] is None
    for row in (ours, floor):
        assert row["bytes"] == (folder / f"{row['name']}.tflite").stat().st_size
        assert len(row["rounds_ms"]) == 6
        assert 0 < row["ms"]["low"] <= row["ms"]["value"] <= row["ms"]["high"]
    quotients = np.divide(ours["rounds_ms"], floor["rounds_ms"])
    assert ours["to_floor"]["value"] == pytest.approx(np.median(quotients))
    assert json.loads((folder / "results.json").read_text(encoding="utf-8")) == found


def test_files_are_measured_where_they_were_copied(compared, tmp_path, capsys):
    folder = shutil.copytree(compared[0], tmp_path / "copied")
    options = ["--steps", "measure", "--output", str(folder), "--only", "ours-fp32"]
    status = command_line.main([*options, "--rounds", "6", "--calls", "1", "--no-throughput"])
    assert status == 0
    printed = capsys.readouterr().out
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert found["config"] == compared[1]["config"]
    assert command_line.main(["--results", str(folder / "results.json")]) == 0
    assert printed.startswith(capsys.readouterr().out)


def test_throughput_and_targets(compared):
    _, found = compared
    (row,) = found["throughput"]  # a floor has none
    assert row["name"] == "ours-fp32"
    assert row["batch"] in command_line.BATCHES
    assert len(row["rounds_ms"]) == 6
    judged = [target for target in found["targets"] if target["met"] is not None]
    assert [one["target"] for one in judged] == ["latency: ours-fp32 <= 1.03 x floor-fp32"]


def test_tables(compared, capsys):
    print_tables(compared[1])
    printed = capsys.readouterr().out
    assert "6 interleaved rounds of 2 calls; intervals hold the median with 96.9%" in printed
    for text in (*NAMES, "/ floor", "not measured", *(target.text for target in TARGETS[VARIANT])):
        assert text in printed


@pytest.mark.parametrize(
    ("value", "low", "verdict"),
    [(1.0, 0.9, "met"), (1.06, 1.02, "met by lower end only"), (1.06, 1.05, "not met")],
)
def test_a_target_met_by_noise_is_told_from_one_met(compared, capsys, value, low, verdict):
    rounds = {"ours-fp32": [low, low, value, value, value, 2.0], "floor-fp32": [1.0] * 6}
    print_tables(compared[1] | {"targets": check_targets({"latency": rounds}, VARIANT)})
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "1.03 x floor" in line]
    assert line.rpartition("|")[2].strip() == verdict


def test_every_target_names_contestants():
    assert TARGETS.keys() <= VARIANTS.keys()
    for target in itertools.chain.from_iterable(TARGETS.values()):
        for name in (target.contestant, target.reference):
            assert name in CONTESTANTS
            assert target.what != "throughput" or CONTESTANTS[name].throughput
    assert all(c.floor in CONTESTANTS for c in CONTESTANTS.values())


def test_a_wrong_network_is_refused(built):
    """A peer with other logits is no peer, however fast."""
    expected = np.load(built.expected)
    with Worker(built, CONTESTANTS["ours-fp32"], 1) as worker:
        assert checked_error(worker) < 1e-5
        np.save(built.expected, expected + 0.1 * abs(expected).max())
        try:
            with pytest.raises(InputError, match=r"ours-fp32 must be within 1e-05 of the Keras"):
                checked_error(worker)
        finally:
            np.save(built.expected, expected)


# Fewer channels and, for attention, whole heads; tokens of images of 64 pixels.
FAMILIES = {
    "poolformer_s12": {},
    "poolformerv2_s12": {},
    "identityformer_s12": {},
    "randformer_s12": {"num_tokens": (None, None, 16, 4)},
    "convformer_s18": {},
    "caformer_s18": {"widths": (8, 16, 32, 64)},
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", FAMILIES)
def test_pytorch_computes_the_same_logits_with_the_same_weights(variant, tmp_path):
    """Other sums in float32: see tests/test_parity_family.py."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("conversion.oracles")
    from benchmarks.build import build_tensorflow
    from benchmarks.engines import load_timm, to_nchw

    job = new_job(small(variant, **FAMILIES[variant]), 64, tmp_path)
    build_tensorflow(job, [])
    with torch.inference_mode():
        logits = load_timm(job)(to_nchw(job.images("normalized"))).numpy()
    error = relative_error(logits, np.load(job.expected))
    print(variant, error)
    assert error < 4e-6


def test_a_worker_that_dies_says_why(built):
    worker = Worker(built, CONTESTANTS["ours-fp16"], 1)  # which was not built
    with worker, pytest.raises(InputError, match=r"ours-fp16 failed: .*fp16.tflite.*more in"):
        worker.check()


def test_refusals(tiny_config, tmp_path, monkeypatch, capsys):
    with pytest.raises(InputError, match=r"`--only` must name some of ours-fp32.*'ours'"):
        choose(["ours"], tiny_config)
    with pytest.raises(InputError, match=r"`rounds` must be at least 6"):
        compare(tiny_config, 32, NAMES, rounds=5, folder=tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"keras-poolformer\[bench\]"):
        choose(["onnxruntime-fp32"], tiny_config)
    assert command_line.main(["--rounds", "2", "--output", str(tmp_path)]) == 2
    assert "`rounds` must be at least 6" in capsys.readouterr().err
    assert command_line.main(["--variant", "caformer_s18", "--publish"]) == 2
    assert "tables of poolformer_s12" in capsys.readouterr().err


def test_a_network_without_a_floor_has_the_other_contestants(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    config = VARIANTS["convformer_s18"]
    chosen = [contestant.name for contestant in choose([], config)]
    assert chosen == [name for name in CONTESTANTS if not name.startswith("floor")]
    with pytest.raises(InputError, match=r"mixes by sep_conv. Received: 'floor-fp32'"):
        choose(NAMES, config)
    assert [contestant.name for contestant in choose(NAMES, VARIANTS["randformer_s12"])] == NAMES

"""What `benchmark` prints and rejects."""

import json
import os
import re

import pytest

from tests.helpers import ROOT, run_python

QUICK = ("--runs", "2", "--threads", "1,2", "--workers", "2")


@pytest.mark.slow
def test_json(exports, run):
    files = [exports / "fp32.tflite", exports / "pixels.tflite"]
    status, printed, lines = run("benchmark", *files, *QUICK, "--json")
    assert (status, lines) == (0, [])
    report = json.loads(printed)
    assert list(report) == ["litert", "architecture", "cores", "runs", "files"]
    assert report["runs"] == 2
    for one, file in zip(report["files"], files, strict=True):
        assert list(one) == [
            "path",
            "file_bytes",
            "peak_memory_bytes",
            "latencies",
            "workers",
            "images_per_second",
            "operators",
            "partitions",
            "outside_xnnpack",
        ]
        assert (one["path"], one["file_bytes"]) == (str(file), file.stat().st_size)
        assert (one["workers"], one["partitions"]) == (2, 1)
        assert [latency["threads"] for latency in one["latencies"]] == [1, 2]
        for latency in one["latencies"]:
            names = ["threads", "min_ms", "p50_ms", "p90_ms", "p99_ms", "relative_speed"]
            assert list(latency) == names
    assert [one["outside_xnnpack"] for one in report["files"]] == [{}, {"CAST": 1}]


@pytest.mark.slow
def test_tables(exports, run):
    files = [exports / "fp32.tflite", exports / "pixels.tflite"]
    status, printed, lines = run("benchmark", *files, *QUICK)
    assert (status, lines) == (0, [])
    title, _, header, fp32, pixels, _, *latencies = printed.splitlines()
    assert "2 calls each" in title and "2 workers" in title
    columns = ["file", "MB", "peak memory MB", "images/s", "operators", "partitions"]
    assert re.split(" {2,}", header) == [*columns, "outside XNNPACK"]
    megabytes = files[0].stat().st_size / 1e6
    assert fp32.split()[:2] == [str(files[0]), f"{megabytes:.1f}"]
    assert fp32.endswith("  1  none") and pixels.endswith("  1  1 CAST")
    columns = ["file", "threads", "min ms", "p50 ms", "p90 ms", "p99 ms", "speed"]
    assert re.split(" {2,}", latencies[0]) == columns
    rows = [row.split() for row in latencies[1:]]
    assert [row[:2] for row in rows] == [[str(file), count] for file in files for count in "12"]
    assert [row[-1] for row in rows[:2]] == ["1.00x", "1.00x"]
    assert len({len(row) for row in latencies}) == 1  # in columns


def test_help_has_an_example(run):
    status, printed, lines = run("benchmark", "--help")
    assert (status, lines) == (0, [])
    assert "example: keras-poolformer benchmark" in printed
    for option in ("--threads", "--workers", "--runs", "--json"):
        assert option in printed


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--threads", "1,two", "Received: 'two'"),
        ("--threads", "1,", "Received: ''"),
        ("--threads", "0", "from 1. Received: '0'"),
        ("--threads", "5000", "from 1 to 1024. Received: 5000"),
        ("--workers", "1.5", "Received: '1.5'"),
        ("--workers", "5000", "from 1 to 1024. Received: 5000"),
        ("--runs", "0", "Received: '0'"),
        ("--runs", "²", "Received: '²'"),
    ],
)
def test_options_out_of_bounds(option, value, says, exports, refusal):
    assert says in refusal("benchmark", exports / "fp32.tflite", option, value)


def test_no_file(run):
    status, printed, (line,) = run("benchmark")
    assert (status, printed) == (2, "") and "FILE" in line


@pytest.mark.slow
def test_files_that_are_none(exports, refusal, tmp_path):
    good, bad = exports / "fp32.tflite", tmp_path / "m.tflite"
    assert f"{bad} must be a .tflite file. Received: no such file" == refusal("benchmark", bad)
    assert "Received: a directory" in refusal("benchmark", good, tmp_path)
    for content in (b"", b"no model", good.read_bytes()[: good.stat().st_size // 2]):
        bad.write_bytes(content)
        assert f"{bad} is not a usable TFLite model" in refusal("benchmark", good, bad, *QUICK)


CODE = "import sys; from keras_poolformer.cli import main; sys.exit(main())"


def test_it_needs_no_framework(exports, tmp_path):
    """Neither here nor in the process that measures memory."""
    for name in ("keras", "tensorflow"):
        (tmp_path / f"{name}.py").write_text(
            "raise RuntimeError('imported')", encoding="utf-8", newline="\n"
        )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    arguments = ("benchmark", exports / "fp32.tflite", *QUICK, "--json")
    done = run_python("-c", CODE, *arguments, env=environment)
    assert (done.returncode, done.stderr) == (0, "[1/1] measuring 1 file\n")
    assert json.loads(done.stdout)["files"][0]["peak_memory_bytes"] > 0


def test_the_runtime_that_is_missing_is_named():
    code = "import sys; sys.modules['ai_edge_litert'] = None; " + CODE
    done = run_python("-c", code, "benchmark", "m.tflite")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        "keras-poolformer benchmark: error: ai-edge-litert is not installed: "
        "`pip install 'keras-poolformer[runtime]'` installs it"
    )

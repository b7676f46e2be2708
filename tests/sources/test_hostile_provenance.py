""".keras files whose provenance is hostile: every command rejects them, and writes nothing."""

import json
import zipfile

import pytest

from keras_poolformer.cli import main

HOSTILE = (
    {"source": 5},
    {"step": "x", "source": "x"},
    {"step": 5},
    {"tensors": 3},
    {"hf_unused": 5},
    {"transform": {"size": 10**400}},
)


@pytest.mark.parametrize("provenance", HOSTILE, ids=str)
def test_every_command(provenance, archive, tmp_path, capsys):
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(archive) as original, zipfile.ZipFile(path, "w") as copy:
        for name in original.namelist():
            data = original.read(name)
            if name == "config.json":
                document = json.loads(data)
                document["config"]["provenance"] = provenance
                data = json.dumps(document)
            copy.writestr(name, data)
    output = tmp_path / "output"
    commands = (
        ("export", str(path), "-o", f"{output}.tflite"),
        ("card", str(path), "-o", str(output), "--recipes", "none"),
        ("convert", str(path), "-o", f"{output}.keras"),
        ("convert", str(path), "--to", "hf", "-o", str(output)),
        ("summary", str(path)),
    )
    for command in commands:
        assert main(command) == 2
        *_, line = capsys.readouterr().err.splitlines()
        assert line.startswith(f"keras-poolformer {command[0]}: error: ")
        assert [file.name for file in tmp_path.iterdir()] == ["x.keras"]

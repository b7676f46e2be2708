""".keras files that nobody has checked: refused in one line, and no code of theirs is run."""

import json
import os
import sys
import zipfile

import keras
import pytest

from keras_poolformer import ImageTransform, PoolFormerBackbone, PoolFormerImageClassifier
from keras_poolformer.support.errors import InputError
from tests.helpers import error_line


def edited(archive, path, edit):
    """Writes a copy of an archive after `edit(config)` has changed its config.json."""
    with zipfile.ZipFile(archive) as original, zipfile.ZipFile(path, "w") as copy:
        for name in original.namelist():
            data = original.read(name)
            if name == "config.json":
                config = json.loads(data)
                edit(config)
                data = json.dumps(config).encode()
            copy.writestr(name, data)
    return path


def refused(path, *classes):
    """The one line with which a .keras file is refused."""
    for model_class in classes or (PoolFormerImageClassifier, PoolFormerBackbone):
        message = error_line(model_class.from_preset, path)
    return message


@pytest.mark.parametrize("keep", [0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_archive(keep, archive, tmp_path):
    data = archive.read_bytes()
    (tmp_path / "x.keras").write_bytes(data[: int(len(data) * keep)])
    assert "not a valid .keras file" in refused(tmp_path / "x.keras")


def test_an_archive_that_is_none(tmp_path):
    (tmp_path / "x.keras").write_text("no zip", encoding="utf-8", newline="\n")
    assert "not a valid .keras file" in refused(tmp_path / "x.keras")
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as file:
        file.writestr("other.txt", "no model")
    assert "saved by this package" in refused(tmp_path / "x.keras")
    (tmp_path / "x.keras").unlink()
    (tmp_path / "x.keras").mkdir()
    assert "directory" in refused(tmp_path / "x.keras")


@pytest.mark.parametrize("part", ["model.weights.h5", "config.json"])
def test_a_damaged_part_of_an_archive(part, archive, tmp_path):
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        info = file.getinfo(part)
    data[info.header_offset + 200 + info.compress_size // 2] ^= 0xFF
    (tmp_path / "x.keras").write_bytes(data)
    refused(tmp_path / "x.keras")


def test_an_archive_without_its_weights(archive, tmp_path):
    with zipfile.ZipFile(archive) as original:
        parts = {name: original.read(name) for name in original.namelist()}
    for weights in (None, b"", b"no hdf5"):
        with zipfile.ZipFile(tmp_path / "x.keras", "w") as file:
            file.writestr("large enough", bytes(100_000))
            file.writestr("config.json", parts["config.json"])
            if weights is not None:
                file.writestr("model.weights.h5", weights)
        assert "weights cannot be read" in refused(tmp_path / "x.keras")


def test_an_archive_of_another_model(tmp_path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(tmp_path / "x.keras")
    assert "saved by this package" in refused(tmp_path / "x.keras")


@pytest.mark.first(2)
@pytest.mark.parametrize(
    "described",
    [
        {"module": "os", "class_name": "system", "registered_name": "system", "config": "touch X"},
        {"module": "os", "class_name": "system", "registered_name": None, "config": {}},
        {"module": "builtins", "class_name": "eval", "registered_name": "eval", "config": {}},
        {"module": "hostile_module", "class_name": "Thing", "registered_name": "Thing"},
    ],
)
def test_an_archive_that_names_other_code(described, archive, tmp_path, monkeypatch):
    marker = tmp_path / "X"
    (tmp_path / "hostile_module.py").write_text(
        f"open({str(marker)!r}, 'w').close()", encoding="utf-8", newline="\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "system", lambda command: marker.touch())

    def edit(config):
        config.clear()
        config.update(described)

    assert "saved by this package" in refused(edited(archive, tmp_path / "x.keras", edit))
    # The names beside ours are not even looked at.
    hidden = {key: described[key] for key in ("module", "class_name")}
    path = edited(archive, tmp_path / "x.keras", lambda config: config.update(hidden))
    assert type(PoolFormerImageClassifier.from_preset(path)) is PoolFormerImageClassifier
    assert "hostile_module" not in sys.modules and not marker.exists()


def test_code_inside_an_archives_values_stays_text(archive, tmp_path):
    """Keras would deserialise this dictionary into a function."""
    lambda_layer = {"module": "keras.layers", "class_name": "Lambda", "config": {"function": "x"}}
    path = edited(
        archive,
        tmp_path / "x.keras",
        lambda config: config["config"]["config"].update(activation=lambda_layer),
    )
    assert "`activation` must be one of" in refused(path)


HOSTILE = [
    (("config",), None, "saved by this package"),
    (("config",), [], "saved by this package"),
    (("registered_name",), 5, "saved by this package"),
    (("registered_name",), "keras_poolformer>Foo", "Foo"),
    (("registered_name",), "keras_poolformer>Mlp", "Mlp"),
    (("config", "config"), [1], "saved by this package"),
    (("config", "config"), {"foo": 1}, "no field `foo`"),
    (("config", "config", "depths"), 5, "depths"),
    (("config", "config", "depths"), [2, 1, 1, 1], "weights cannot be read"),
    (("config", "config", "depths"), [10**9, 1, 1, 1], "depths"),
    (("config", "config", "widths"), [8, 8, 16, float("nan")], "NaN is not a JSON number"),
    (("config", "config", "widths"), [8, 8, 16, 24], "weights cannot be read"),
    (("config", "config", "strides"), [-4, 2, 2, 2], "strides"),
    (("config", "config", "activation"), ["gelu"], "activation"),
    (("config", "config", "head"), {}, "head"),
    (("config", "config", "labels"), [1, 2, 3], "labels"),
    (("config", "config", "labels"), ["cat"], "labels"),
    (("config", "config", "use_layer_scale"), "no", "use_layer_scale"),
    (("config", "dtype", "config", "name"), "float31", "dtype"),
    (("config", "dtype", "config", "name"), ["float32"], "dtype"),
    (("config", "dtype"), None, "saved by this package"),
    (("config", "provenance"), "somewhere", "saved by this package"),
]


@pytest.mark.parametrize(("place", "value", "says"), HOSTILE)
def test_an_archive_with_hostile_values(place, value, says, archive, tmp_path):
    def edit(config):
        for key in place[:-1]:
            config = config[key]
        config[place[-1]] = value

    message = refused(edited(archive, tmp_path / "x.keras", edit), PoolFormerImageClassifier)
    assert says in message


def test_an_archive_with_a_hostile_transform(archive, tmp_path):
    for value, says in (([1], "must be an object"), ({"size": "x"}, "size"), ({"foo": 1}, "foo")):
        path = edited(
            archive,
            tmp_path / "x.keras",
            lambda config, value=value: config["config"]["provenance"].update(transform=value),
        )
        with pytest.raises(InputError, match=says):
            ImageTransform.from_preset(path)


def test_a_description_larger_than_the_file_is_refused_before_it_costs_memory(archive, tmp_path):
    with zipfile.ZipFile(archive) as original:
        parts = {name: original.read(name) for name in original.namelist()}
    document = json.loads(parts["config.json"])
    document["config"]["config"]["widths"] = [8, 8, 16, 16_384]
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as file:
        for name, part in (parts | {"config.json": json.dumps(document).encode()}).items():
            file.writestr(name, part)
    assert "describes 2,1" in refused(tmp_path / "x.keras")


def test_infinite_weights_in_a_keras_file_are_named(archive, tmp_path):
    model = PoolFormerImageClassifier.from_preset(archive)
    model.head.bias.assign([0.0, float("inf"), 0.0])
    model.save(tmp_path / "x.keras")
    assert "head/bias must hold finite weights" in refused(tmp_path / "x.keras")

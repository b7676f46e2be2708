"""Small files that claim gigabytes: rejected at once, and none of it is allocated."""

import io
import json
import os
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from keras_poolformer import ImageTransform, PoolFormerBackbone, PoolFormerImageClassifier
from keras_poolformer.runtime.description import DESCRIPTION, LABELS, read_description
from keras_poolformer.support.errors import InputError

ZEROS = bytes(96 * 2**20)
MOST = 48 * 2**20  # bytes; every bomb here unpacks to more
OTHER_METHODS = (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def rejection(read, path):
    """The line with which a file is rejected, after the memory that it took is measured."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * os.path.getsize(path) + MOST  # noqa: PTH202
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    return str(caught.value)


def parts_of(archive):
    with zipfile.ZipFile(archive) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(path, parts, method=zipfile.ZIP_STORED, begins=b""):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    path.write_bytes(begins + buffer.getvalue())
    return path


def with_claimed_size(path, name, size):
    """Makes an archive lie about the size of an entry, in both places that name it."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        local = file.getinfo(name).header_offset
    central = data.rindex(name.encode()) - 46
    data[local + 22 : local + 26] = data[central + 24 : central + 28] = size.to_bytes(4, "little")
    path.write_bytes(data)
    return path


# ---------------------------------------------------------------------------------------
# Zip


@pytest.mark.parametrize("entry", ["config.json", "model.weights.h5"])
def test_an_entry_that_unpacks_to_more_than_the_file(entry, archive, tmp_path):
    path = zipped(tmp_path / "x.keras", parts_of(archive) | {entry: ZEROS}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**18
    assert f"{entry!r} must have at most" in rejection(PoolFormerImageClassifier.from_preset, path)
    with_claimed_size(path, entry, 1000)
    message = rejection(PoolFormerImageClassifier.from_preset, path)
    assert "Bad CRC-32" in message or "JSON" in message or "weights cannot be read" in message


@pytest.mark.parametrize("entry", [DESCRIPTION, LABELS])
def test_a_description_that_unpacks_to_more_than_the_file(entry, tmp_path):
    parts = {DESCRIPTION: b"{}", LABELS: b"cat\n"} | {entry: ZEROS}
    path = zipped(tmp_path / "x.tflite", parts, zipfile.ZIP_DEFLATED, begins=bytes(16) + b"TFL3")
    assert f"{entry!r} must have at most" in rejection(read_description, path)


@pytest.mark.parametrize("method", OTHER_METHODS)
def test_methods_whose_output_python_cannot_bound(method, archive, tmp_path):
    """Their size is a claim, and zipfile unpacks a whole block whatever is claimed."""
    path = zipped(tmp_path / "x.keras", parts_of(archive), method)
    assert "stored or deflated" in rejection(PoolFormerImageClassifier.from_preset, path)
    path = zipped(tmp_path / "x.tflite", {DESCRIPTION: b"{}"}, method)
    assert "stored or deflated" in rejection(read_description, path)


def test_more_labels_than_a_model_can_have(tmp_path):
    text = json.dumps({"recipe": "fp32", "outputs": "logits", "transform": {}})
    parts = {DESCRIPTION: text, LABELS: b"\n" * 2_000_000}
    path = zipped(tmp_path / "x.tflite", parts, zipfile.ZIP_DEFLATED)
    assert "at most 1,000,000 lines" in rejection(read_description, path)


def test_a_directory_of_a_hundred_thousand_entries(tmp_path):
    path = zipped(tmp_path / "x.keras", {"x": b""})
    data = path.read_bytes()
    begin, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    directory = data[begin:end] * 100_000
    size = len(directory).to_bytes(4, "little")
    path.write_bytes(data[:begin] + directory + data[end : end + 12] + size + data[end + 16 :])
    message = rejection(ImageTransform.from_preset, path)
    assert "directory has more than 1,048,576 bytes" in message


def test_two_entries_of_one_name(archive, tmp_path):
    parts = parts_of(archive)
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as file:
        for name, data in parts.items():
            file.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("config.json", parts["config.json"])
    assert "two entries have the same name" in rejection(
        ImageTransform.from_preset, tmp_path / "x.keras"
    )


def test_a_deflated_keras_file_is_read(archive, tmp_path, images):
    path = zipped(tmp_path / "x.keras", parts_of(archive), zipfile.ZIP_DEFLATED)
    received = PoolFormerImageClassifier.from_preset(path)(images)
    np.testing.assert_array_equal(received, PoolFormerImageClassifier.from_preset(archive)(images))


def encrypted(data, place):
    data[place + 6] |= 1


def of_another_method(data, place):
    data[place + 8] = 99


def patched(data, place):
    data[place + 6] |= 0x20


@pytest.mark.parametrize("damage", [encrypted, of_another_method, patched])
def test_features_of_zip_that_are_not_needed(damage, archive, tmp_path):
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        local = file.getinfo("config.json").header_offset
    damage(data, local)
    damage(data, data.rindex(b"config.json") - 46 + 2)  # its fields lie two bytes further on
    (tmp_path / "x.keras").write_bytes(data)
    message = rejection(ImageTransform.from_preset, tmp_path / "x.keras")
    assert "stored or deflated" in message or "not a valid .keras file" in message


def test_a_stream_that_is_damaged(archive, tmp_path):
    path = zipped(tmp_path / "x.keras", parts_of(archive), zipfile.ZIP_DEFLATED)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        info = file.getinfo("config.json")
    begin = info.header_offset + 30 + len("config.json")
    for offset in range(0, info.compress_size, info.compress_size // 12):
        data = bytearray(whole)
        data[begin + offset] ^= 0xFF
        path.write_bytes(data)
        rejection(ImageTransform.from_preset, path)


# ---------------------------------------------------------------------------------------
# HDF5


def with_weights(archive, path, edit):
    """A copy of an archive whose HDF5 file was edited."""
    parts = parts_of(archive)
    buffer = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(buffer, "r+") as file:
        edit(file)
    return zipped(path, parts | {"model.weights.h5": buffer.getvalue()})


BIAS = "layers/dense/vars/1"
HUGE = (2**28,)


def replace(file, **options):
    del file[BIAS]
    file.create_dataset(BIAS, **options)


def external_link(file):
    del file[BIAS]
    file[BIAS] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(file):
    del file[BIAS]
    file[BIAS] = h5py.SoftLink("/layers/dense/vars/0")


def virtual(file):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (3,))
    del file[BIAS]
    file.create_virtual_dataset(BIAS, layout)


def cycle(file):
    file["layers/dense/vars/2"] = file["layers"]


BOMBS = {
    "never written": lambda file: replace(file, shape=HUGE, dtype="f4"),
    "chunks": lambda file: replace(file, shape=HUGE, dtype="f4", chunks=(2**20,)),
    "compressed": lambda file: replace(file, data=np.zeros(2**24, "f4"), compression="gzip"),
    "one chunk": lambda file: replace(file, data=np.zeros(3, "f4"), chunks=(3,)),
    "external": lambda file: replace(
        file, shape=HUGE, dtype="f4", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)]
    ),
    "fixed strings": lambda file: replace(file, shape=(3,), dtype=f"S{2**28}"),
    "strings": lambda file: replace(file, data=["a", "b", "c"], dtype=h5py.string_dtype()),
    "no shape": lambda file: replace(file, data=h5py.Empty("f4")),
    "wide": lambda file: replace(file, data=np.zeros((3, 1), "f4")),
    "attributes": lambda file: file[BIAS].attrs.create("dtype", np.zeros(2000, "f8")),
    "external link": external_link,
    "soft link": soft_link,
    "virtual": virtual,
    "cycle": cycle,
    "missing": lambda file: file.pop(BIAS),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_hdf5_that_keras_does_not_write(bomb, archive, tmp_path):
    path = with_weights(archive, tmp_path / "x.keras", BOMBS[bomb])
    assert "weights cannot be read: " in rejection(PoolFormerImageClassifier.from_preset, path)


def test_many_blocks_in_a_small_file_are_not_built(archive, tmp_path, monkeypatch):
    parts = parts_of(archive)
    document = json.loads(parts["config.json"])
    document["config"]["config"]["depths"] = [509, 1, 1, 1]
    parts |= {"config.json": json.dumps(document), "padding": bytes(2**20)}
    path = zipped(tmp_path / "x.keras", parts)
    monkeypatch.setattr(PoolFormerBackbone, "__init__", lambda *_, **__: pytest.fail("it is built"))
    message = rejection(PoolFormerImageClassifier.from_preset, path)
    assert "weights of shape" in message and "weights cannot be read" in message


@pytest.mark.parametrize("source", ["archive", "folder", "config.json"])
def test_an_architecture_far_larger_than_its_file_is_not_built(source, archive, hub, tmp_path):
    """`load_weights=False` would allocate what a hostile description asks for."""
    widths = [8, 8, 16, 16_384]
    if source == "config.json":
        config = json.loads((hub / "labelled/config.json").read_text(encoding="utf-8"))
        (tmp_path / "config.json").write_text(
            json.dumps(config | {"hidden_sizes": widths}), encoding="utf-8", newline="\n"
        )
        path = tmp_path
        (path / "model.safetensors").write_bytes((hub / "labelled/model.safetensors").read_bytes())
    else:
        parts = parts_of(archive)
        document = json.loads(parts["config.json"])
        config = document["config"]["config"]
        config["widths"] = widths
        path = zipped(tmp_path / "model.keras", parts | {"config.json": json.dumps(document)})
        if source == "folder":
            path = tmp_path
            (path / "keras_poolformer.json").write_text(
                json.dumps({"config": config}), encoding="utf-8", newline="\n"
            )
    with pytest.raises(InputError, match="describes 2,1"):
        PoolFormerImageClassifier.from_preset(path, load_weights=False)

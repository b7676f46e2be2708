"""Hostile files cost little time and memory, and odd ones one line."""

import json
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile

import pytest

from keras_poolformer.checkpoints.checkpoint import read_checkpoint
from keras_poolformer.checkpoints.reading.pickles import MAX_INSTRUCTIONS, MAX_PICKLE_BYTES
from keras_poolformer.support.errors import InputError
from tests.helpers import posix

MEBIBYTE = 2**20
HEAD = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {})]
PEAK = """
import re, sys
from pathlib import Path
import safetensors
from keras_poolformer.checkpoints.checkpoint import read_checkpoint


def peak():  # (ru_maxrss would be that of the process that started this one)
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])


before = peak()
try:
    read_checkpoint(sys.argv[1])
    print("read")
except ValueError as error:
    print(error)
print(peak() - before)
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def peak(path):
    """(what reading said, bytes of memory that it took) in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True
    )
    said, memory = done.stdout.splitlines()
    return said, int(memory) * 1024


def legacy(path, stream):
    path.write_bytes(b"".join(HEAD) + stream)


def dictionaries(path):
    """16 MiB of empty dictionaries, each remembered, in each of three pickles."""
    part = b"\x80\x02" + b"}\x94" * (MAX_PICKLE_BYTES // 2)
    path.write_bytes(HEAD[0] + HEAD[1] + 3 * part)


def pairs(path):
    """One list of 10,000 pairs, made a dictionary 100,000 times."""
    key_value = b"".join(b"X\x05\x00\x00\x00%05dK\x01\x86" % i for i in range(10_000))
    listed = b"](" + key_value + b"e"
    head = b"\x80\x02ccollections\nOrderedDict\nq\x00" + listed + b"\x85q\x010"
    legacy(path, head + b"h\x00h\x01R" * 100_000 + b".")


def long_name(path):
    """An entry with a name of 1 MiB, which holds 100,000 dictionaries."""
    inner = b"".join(b"X\x05\x00\x00\x00%05d}" % i for i in range(100_000))
    name = b"X" + struct.pack("<I", MEBIBYTE) + b"n" * MEBIBYTE
    stream = b"\x80\x02}(" + name + b"}(" + inner + b"uu."
    legacy(path, stream + pickle.dumps([], 2))


def header(path):
    """A .safetensors file that is nothing but a header of 12 MiB."""
    entry = '"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    text = b"{" + ",".join(entry % i for i in range(12 * MEBIBYTE // 60)).encode() + b"}"
    path.write_bytes(struct.pack("<Q", len(text)) + text)


def entries(path):
    """A zip archive of 200,000 entries."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"")
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    record, end = data[start : data.index(b"PK\x05\x06")], bytearray(data[-22:])
    directory = record * 200_000
    end[8:12] = b"\xff\xff\xff\xff"
    end[12:16] = struct.pack("<I", len(directory))
    path.write_bytes(data[:start] + directory + end)


@pytest.mark.first(2)
@linux
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (dictionaries, f"more than {MAX_INSTRUCTIONS} values"),
        (pairs, "is corrupt: its pickled part"),
        (long_name, "holds no tensors"),
        (header, "a header of"),
        (entries, "its directory has more than"),
    ],
)
def test_hostile_files_take_little_memory(tmp_path, make, said):
    make(tmp_path / "x.pth")
    message, memory = peak(tmp_path / "x.pth")
    size = (tmp_path / "x.pth").stat().st_size
    print(f"{make.__name__}: {size / MEBIBYTE:.1f} MiB -> {memory / MEBIBYTE:.0f} MiB")
    assert said in message
    assert memory < 2 * size + 200 * MEBIBYTE


@pytest.mark.first(3)
@linux
@pytest.mark.parametrize("format", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_honest_files_take_twice_their_size(tmp_path, format, dtype, save):
    torch = pytest.importorskip("torch")
    tensors = {f"w{i}": torch.ones(MEBIBYTE, dtype=getattr(torch, dtype)) for i in range(20)}
    path = save(tensors, tmp_path / "x.pth", format)
    said, memory = peak(path)
    size = path.stat().st_size
    print(f"{format} {dtype}: {size / MEBIBYTE:.1f} MiB -> {memory / MEBIBYTE:.0f} MiB")
    assert said == "read"
    assert memory < 2 * size + 25 * MEBIBYTE


def test_an_index_of_many_shards_is_read_in_linear_time(tmp_path, seeded, save, monkeypatch):
    """Shards times names would be 2,000 x 100,000 comparisons, most of a minute."""
    from keras_poolformer.checkpoints.reading import readers
    from keras_poolformer.checkpoints.reading.weight_files import find_weight_files

    names = [f"{i % 2000}" for i in range(100_000)]
    for name in set(names):
        (tmp_path / name).touch()
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {str(i): n for i, n in enumerate(names)}}),
        encoding="utf-8",
        newline="\n",
    )
    monkeypatch.setattr(readers._Reading, "add", lambda *args: {})
    started = time.process_time()
    with pytest.raises(InputError, match="lacks '0'"):
        read_checkpoint(tmp_path)
    print(f"{time.process_time() - started:.2f} s")
    files = find_weight_files(tmp_path)
    assert len(files.paths) == len(files.index) == 2000
    assert sum(map(len, files.index.values())) == 100_000


def test_a_shard_with_a_name_of_300_letters(tmp_path, refusal):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "x" * 300}}), encoding="utf-8", newline="\n")
    assert "which is missing" in refusal(tmp_path)
    with pytest.raises(InputError, match="File name too long"):
        read_checkpoint(tmp_path / ("x" * 300))


def test_a_tensor_of_65_dimensions(tmp_path, refusal):
    entry = {"dtype": "F32", "shape": [1] * 65, "data_offsets": [0, 4]}
    text = json.dumps({"a\x1b[31m\nb": entry}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    message = refusal(path)
    assert r"'a\x1b[31m\nb' has 65 dimensions" in message


@posix
@pytest.mark.parametrize("name", ["x.pth", "model.safetensors", "config.json"])
def test_pipes_are_refused_at_once(tmp_path, name):
    os.mkfifo(tmp_path / name)
    from keras_poolformer import sources

    with pytest.raises(InputError, match=r"not a regular file|without weights"):
        read_checkpoint(tmp_path / name if name.startswith("x") else tmp_path)
    if name == "config.json":
        with pytest.raises(InputError, match="not a regular file"):
            sources.resolve(tmp_path)


@posix
def test_devices_are_refused_at_once(tmp_path, refusal):
    (tmp_path / "x.pth").symlink_to("/dev/zero")
    assert "not a regular file" in refusal(tmp_path / "x.pth")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "x.pth"])
def test_files_without_a_byte(tmp_path, name, refusal):
    (tmp_path / name).touch()
    assert "is empty" in refusal(tmp_path / name)


def test_a_file_that_changes_while_it_is_read(tmp_path, weights, save, refusal):
    path = save(weights, tmp_path / "x.pth")

    def append(done, total):
        with path.open("ab") as file:
            file.write(b"x")

    assert "changed while it was read" in refusal(path, progress=append)

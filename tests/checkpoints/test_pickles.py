"""Hostile and odd pickles. Nothing that a file names may be imported, looked up or called."""

import copyreg
import os
import pickle
import struct
import sys
import time
import tracemalloc

import pytest

from keras_poolformer.checkpoints.checkpoint import read_checkpoint
from keras_poolformer.checkpoints.reading import pickles

PROTO = b"\x80\x02"


def text(value):
    """BINUNICODE."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def name(module, attribute):
    """GLOBAL."""
    return f"c{module}\n{attribute}\n".encode()


def number(value):
    """LONG1."""
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def sequence(*items):
    """A tuple."""
    return b"(" + b"".join(items) + b"t"


def storage(kind=None, key="0", numel=4, label="storage"):
    """A persistent id as the zip format has it."""
    kind = kind or name("torch", "FloatStorage")
    return sequence(text(label), kind, text(key), text("cpu"), number(numel)) + b"Q"


def tensor(offset=0, size=(2, 2), stride=(2, 1), place=None, tail=b"\x89N"):
    """A call of _rebuild_tensor_v2."""
    shape = sequence(*map(number, size)), sequence(*map(number, stride))
    arguments = sequence(place or storage(), number(offset), *shape, tail)
    return name("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def state(**values):
    """A whole stream: a dict of values that are written in opcodes."""
    items = b"".join(text(key) + value for key, value in values.items())
    return PROTO + b"}(" + items + b"u."


def test_the_helpers_here_write_what_is_read(tmp_path, archive):
    path = archive(tmp_path / "x.pth", state(w=tensor()))
    assert read_checkpoint(path).tensors["w"].tolist() == [[1, 2], [3, 4]]
    inert = {"x": name("torch", "float32"), "y": number(3)}
    path = archive(tmp_path / "x.pth", state(**inert, w=tensor(1, (3,), (1,))))
    assert read_checkpoint(path).tensors["w"].tolist() == [2, 3, 4]


# Instructions that reach outside


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (name("os", "system") + sequence(text("touch {marker}")) + b"R", "os.system"),
        (name("posix", "system") + sequence(text("touch {marker}")) + b"R", "posix.system"),
        (name("__builtin__", "eval") + sequence(text("1")) + b"R", "__builtin__.eval"),
        (b"\x8c\x02os\x8c\x06system\x93" + sequence(text("touch {marker}")) + b"R", "os.system"),
        (b"\x8c\x05torch\x8c\x0c_utils.x.y.z\x93", "torch._utils.x.y.z"),
        (b"(" + text("touch {marker}") + b"ios\nsystem\n", "pickle instruction"),
        (b"(" + name("collections", "OrderedDict") + b"o", "pickle instruction"),
        (b"\x82\x01", "pickle instruction"),
        (b"\x83\x01\x00", "pickle instruction"),
        (b"\x84\x01\x00\x00\x00", "pickle instruction"),
        (b"Pstorage\n", "pickle instruction"),
        (b"\x96" + bytes(7) + b"\x7f", "pickle instruction"),
        (b"\x97", "pickle instruction"),
        (text("storage") + b"Q", "outside object"),
        (sequence(text("module"), text("a"), text("b"), text("c"), text("d")) + b"Q", "outside"),
        (b"c" + b"os\x1b[2J" + b"\nsys\xc2\x85tem\n", "\\x1b"),
        (b"c" + b"a" * 500 + b"\nb\n", "..."),
    ],
)  # fmt: skip
def test_instructions_that_reach_outside(tmp_path, container, stream, said, refusal):
    marker = tmp_path / "ran"
    command = f"touch {marker}".encode()
    stream = stream.replace(text("touch {marker}"), text(command.decode()))
    assert said in refusal(container(tmp_path / "x.pth", PROTO + stream + b"."))
    assert not marker.exists()


def test_a_module_on_the_path_is_not_imported(tmp_path, monkeypatch, archive, refusal):
    marker = tmp_path / "ran"
    (tmp_path / "innocent.py").write_text(
        f"open({str(marker)!r}, 'w')\nclass Net: pass\n", encoding="utf-8", newline="\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = archive(tmp_path / "x.pth", PROTO + name("innocent", "Net") + b")\x81.")
    assert "innocent.Net" in refusal(path)
    assert "innocent" not in sys.modules and not marker.exists()


def test_the_extension_registry_and_its_cache_are_not_asked(
    tmp_path, monkeypatch, refusal, archive
):
    # Any library in the process may have registered a code; the cache then bypasses find_class.
    marker = tmp_path / "ran"
    copyreg.add_extension("os", "system", 0x77)
    try:
        monkeypatch.setitem(copyreg._extension_cache, 0x77, os.system)
        stream = PROTO + b"\x82\x77" + sequence(text(f"touch {marker}")) + b"R."
        assert "instruction" in refusal(archive(tmp_path / "x.pth", stream))
    finally:
        copyreg.remove_extension("os", "system", 0x77)
    assert not marker.exists()


# Misused stand-ins

ORDERED = name("collections", "OrderedDict")
NAMESPACE = name("argparse", "Namespace")
REBUILD = name("torch._utils", "_rebuild_tensor_v2")
PARAMETER = name("torch._utils", "_rebuild_parameter")
STATE = b"}" + text("__class__") + name("argparse", "Namespace") + b"s"


@pytest.mark.parametrize(
    "stream",
    [
        REBUILD + b")R",
        REBUILD + sequence(number(1), number(2), b")", b")") + b"R",
        REBUILD + b"NR",
        REBUILD + STATE + b"b",
        REBUILD + b"N" + STATE + b"\x86b",
        PARAMETER + b")R",
        PARAMETER + sequence(text("x")) + b"R",
        ORDERED + sequence(number(3)) + b"R",
        ORDERED + sequence(b"]", b"]") + b"R",
        ORDERED + sequence(b"](K\x01K\x02e") + b"R",
        ORDERED + sequence(b"](" + text("abc") + b"e") + b"R",
        ORDERED + STATE + b"b",
        ORDERED + text("x") + b"K\x01s",
        NAMESPACE + STATE + b"b",
        name("torch", "float32") + b")R",
        name("torch", "FloatStorage") + b")R",
        name("torch._utils", "_rebuild_tensor_v3") + b")R",
        name("torch._tensor", "_rebuild_from_type_v2") + b")R",
        name("torch._tensor", "_rebuild_from_type_v2")
        + sequence(NAMESPACE, NAMESPACE, b")", b"N") + b"R",
        name("torch._tensor", "_rebuild_from_type_v2")
        + sequence(ORDERED, NAMESPACE, b")", b"N")
        + b"R",
        b"K\x01)R",
        text("os") + b")R",
        b"})R",
        b"](K\x01e}b",
        b"K\x01K\x02a",
        b"]K\x01K\x02s",
        b"}(K\x01u",
        text("x") + STATE + b"b",
        b")K\x01a",
        b"R",
        b"Qb",
        b"0",
        b"h\x05",
        b"(((",
        b"\xff",
        b"\x8c\x02\xff\xff",
        b"cos",
        b"K",
    ],
)  # fmt: skip
def test_misuse_is_an_input_error(tmp_path, stream, refusal, archive):
    # POP drops the result, so that only the misuse itself stands between file and weights.
    honest = state(w=tensor()).removesuffix(b".")
    refusal(archive(tmp_path / "x.pth", honest + stream + b"0."))


def test_state_for_a_stand_in_is_dropped(tmp_path, archive):
    before = set(dir(pickles.INERT))
    objects = {
        "args": NAMESPACE + b")\x81" + STATE + b"b",
        "slots": NAMESPACE + b")\x81N" + STATE + b"\x86b",
        "ordered": ORDERED + b")R}" + text("items") + b"Ksb".replace(b"K", b"K\x01"),
        "w": tensor(),
    }
    path = archive(tmp_path / "x.pth", state(**objects))
    assert list(read_checkpoint(path).tensors) == ["w"]
    assert set(dir(pickles.INERT)) == before and type(pickles.INERT) is pickles.Inert


def test_ordered_dict_as_python_2_wrote_it(tmp_path, archive):
    pair = b"](" + b"U\x01w" + tensor() + b"e"
    path = archive(tmp_path / "x.pth", PROTO + ORDERED + sequence(b"](" + pair + b"e") + b"R.")
    assert read_checkpoint(path).tensors["w"].tolist() == [[1, 2], [3, 4]]


# Shapes that lie


@pytest.mark.parametrize(
    "value",
    [
        tensor(size=(2, 3)),
        tensor(offset=1),
        tensor(offset=5, size=(), stride=()),
        tensor(offset=-1),
        tensor(size=(-1, 2)),
        tensor(stride=(-2, 1)),
        tensor(stride=(2**62, 1)),
        tensor(size=(2**62, 1)),
        tensor(size=(2,), stride=(2, 1)),
        tensor(size=(2**40,), stride=(0,)),
        tensor(size=(2**30, 2**30, 2**30), stride=(0, 0, 0)),
        tensor(size=(0, 2**40), stride=(1, 1)),
        tensor(size=(1,) * 40, stride=(1,) * 40),
        tensor(place=storage(numel=5)),
        tensor(place=storage(numel=2**40), size=(2**20,), stride=(1,)),
        tensor(place=storage(numel=-4)),
        tensor(place=storage(key="9")),
        tensor(place=storage(key="../data.pkl")),
        tensor(place=storage(label="other")),
        tensor(place=storage(kind=name("torch", "DoubleStorage"))),
        tensor(place=storage(kind=name("torch", "float32"))),
        tensor(place=storage(kind=name("torch.storage", "UntypedStorage"))),
        tensor(tail=b"\x89N}" + text("conj") + b"\x88s"),
        tensor().replace(number(0), b"\x89"),
        tensor().replace(number(0), b"G" + bytes(8)),
    ],
)
def test_a_tensor_outside_its_storage(tmp_path, value, archive, refusal):
    path = archive(tmp_path / "x.pth", state(fine=tensor(), w=value))
    tracemalloc.start()
    try:
        refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_one_storage_with_two_dtypes(tmp_path, archive, refusal):
    integers = tensor(place=storage(kind=name("torch", "IntStorage")))
    path = archive(tmp_path / "x.pth", state(a=tensor(), b=integers))
    assert "'0' twice" in refusal(path)


def test_many_expanded_tensors_are_bounded_together(tmp_path, archive, refusal):
    one = tensor(size=(2**20, 4), stride=(0, 1))
    few = archive(tmp_path / "few.pth", state(a=one, b=one))
    assert read_checkpoint(few).tensors["b"][-1].tolist() == [1, 2, 3, 4]
    many = archive(tmp_path / "many.pth", state(**{f"w{n}": one for n in range(6)}))
    assert "would unfold to far more" in refusal(many)


# Bombs

BOMB = 200_000  # far more levels than the C stack holds


@pytest.mark.first(1)
@pytest.mark.parametrize(
    "stream",
    [
        b"]" * BOMB + b"a" * (BOMB - 1),
        b")" + b"\x85" * BOMB,
        b"}" + b")" + b"\x85" * BOMB + b"K\x01s",
        b"\x8f(" + b")" + b"\x85" * BOMB + b"\x90",
        b"(" * BOMB,
        b"\x8b\xff\xff\xff\x7f",
        b"X\xff\xff\xff\xff",
        b"\x8d" + b"\xff" * 7 + b"\x7f",
        b"\x8e\x00\x00\x00\x00\x00\x01\x00\x00",
        b"\x95\x00\x00\x00\x00\x00\x01\x00\x00",
        b"B\xff\xff\xff\x7f",
        b"T\xff\xff\xff\xff",
        b"Nr\xff\xff\xff\xff",
        b"N2" * 1000,
    ],
    ids=lambda stream: ascii(stream[:6]),
)
def test_bombs_are_refused_quickly(tmp_path, container, stream, refusal):
    path = container(tmp_path / "x.pth", PROTO + stream + b".")
    start = time.process_time()
    tracemalloc.start()
    try:
        refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 2**28
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 20  # of this process, however busy the machine is


def test_the_pickled_part_is_bounded(tmp_path, container, monkeypatch, refusal):
    path = container(tmp_path / "x.pth", state(**{f"n{i}": b"N" for i in range(500)}))
    assert "no tensors" in refusal(path)
    for module in ("archives", "pickles"):
        monkeypatch.setattr(f"keras_poolformer.checkpoints.reading.{module}.MAX_PICKLE_BYTES", 3000)
    assert "more than" in refusal(path)


def test_names_are_bounded(tmp_path, archive, refusal):
    path = archive(tmp_path / "x.pth", state(**{"module." * 200: tensor()}))
    assert "too long a name" in refusal(path)


def test_nested_values_beside_the_weights_are_read_over(tmp_path, archive):
    deep = b"]" * 10**5 + b"a" * (10**5 - 1)
    tuples = b")" + b"\x85" * 10**5
    path = archive(tmp_path / "x.pth", state(deep=deep, tuples=tuples, w=tensor()))
    assert list(read_checkpoint(path).tensors) == ["w"]

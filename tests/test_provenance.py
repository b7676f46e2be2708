"""What a file says about the origin of its weights: typed, bounded and printable, or one line."""

import pytest

from keras_poolformer.checkpoints.transplant import LoadReport
from keras_poolformer.provenance import checked_provenance
from keras_poolformer.support.errors import InputError

REPORT = LoadReport(
    source="x.pth",
    sha256="0" * 64,
    layout="sail",
    head="norm_pool",
    wrapper="",
    dtype="float32",
    tensors=2,
    parameters=10,
    new_tensors=(),
    unused_tensors=("fc.bias",),
).to_dict()
TRAINED = {"source": "keras-poolformer train on photos", "step": 9, "seed": 0, "init": None}


@pytest.mark.parametrize(
    "provenance",
    [
        {},
        REPORT,
        TRAINED,
        TRAINED | {"init": "poolformer_s12_in1k"},
        TRAINED | {"init": REPORT, "base_model": "x.pth", "trained": True},
        {"head": "norm_pool", "adapted_tensors": ["a"], "new_tensors": []},
        {"hf_unused": {"patch_size": [7, 7], "stride": 16}, "transform": {"size": [224, 192]}},
        {"of a later version": {"a": [1, 2.5, None, True, {"b": "c"}]}},
    ],
)
def test_what_this_package_writes_comes_back(provenance):
    assert checked_provenance(provenance, "x.keras") == provenance


def test_no_provenance():
    assert checked_provenance(None, "x.keras") == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": 5}, "`source` of its provenance must be a text"),
        ({"source": ["x"]}, "`source` of its provenance must be a text"),
        ({"source": "x" * 5000}, "must be a text of at most 4,096 characters"),
        ({"sha256": "0" * 63}, "64 hexadecimal digits"),
        ({"sha256": "<b>" + "0" * 61}, "64 hexadecimal digits"),
        ({"step": "x"}, "`step` of its provenance must be a whole number"),
        ({"step": True}, "`step` of its provenance must be a whole number"),
        ({"step": 10**400}, "`step` of its provenance must be a whole number"),
        ({"tensors": -1}, "`tensors` of its provenance must be a whole number"),
        ({"new_tensors": "abc"}, "must be a list of names"),
        ({"new_tensors": [1]}, "must be a text"),
        ({"new_tensors": ["a"] * 60_000}, "at most 50,000 values"),
        ({"hf_unused": 5}, "must be an object"),
        ({"hf_unused": {"stride": "x"}}, "must be an object of whole numbers"),
        ({"transform": [1]}, "`transform` of its provenance must be an object"),
        ({"init": 5}, "must be an object"),
        ({"init": {"step": "x"}}, "`step` of its provenance"),
        ({"other": 10**400}, "must be a finite number"),
        ({"other": float("inf")}, "must be a finite number"),
        ({"x" * 5000: 1}, "name of a field"),
        ({"layout": None}, "has `tensors` and must have `layout` too"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_anything_else_is_rejected_in_one_line(changes, said):
    with pytest.raises(InputError) as caught:
        checked_provenance(REPORT | changes, "x.keras")
    message = str(caught.value)
    assert said in message and message.startswith("x.keras: ")
    assert message.isprintable() and len(message) < 400


def test_a_field_that_another_one_needs():
    for field, needs in (("step", "source"), ("tensors", "source")):
        with pytest.raises(InputError, match=f"has `{field}` and must have `{needs}` too"):
            checked_provenance({field: 3}, "x.keras")
    with pytest.raises(InputError, match="must be an object"):
        checked_provenance("somewhere", "x.keras")


def test_what_reaches_a_terminal_is_printable():
    hostile = {"source": "\x1b[31mred\n", "other": ["\u2028", {"\udc80": "\x00"}]}
    assert checked_provenance(hostile, "x.keras") == {
        "source": "\\x1b[31mred\\n",
        "other": ["\\u2028", {"\\udc80": "\\x00"}],
    }

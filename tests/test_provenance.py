"""What a file says about the origin of its weights: typed, bounded and printable, or one line."""

import dataclasses
import json

import pytest

from keras_poolformer import ImageTransform
from keras_poolformer.checkpoints.transplant import LoadReport
from keras_poolformer.provenance import Provenance, TrainingRun, WeightsFile
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
TRAINED = {"source": "keras-poolformer train on photos", "step": 9, "seed": 0, "trained": True}
TRANSFORM = ImageTransform(size=(224, 192), crop_mode="hf")


@pytest.mark.parametrize(
    "flat",
    [
        {},
        REPORT,
        TRAINED,
        TRAINED | {"init": REPORT, "base_model": "x.pth"},
        {"trained": True},
        {"sha256": "0" * 64},
        {"head": "norm_pool", "adapted_tensors": ["a"], "new_tensors": ["b"]},
        {"hf_unused": {"patch_size": [7, 7], "stride": 16}, "transform": TRANSFORM.to_dict()},
        {"of a later version": {"a": [1, 2.5, None, True, {"b": "c"}]}},
    ],
)
def test_what_this_package_writes_comes_back(flat):
    provenance = Provenance.of(flat, "x.keras")
    assert provenance == flat and dict(provenance) == flat
    assert bool(provenance) == bool(flat)
    document = provenance.to_json()
    assert document == ({"format": 2, **flat} if flat else None)
    assert json.loads(json.dumps(document)) == document
    assert Provenance.of(document) == provenance


def test_its_parts_are_typed():
    trained = Provenance.of(TRAINED | {"init": REPORT, "base_model": "x.pth", "other": 1})
    assert trained.weights is None and trained.extra == {"other": 1}
    assert trained.training is not None and trained.training.init is not None
    assert dataclasses.replace(trained.training, init=None) == TrainingRun(
        base_model="x.pth", seed=0, step=9
    )
    checkpoint = trained.training.init
    assert checkpoint.source == "x.pth" and checkpoint.new_tensors == ()
    assert checkpoint.weights == WeightsFile(
        sha256="0" * 64,
        layout="sail",
        head="norm_pool",
        dtype="float32",
        tensors=2,
        parameters=10,
        unused_tensors=("fc.bias",),
    )
    assert Provenance.of({"transform": {"size": 64}}).transform == ImageTransform(size=64)
    assert Provenance.of({"transform": {}}) == Provenance.of(None) == Provenance()


def test_it_reads_like_the_dict_that_it_was():
    provenance = Provenance.of(REPORT)
    assert provenance["new_tensors"] == [] and provenance["unused_tensors"] == ["fc.bias"]
    assert provenance.get("base_model") is None and "init" not in provenance
    with pytest.raises(KeyError, match="init"):
        provenance["init"]
    with pytest.raises(TypeError, match="does not support item assignment"):
        provenance["source"] = "elsewhere"  # pyright: ignore[reportIndexIssue]


def test_files_of_earlier_versions_are_put_in_order():
    """They said of trained weights the checksum of the checkpoint that training began from."""
    old = REPORT | {"source": "keras-poolformer train on photos", "step": 9, "seed": 1}
    provenance = Provenance.of(old | {"init": "poolformer_s12"})
    assert provenance.weights is None and "sha256" not in provenance
    assert provenance.training is not None and provenance.training.init is not None
    assert provenance["base_model"] == "poolformer_s12"
    assert provenance["init"]["sha256"] == "0" * 64
    for fresh in (old, old | {"init": None}):
        assert Provenance.of(fresh).training == TrainingRun(seed=1, step=9)


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
        ({"transform": {"size": "x"}}, "`transform` of its provenance: "),
        ({"transform": {"size": 10**400}}, "must be a finite number"),
        ({"assumed": ["norm"]}, "`assumed` of its provenance must be an object"),
        ({"ignored_tensors": 5}, "must be a list of names"),
        ({"format": "x"}, "`format` of its provenance must be a whole number"),
        ({"seed": 1.5}, "`seed` of its provenance must be a whole number"),
        ({"trained": "yes"}, "`trained` of its provenance must be true or false"),
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
        Provenance.of(REPORT | changes, "x.keras")
    message = str(caught.value)
    assert said in message and message.startswith("x.keras: ")
    assert message.isprintable() and len(message) < 400


def test_a_field_that_another_one_needs():
    for field, needs in (("step", "source"), ("tensors", "source")):
        with pytest.raises(InputError, match=f"has `{field}` and must have `{needs}` too"):
            Provenance.of({field: 3}, "x.keras")
    with pytest.raises(InputError, match="must be an object"):
        Provenance.of("somewhere", "x.keras")


def test_what_reaches_a_terminal_is_printable():
    hostile = {"source": "\x1b[31mred\n", "other": ["\u2028", {"\udc80": "\x00"}]}
    assert Provenance.of(hostile, "x.keras") == {
        "source": "\\x1b[31mred\\n",
        "other": ["\\u2028", {"\\udc80": "\\x00"}],
    }

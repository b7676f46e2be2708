"""mmsegmentation's files: read and written, strict and bit-exact, with names and colors."""

import collections
import sys
import types

import numpy as np
import pytest

from keras_poolformer import (
    PoolFormerBackbone,
    PoolFormerImageClassifier,
    PoolFormerSegmenter,
    load_torch_weights,
    save_torch_weights,
)
from keras_poolformer.cli import main
from keras_poolformer.models.segmenter import MetaFormerSegmenter
from keras_poolformer.support.errors import InputError
from tests.helpers import TINY, error_line, randomized_model, randomized_module
from tests.segmenters import (
    CONFIG,
    LABELS,
    PALETTE,
    SHALLOW,
    checkpoint,
    randomized_segmenter,
    save_checkpoint,
)

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")
oracles = pytest.importorskip("conversion.oracles")

LISTS = {"CLASSES": LABELS, "PALETTE": [list(color) for color in PALETTE]}


@pytest.fixture(scope="module")
def module():
    return randomized_segmenter()


@pytest.fixture(scope="module")
def saved(module, tmp_path_factory):
    """As mmsegmentation 0.x saves it."""
    path = tmp_path_factory.mktemp("mmseg") / "iter_40000.pth"
    return save_checkpoint(module, path, mmseg_version="0.19.0", config="norm_cfg = ...", **LISTS)


@pytest.fixture(scope="module")
def model(saved):
    return PoolFormerSegmenter.from_preset(saved)


def values(model):
    return {variable.path: variable.numpy() for variable in model.weights}


def assert_same_weights(received, expected, but_for=()):
    """All the weights of `expected`, which may be a part, but for those paths."""
    received, expected = values(received), values(expected)
    for path in expected.keys() - set(but_for):
        np.testing.assert_array_equal(received[path], expected[path], err_msg=path)


def test_everything_is_inferred(model):
    assert model.config == CONFIG.replace(labels=LABELS, palette=PALETTE)
    provenance = model.provenance
    assert (provenance["layout"], provenance["head"]) == ("mmseg", "semantic_fpn")
    assert provenance["new_tensors"] == provenance["unused_tensors"] == []
    assert provenance["ignored_tensors"] == []
    assert (provenance["prefix"], provenance["wrapper"]) == ("backbone.", "state_dict")


@pytest.mark.first(1)
@pytest.mark.parametrize("through_keras", [False, True])
def test_the_round_trip_is_bit_exact(module, model, through_keras, tmp_path):
    if through_keras:
        model.save(tmp_path / "x.keras")
        model = PoolFormerSegmenter.from_preset(tmp_path / "x.keras")
    report = save_torch_weights(model, tmp_path / "x.safetensors", layout="mmseg")
    received, expected = safetensors_torch.load_file(tmp_path / "x.safetensors"), checkpoint(module)
    assert received.keys() == expected.keys()
    for name, tensor in expected.items():
        assert received[name].dtype == tensor.dtype and torch.equal(received[name], tensor), name
    assert (report.tensors, report.logits_equal, report.notes) == (len(expected), True, ())
    assert report.parameters == sum(t.numel() for n, t in expected.items() if "batches" not in n)
    again = PoolFormerSegmenter.from_preset(tmp_path / "x.safetensors")
    assert values(again).keys() == values(model).keys()
    assert_same_weights(again, model)


@pytest.mark.slow
def test_counts_are_not_kept_through_training(model, tmp_path):
    other = model.with_classes(5)
    other.compile("sgd", other.default_loss())
    other.fit(np.zeros((1, 32, 32, 3)), np.zeros((1, 32, 32)), verbose=0)
    save_torch_weights(other, tmp_path / "x.safetensors", layout="mmseg")
    state = safetensors_torch.load_file(tmp_path / "x.safetensors")
    counts = [tensor for name, tensor in state.items() if name.endswith("num_batches_tracked")]
    assert len(counts) == 7 and not any(counts)


def test_half_precision_and_directories(model, module, tmp_path):
    report = save_torch_weights(model, tmp_path / "half", layout="mmseg", dtype="float16")
    assert (report.files, report.dtype) == (("model.safetensors",), "float16")
    state = safetensors_torch.load_file(tmp_path / "half" / "model.safetensors")
    count = "decode_head.scale_heads.0.0.bn.num_batches_tracked"
    assert (state[count].dtype, int(state[count])) == (torch.int64, 40_000)
    assert state["decode_head.conv_seg.weight"].dtype == torch.float16


HISTORY_BUFFER = """
import numpy

class HistoryBuffer:
    def __init__(self):
        self.log_history = numpy.arange(3.0)
        self.statistics_methods = {"mean": HistoryBuffer.mean}

    def mean(self):
        return self.log_history.mean()
"""


@pytest.fixture
def history_buffer(monkeypatch):
    """A class that is pickled as mmengine's is, by which its runner keeps the logs."""
    module = types.ModuleType("mmengine.logging.history_buffer")
    exec(HISTORY_BUFFER, vars(module))
    for name in ("mmengine", "mmengine.logging"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.HistoryBuffer


def test_a_file_of_mmsegmentation_1(module, history_buffer, tmp_path):
    logs = collections.OrderedDict({"train/loss": history_buffer()})
    names = {"classes": LABELS, "palette": LISTS["PALETTE"], "reduce_zero_label": True}
    file = {
        "meta": {"epoch": 0, "iter": 40_000, "cfg": "crop_size = ...", "dataset_meta": names},
        "state_dict": checkpoint(module),
        "message_hub": {"log_scalars": logs, "runtime_info": {}, "resumed_keys": {}},
    }
    torch.save(file, tmp_path / "iter_40000.pth")
    model = PoolFormerSegmenter.from_preset(tmp_path / "iter_40000.pth")
    assert (model.labels, model.palette) == (LABELS, PALETTE)


def test_getattr_of_anything_else_is_rejected(tmp_path):
    class Gadget:
        def __reduce__(self):
            return getattr, (collections.OrderedDict, "fromkeys")

    torch.save({"state_dict": {}, "x": Gadget()}, tmp_path / "x.pth")
    message = error_line(PoolFormerSegmenter.from_preset, tmp_path / "x.pth")
    assert "getattr" in message and "not weight data" in message


@pytest.mark.first(3)
@pytest.mark.parametrize(
    "meta",
    [
        {"CLASSES": None, "PALETTE": None},
        {"CLASSES": LABELS[:4], "PALETTE": LISTS["PALETTE"][:4]},
        {"CLASSES": "abcde", "PALETTE": [[0, 0, 300]] * 5},
        {"CLASSES": ["a\n", *LABELS[1:]], "PALETTE": np.zeros((5, 3), np.uint8)},
        {"CLASSES": [1, 2, 3, 4, 5], "PALETTE": {}},
        {"dataset_meta": {"classes": [[]] * 5, "palette": [None] * 5}},
    ],
)
def test_names_and_colors_that_do_not_fit_are_left_out(meta, tmp_path):
    module = randomized_segmenter(SHALLOW)
    model = PoolFormerSegmenter.from_preset(save_checkpoint(module, tmp_path / "x.pth", **meta))
    assert model.labels is model.palette is None


@pytest.mark.first(3)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("neck.fpn_convs.2.conv.bias"), "lacks neck.fpn_convs.2.conv.bias"),
        (lambda s: s.pop("backbone.norm4.bias"), "lacks backbone.norm4.bias"),
        (lambda s: s.pop("decode_head.conv_seg.bias"), "lacks decode_head.conv_seg.bias"),
        (
            lambda s: s.pop("decode_head.scale_heads.3.4.bn.running_var"),
            "lacks decode_head.scale_heads.3.4.bn.running_var",
        ),
        (
            lambda s: s.update({"decode_head.scale_heads.0.1.conv.weight": torch.ones(2)}),
            "holds decode_head.scale_heads.0.1.conv.weight",
        ),
        (
            lambda s: s.update({"neck.lateral_convs.1.conv.weight": torch.ones(16, 11, 1, 1)}),
            "neck.lateral_convs.1.conv.weight must have shape (16, 12, 1, 1)",
        ),
    ],
)
def test_loading_is_strict(module, change, words, tmp_path):
    state = checkpoint(module)
    change(state)
    torch.save({"state_dict": state}, tmp_path / "x.pth")
    assert words in error_line(PoolFormerSegmenter.from_preset, tmp_path / "x.pth")


@pytest.mark.slow
def test_wrapped_names(module, model, tmp_path):
    state = {f"module.{name}": tensor for name, tensor in checkpoint(module).items()}
    torch.save({"state_dict": state}, tmp_path / "x.pth")
    again = PoolFormerSegmenter.from_preset(tmp_path / "x.pth")
    assert_same_weights(again, model)


def test_a_backbone_reports_what_it_leaves(module, saved, model):
    backbone = PoolFormerBackbone.from_preset(saved)
    unused = set(backbone.provenance["unused_tensors"])
    names = {name for name in checkpoint(module) if not name.startswith("backbone.")}
    assert unused == {name for name in names if "batches" not in name}
    assert_same_weights(model, backbone)
    other = PoolFormerBackbone(CONFIG)
    assert set(load_torch_weights(other, saved).unused_tensors) == unused


def test_a_classifier_reports_what_it_leaves(saved, model):
    classifier = PoolFormerImageClassifier.from_preset(saved, num_classes=3)
    unused = classifier.provenance["unused_tensors"]
    assert {name.split(".")[0] for name in unused} == {"backbone", "neck", "decode_head"}
    assert "backbone.norm0.weight" in unused
    new = set(classifier.provenance["new_tensors"])
    assert new == {"head/kernel", "head/bias", "head_norm/gamma", "head_norm/beta"}
    assert_same_weights(model, classifier, but_for=new)


@pytest.mark.first(1)
@pytest.mark.parametrize("layout", ["sail", "hf", "timm"])
def test_an_imagenet_checkpoint_gives_the_backbone(layout, tmp_path, capsys):
    classifier = randomized_model(
        TINY.replace(head="pool_norm" if layout == "timm" else "norm_pool")
    )
    save_torch_weights(classifier, tmp_path / "x.safetensors", layout)
    model = PoolFormerSegmenter.from_preset(tmp_path / "x.safetensors", num_classes=4)
    assert (model.config.head_dropout_rate, model.config.labels) == (0.1, None)
    new = set(model.provenance["new_tensors"])
    assert new == {p for p in values(model) if p.startswith(("neck", "head")) or "output_norm" in p}
    assert len(new) == 8 + 16 + 35 + 2
    assert_same_weights(classifier, model, but_for=new)
    assert len(model.provenance["unused_tensors"]) == 4
    message = error_line(load_torch_weights, model, tmp_path / "x.safetensors")
    assert ("lacks" if layout == "sail" else "no names for `feature_norms`") in message


def test_other_layouts_are_refused(model, tmp_path):
    for layout in ("sail", "timm", "hf"):
        with pytest.raises(InputError, match=r"mmseg|feature_norms"):
            save_torch_weights(model, tmp_path / "x", layout=layout, allow_other_head=True)
    with pytest.raises(InputError, match="layout 'mmseg' is that of segmenters"):
        save_torch_weights(PoolFormerImageClassifier(TINY), tmp_path / "x", layout="mmseg")
    caformer = {"depths": (1,) * 4, "widths": (8, 8, 32, 32), "num_classes": 3}
    second = MetaFormerSegmenter.from_variant("caformer_s18", **caformer)
    with pytest.raises(InputError, match="layout mmseg has only networks of the first paper"):
        save_torch_weights(second, tmp_path / "x", layout="mmseg")
    assert not list(tmp_path.iterdir())


def test_convert(saved, module, tmp_path, capsys):
    assert main(["convert", str(saved), "-o", str(tmp_path / "x.keras")]) == 0
    assert "layout mmseg, head semantic_fpn" in capsys.readouterr().out
    output = tmp_path / "x.safetensors"
    arguments = ["convert", str(tmp_path / "x.keras"), "--to", "mmseg", "-o", str(output)]
    assert main(arguments) == 0
    received, expected = safetensors_torch.load_file(output), checkpoint(module)
    assert all(torch.equal(received[name], tensor) for name, tensor in expected.items())


def test_a_detectors_neck_stays_outside(tmp_path):
    """A neck without a segmenter's head belongs to another network."""
    classifier = randomized_module(oracles.build_oracle(TINY, "hf").module)
    state = {
        f"backbone.{oracles.sail_name(name)}": tensor
        for name, tensor in classifier.state_dict().items()
        if name.startswith("poolformer.")
    }
    state["neck.lateral_convs.0.conv.weight"] = torch.ones(2, 8, 1, 1)
    torch.save({"state_dict": state}, tmp_path / "x.pth")
    backbone = PoolFormerBackbone.from_preset(tmp_path / "x.pth")
    assert backbone.provenance["ignored_tensors"] == ["neck.lateral_convs.0.conv.weight"]

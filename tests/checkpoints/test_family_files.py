"""Files of the second paper's networks: there and back bit by bit, strictly, and from wrappers."""

import json
import math

import numpy as np
import pytest

from keras_poolformer import (
    ImageTransform,
    MetaFormerBackbone,
    MetaFormerImageClassifier,
    load_torch_weights,
    save_torch_weights,
)
from keras_poolformer.checkpoints.tensors import count_parameters, keras_tensors
from keras_poolformer.variants import VARIANTS
from tests.helpers import (
    MIXED,
    MIXED_GROUP_NORMS,
    error_line,
    randomized_model,
    randomized_module,
    relative_error,
)

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")
oracles = pytest.importorskip("conversion.oracles")
timm = pytest.importorskip("timm")

from timm.models.metaformer import checkpoint_filter_fn  # noqa: E402

CASES = [(MIXED, "metaformer"), (MIXED, "timm"), (MIXED_GROUP_NORMS, "metaformer")]
IDS = ["mixed-metaformer", "mixed-timm", "mixed group norms-metaformer"]
HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
# What the tensors do not tell.
UNTOLD = ("token_mixers", "norm", "norm_epsilon", "pool_size")


def untold(config):
    return {name: getattr(config, name) for name in UNTOLD}


def torch_state(config, layout, dtype=torch.float32):
    """A randomized state dict with the names and shapes of a library."""
    oracle = oracles.build_oracle(config, layout)
    randomized_module(oracle.module)
    return {name: t.to(dtype).contiguous() for name, t in oracle.state_dict().items()}


def assert_same(state, path):
    """That a file holds these very bits, under these very names, in these very shapes."""
    received = safetensors_torch.load_file(path)
    assert received.keys() == state.keys()
    for name, tensor in state.items():
        assert (received[name].dtype, received[name].shape) == (tensor.dtype, tensor.shape), name
        bits = torch.int16 if tensor.element_size() == 2 else torch.int32
        assert torch.equal(received[name].view(bits), tensor.view(bits)), name


# ---------------------------------------------------------------------------------------
# The whole table


# Weights of FACTS about the released networks: timm's and the authors' classes count them too.
PARAMETERS = {
    "poolformer": (11_915_176, 21_388_968, 30_862_760, 56_172_520, 73_473_448),
    "poolformerv2": (11_891_712, 21_341_464, 30_791_216, 56_077_168, 73_346_056),
    "identityformer": (11_891_712, 21_341_464, 30_791_216, 56_077_168, 73_346_056),
    "randformer": (11_891_712, 21_341_464, 30_791_216, 56_077_168, 73_346_056),
    "convformer": (26_774_448, 40_012_152, 57_051_640, 99_882_616),
    "caformer": (26_341_656, 39_297_102, 56_204_878, 98_753_614),
}
FROZEN = (235_298, 470_596, 705_894, 705_894, 941_192)  # of the RandFormers
TENSORS = {
    "poolformer": (132, 252, 372, 372, 492),
    "poolformerv2": (104, 192, 280, 280, 368),
    "identityformer": (104, 192, 280, 280, 368),
    "randformer": (112, 208, 304, 304, 400),
    "convformer": (242, 458, 458, 458),
    "caformer": (206, 395, 395, 395),
}


def test_all_variants_have_the_papers_weights():
    by_family = {}
    for name, config in VARIANTS.items():
        table = keras_tensors(config)
        frozen = sum(math.prod(t.shape) for t in table if t.path.endswith("random_matrix"))
        learned = count_parameters(config) - frozen
        by_family.setdefault(name.split("_")[0], []).append((learned, len(table), frozen))
    received = {family: tuple(zip(*rows, strict=True)) for family, rows in by_family.items()}
    assert received == {
        family: (PARAMETERS[family], TENSORS[family], FROZEN if family == "randformer" else zeros)
        for family in PARAMETERS
        for zeros in [(0,) * len(PARAMETERS[family])]
    }


@pytest.mark.first(3)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name.endswith(("_s12", "_s18")) else pytest.mark.slow)
     for name in VARIANTS],
)  # fmt: skip
def test_pytorch_counts_the_same_weights(name):
    config = VARIANTS[name]
    layout = "metaformer" if config.embedding_norm else "timm"
    with torch.device("meta"):
        module = oracles.build_oracle(config, layout).module
    assert sum(p.numel() for p in module.parameters()) == count_parameters(config)


@pytest.mark.first(2)
@pytest.mark.parametrize("family", ["poolformerv2_s12", "identityformer_s12", "convformer_s18",
                                    "caformer_s18"])  # fmt: skip
def test_timm_reads_the_authors_names(family):
    """timm's own translation of sail-sg/metaformer's names checks ours of the oracle."""
    config = VARIANTS[family]
    with torch.device("meta"):
        sail = oracles.build_oracle(config, "metaformer").state_dict()
        theirs = oracles.build_oracle(config, "timm").module
    translated = checkpoint_filter_fn(sail, theirs)
    received = {name: tuple(tensor.shape) for name, tensor in translated.items()}
    assert received == {name: tuple(t.shape) for name, t in theirs.state_dict().items()}


# ---------------------------------------------------------------------------------------
# There and back


@pytest.mark.first(4)
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES.values()], ids=str)
@pytest.mark.parametrize(("config", "layout"), CASES, ids=IDS)
def test_bit_by_bit(config, layout, dtype, tmp_path):
    state = torch_state(config, layout, dtype)
    safetensors_torch.save_file(state, tmp_path / "x.safetensors")
    model = MetaFormerImageClassifier.from_preset(tmp_path / "x.safetensors", **untold(config))
    report = save_torch_weights(model, tmp_path / "y.safetensors", layout=layout)
    assert (report.tensors, report.logits_equal, report.notes) == (len(state), True, ())
    assert report.dtype == str(dtype).removeprefix("torch.")
    assert_same(state, tmp_path / "y.safetensors")


def test_from_timm_to_the_authors_and_back(tmp_path):
    """The two heads have other epsilons, which is said; the weights are the same."""
    state = torch_state(MIXED, "timm")
    safetensors_torch.save_file(state, tmp_path / "timm.safetensors")
    model = MetaFormerImageClassifier.from_preset(tmp_path / "timm.safetensors", **untold(MIXED))
    report = save_torch_weights(model, tmp_path / "sail.safetensors", layout="metaformer")
    assert not report.logits_equal
    assert "1e-05 in that library, 1e-06 here" in str(report)
    model = MetaFormerImageClassifier.from_preset(tmp_path / "sail.safetensors", **untold(MIXED))
    save_torch_weights(model, tmp_path / "again.safetensors", layout="timm")
    assert_same(state, tmp_path / "again.safetensors")


@pytest.mark.first(1)
@pytest.mark.parametrize(("config", "layout"), CASES, ids=IDS)
def test_missing_and_extra_tensors(config, layout, tmp_path):
    state = torch_state(config, layout)
    path = tmp_path / "x.safetensors"
    model = randomized_model(config)
    before = [np.array(variable) for variable in model.weights]
    ends = ["res_scale2.scale", "mlp.act.bias", "token_mixer.qkv.weight"]
    ends += ["random_matrix"] if "random" in config.token_mixers else ["pwconv2.weight"]
    for end in ends:
        name = next(name for name in state if name.endswith(end))
        safetensors_torch.save_file({n: t for n, t in state.items() if n != name}, path)
        assert f"lacks {name}" in error_line(load_torch_weights, model, path)
        extra = name.replace(end, "extra.weight")
        safetensors_torch.save_file(state | {extra: torch.ones(1)}, path)
        assert f"holds {extra}, which" in error_line(load_torch_weights, model, path)
    name = next(name for name in state if name.endswith("qkv.weight"))
    safetensors_torch.save_file(state | {name: state[name].T.contiguous()}, path)
    assert f"{name} must have shape" in error_line(load_torch_weights, model, path)
    assert all(map(np.array_equal, before, model.weights))


@pytest.mark.first(3)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 1, "arch": "caformer_s18"},
        lambda state: {"state_dict_ema": state, "state_dict": {n: 0 * t for n, t in state.items()}},
        lambda state: {"model": {f"module.{name}": tensor for name, tensor in state.items()}},
    ],
    ids=["bare", "state_dict", "ema", "module."],
)
@pytest.mark.parametrize("layout", ["metaformer", "timm"])
def test_wrappers(layout, wrap, tmp_path):
    state = torch_state(MIXED, layout)
    torch.save(wrap(state), tmp_path / "x.pth")
    model = MetaFormerImageClassifier.from_preset(tmp_path / "x.pth", **untold(MIXED))
    save_torch_weights(model, tmp_path / "y.safetensors", layout=layout)
    assert_same(state, tmp_path / "y.safetensors")


@pytest.mark.parametrize("arch", ["poolformerv2_s24", "identityformer_s12.sail_in1k"])
def test_a_training_checkpoint_states_its_architecture(arch, tmp_path):
    """timm's and sail-sg's training scripts save its name as `arch`."""
    name, mixer = arch.partition(".")[0], "pooling" if "pool" in arch else "identity"
    config = VARIANTS[name].replace(depths=(1, 1, 1, 1), widths=(8, 16, 24, 32), num_classes=3)
    state = torch_state(config, "timm")
    torch.save({"state_dict": state, "arch": arch}, tmp_path / "x.pth")
    model = MetaFormerImageClassifier.from_preset(tmp_path / "x.pth")
    assert model.config.token_mixers == (mixer,) * 4
    given = MetaFormerImageClassifier.from_preset(tmp_path / "x.pth", token_mixers="identity")
    assert given.config.token_mixers == ("identity",) * 4


@pytest.mark.parametrize("arch", ["caformer_s18", "poolformer_s12", "convformer", ""])
def test_another_architectures_name_is_not_believed(arch, tmp_path):
    config = VARIANTS["poolformerv2_s12"].replace(depths=(1, 1, 1, 1), widths=(8, 16, 24, 32))
    torch.save({"model": torch_state(config, "timm"), "arch": arch}, tmp_path / "x.pth")
    message = error_line(MetaFormerImageClassifier.from_preset, tmp_path / "x.pth")
    assert "`token_mixers`" in message


@pytest.mark.parametrize("layout", ["metaformer", "timm"])
def test_a_backbone_ignores_the_head(layout, tmp_path):
    state = torch_state(MIXED, layout)
    safetensors_torch.save_file(state, tmp_path / "x.safetensors")
    backbone = MetaFormerBackbone.from_preset(tmp_path / "x.safetensors", **untold(MIXED))
    unused = backbone.provenance.weights.unused_tensors
    assert unused == tuple(sorted(name for name in state if name.startswith(("head", "norm."))))
    assert len(unused) == 8


# ---------------------------------------------------------------------------------------
# Directories for timm


@pytest.mark.slow
@pytest.mark.parametrize("name", ["poolformerv2_s12", "convformer_s18", "caformer_s18"])
def test_timm_reads_a_directory(name, tmp_path):
    """And we read it back: its config.json tells PoolFormerV2 from IdentityFormer."""
    config = VARIANTS[name].replace(num_classes=3, labels=("cat", "dog", "owl"), drop_path_rate=0.0)
    if config.head_mlp_ratio:
        config = config.replace(head_norm_epsilon=1e-6)
    model = randomized_model(config)
    folder = tmp_path / "out"
    report = save_torch_weights(
        model, folder, layout="timm", transform=ImageTransform(size=96, crop_pct=1.0)
    )
    assert report.files == ("model.safetensors", "config.json")
    assert report.logits_equal and not report.notes
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert described["architecture"] == name
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    # timm changes the layer of this name for other numbers of classes
    assert isinstance(
        theirs.get_submodule(described["pretrained_cfg"]["classifier"]), torch.nn.Linear
    )
    images = np.random.default_rng(0).standard_normal((1, 64, 64, 3)).astype("float32")
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    assert relative_error(model(images), expected) <= 4e-6
    again = MetaFormerImageClassifier.from_preset(folder)
    assert again.config == config
    assert again.transform == ImageTransform(size=96, crop_pct=1.0)
    np.testing.assert_array_equal(again(images), model(images))


def test_timms_own_directory_tells_the_token_mixers(tmp_path):
    """As timm itself writes it for its hub."""
    from timm.models._hub import save_for_hf

    theirs = timm.create_model("poolformerv2_s12", num_classes=3)
    save_for_hf(theirs, tmp_path)
    model = MetaFormerImageClassifier.from_preset(tmp_path)
    assert model.config == VARIANTS["poolformerv2_s12"].replace(num_classes=3, drop_path_rate=0.0)
    saved = dict(model.provenance)
    assert saved["layout"] == "timm" and not saved.get("assumed")
    (tmp_path / "config.json").unlink()
    assert "--architecture" in error_line(MetaFormerImageClassifier.from_preset, tmp_path)

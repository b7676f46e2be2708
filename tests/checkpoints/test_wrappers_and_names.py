"""Which of a checkpoint's tensors are its weights, under which names, and what is read for them."""

import hashlib

import numpy as np
import pytest

from keras_poolformer.checkpoints import transplant
from keras_poolformer.checkpoints.checkpoint import read_checkpoint
from keras_poolformer.checkpoints.reading import archives, readers
from tests.helpers import randomized_module, relative_error

torch = pytest.importorskip("torch")

FORMATS = ("zip", "legacy", "safetensors")


@pytest.fixture
def network(seeded):
    """Some tensors of a network in the names of sail-sg, its stem among them."""
    names = ("patch_embed.proj.weight", "network.0.0.norm1.weight", "norm.weight", "head.weight")
    return {name: seeded(i + 2) for i, name in enumerate(names)}


@pytest.mark.parametrize("format", ["zip", "legacy"])
@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "state_dict", "model"])
def test_wrappers(tmp_path, format, key, weights, seeded, save, assert_same_tensors):
    value = {"epoch": 3, "arch": "x", "optimizer": {"state": {0: {"m": seeded(2)}}}, key: weights}
    checkpoint = read_checkpoint(save(value, tmp_path / "x.pth.tar", format))
    assert checkpoint.wrapper == key
    assert_same_tensors(checkpoint, weights)


def test_preference_among_wrappers(tmp_path, save):
    order = ["state_dict_ema", "model_ema", "state_dict", "model"]
    present = list(reversed(order))
    while present:
        value = {key: {"w": torch.full((1,), float(order.index(key)))} for key in present}
        path = save(value, tmp_path / "x.pth")
        best = min(present, key=order.index)
        assert read_checkpoint(path).wrapper == best
        assert read_checkpoint(path).tensors["w"] == order.index(best)
        plain = [key for key in order[2:] if key in present]
        if plain:
            assert read_checkpoint(path, use_ema=False).wrapper == plain[0]
        present.remove(best)


def test_only_averaged_weights(tmp_path, weights, save, refusal):
    path = save({"state_dict_ema": weights}, tmp_path / "x.pth")
    assert "use_ema=True" in refusal(path, use_ema=False)


def test_a_wrapper_without_tensors_does_not_count(tmp_path, weights, save, assert_same_tensors):
    path = save({"model": "poolformer_s12", "state_dict": {"n": 1}, **weights}, tmp_path / "x.pth")
    checkpoint = read_checkpoint(path)
    assert checkpoint.wrapper == ""
    assert_same_tensors(checkpoint, weights)


@pytest.mark.parametrize("format", ["zip", "legacy"])
@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "module.module.", "_orig_mod.module.", "module._orig_mod.module.",
     "backbone.", "module.backbone.", "backbone.module.", "_orig_mod.backbone.backbone.",
     "model.", "net.", "encoder.", "0.", "student.", "model.module.poolformer."],
)  # fmt: skip
def test_prefixes(tmp_path, format, prefix, network, assert_same_tensors, save):
    renamed = {prefix + name: tensor for name, tensor in network.items()}
    assert_same_tensors(read_checkpoint(save(renamed, tmp_path / "x.pth", format)), network)


@pytest.mark.parametrize("prefix", ["model.", "module.net."])
@pytest.mark.parametrize(
    "stem",
    [
        "patch_embed.proj",
        "stem.conv",
        "encoder.patch_embeddings.0.projection",
        "poolformer.encoder.patch_embeddings.0.projection",
    ],
)
def test_prefixes_before_the_names_of_every_layout(
    tmp_path, prefix, stem, seeded, save, assert_same_tensors
):
    tensors = {f"{stem}.weight": seeded(2), "head.weight": seeded(3)}
    checkpoint = read_checkpoint(
        save({prefix + name: tensor for name, tensor in tensors.items()}, tmp_path / "x.pth")
    )
    root = "poolformer." if stem.startswith("encoder.") else ""
    expected = {f"{root}{stem}.weight": seeded(2), "head.weight": seeded(3)}
    assert_same_tensors(checkpoint, expected)


def test_of_a_detector_only_the_backbone_is_kept(
    tmp_path, network, seeded, save, assert_same_tensors
):
    value = {f"module.backbone.{name}": tensor for name, tensor in network.items()}
    others = {
        "module.neck.weight": seeded(2),
        "bbox_head.bias": seeded(3),
        "x.backbone.y": seeded(1),
    }
    value |= others
    path = save({"meta": {"CLASSES": ("a", "b")}, "state_dict": value}, tmp_path / "x.pth")
    checkpoint = read_checkpoint(path)
    assert_same_tensors(checkpoint, network)
    assert (checkpoint.prefix, checkpoint.ignored) == ("backbone.", tuple(sorted(others)))


def test_wrappers_of_inner_modules_are_stripped_and_like_names_stay(
    tmp_path, seeded, assert_same_tensors, save
):
    tensors = {
        "a.module.b": seeded(1),
        "moduleb": seeded(2),
        "a._orig_mod.c.my_module.d": seeded(3),
    }
    kept = {"a.b": seeded(1), "moduleb": seeded(2), "a.c.my_module.d": seeded(3)}
    assert_same_tensors(read_checkpoint(save(tensors, tmp_path / "x.pth")), kept)


def test_colliding_names(tmp_path, save, seeded, refusal):
    path = save({"module.fc.w": seeded(1), "fc.w": seeded(2)}, tmp_path / "x.pth")
    assert "'fc.w' twice" in refusal(path)


def test_unknown_things_that_are_no_weights_are_dropped(
    tmp_path, weights, seeded, assert_same_tensors, save
):
    value = {**weights, "epoch": 3, "lr": 0.1, "name": "x", "none": None, 7: seeded(1), "l": [1]}
    assert_same_tensors(read_checkpoint(save(value, tmp_path / "x.pth")), weights)


@pytest.mark.parametrize("format", FORMATS)
def test_digest_paths_and_progress(tmp_path, format, weights, monkeypatch, save):
    monkeypatch.setattr(readers, "_HASH_BLOCK", 100)
    path = save(weights, tmp_path / "x.pth", format)
    calls = []
    checkpoint = read_checkpoint(path, progress=lambda *call: calls.append(call))
    data = path.read_bytes()
    assert checkpoint.sha256 == hashlib.sha256(data).hexdigest()
    assert checkpoint.paths == (path,)
    assert [done for done, _ in calls] == [*range(100, len(data), 100), len(data)]
    assert {total for _, total in calls} == {len(data)}


@pytest.mark.parametrize("format", ["zip", "legacy"])
def test_optimizer_state_is_not_kept_in_memory(
    tmp_path, format, weights, monkeypatch, seeded, save
):
    asked = []
    original = archives._view
    monkeypatch.setattr(archives, "_view", lambda *args: asked.append(args[1]) or original(*args))
    value = {"optimizer": {"exp_avg": seeded(50)}, "state_dict": weights}
    read_checkpoint(save(value, tmp_path / "x.pth", format))
    assert asked == list(weights)


# Where training scripts and frameworks put the weights


@pytest.mark.parametrize(
    ("wrap", "wrapper", "ignored"),
    [
        (lambda s: {"model_state_dict": s, "optimizer_state_dict": {}}, "model_state_dict", ()),
        (lambda s: {"module": s, "ds_config": {}}, "module", ()),
        (lambda s: {"weights": s, "epoch": 3}, "weights", ()),
        (lambda s: {"params": s}, "params", ()),
        (lambda s: {"params": zeroed(s), "params_ema": s}, "params_ema", ("params",)),
        (lambda s: {"model": {"state_dict": s}}, "model.state_dict", ()),
        (lambda s: {"state_dict": zeroed(s), "ema_state_dict": s}, "ema_state_dict",
         ("state_dict",)),
        (
            lambda s: {"state_dict": s, "ema_state_dict": zeroed(s), "message_hub": {}},
            "state_dict",
            ("ema_state_dict",),
        ),
        (lambda s: {"optimizer": {"exp_avg": torch.ones(2)}, "net": s}, "net", ()),
        (lambda s: {**zeroed(s, "model."), **{f"model_ema.{n}": t for n, t in s.items()}}, "",
         ("model.head.weight", "model.network.0.0.norm1.weight", "model.norm.weight",
          "model.patch_embed.proj.weight")),
        (lambda s: {**s, "n_averaged": torch.tensor(3)}, "", ("n_averaged",)),
        (lambda s: {**s, "total_ops": torch.zeros(1), "network.0.0.total_params": torch.zeros(1)},
         "", ("network.0.0.total_params", "total_ops")),
    ],
)  # fmt: skip
def test_places_of_weights(tmp_path, wrap, wrapper, ignored, network, save, assert_same_tensors):
    checkpoint = read_checkpoint(save(wrap(network), tmp_path / "last.ckpt"))
    assert_same_tensors(checkpoint, network)
    assert (checkpoint.wrapper, checkpoint.ignored) == (wrapper, ignored)


def zeroed(state, prefix=""):
    return {prefix + name: torch.zeros_like(tensor) for name, tensor in state.items()}


def test_averages_among_the_names_can_be_left_out(tmp_path, network, save, assert_same_tensors):
    value = zeroed(network, "model_ema.") | {f"model.{n}": t for n, t in network.items()}
    path = save(value, tmp_path / "x.ckpt")
    assert_same_tensors(read_checkpoint(path, use_ema=False), network)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"student": s, "teacher": zeroed(s)},
        lambda s: zeroed(s, "student.") | zeroed(s, "teacher."),
        lambda s: s | zeroed(s, "teacher."),
        lambda s: {"net_a": s, "net_b": zeroed(s)},
    ],
)
def test_several_networks_are_never_mixed(tmp_path, wrap, network, save, refusal):
    message = refusal(save(wrap(network), tmp_path / "x.pth"))
    assert "2 models" in message and "nothing says which one" in message


def test_a_tensor_like_a_counter_is_a_weight(tmp_path, network, seeded, save, assert_same_tensors):
    tensors = network | {"head.step": seeded(4)}
    assert_same_tensors(read_checkpoint(save(tensors, tmp_path / "x.pth")), tensors)


@pytest.mark.parametrize("stages", [2, 4])
def test_an_openmmlab_classifier(tmp_path, stages, seeded, save):
    names = {"patch_embed.proj.weight", "network.0.0.norm1.weight"}
    tensors = {f"backbone.{name}": seeded(2) for name in names}
    last = f"norm{2 * (stages - 1)}"
    tensors |= {f"backbone.{last}.weight": seeded(3), f"backbone.{last}.bias": seeded(3)}
    tensors |= {"head.fc.weight": seeded(5, 3), "head.fc.bias": seeded(5)}
    if stages == 4:
        tensors["backbone.norm2.weight"] = seeded(2)  # of an earlier stage, for its other heads
        names |= {"norm2.weight"}
    checkpoint = read_checkpoint(save({"state_dict": tensors}, tmp_path / "x.pth"))
    head = {"norm.weight", "norm.bias", "head.weight", "head.bias"}
    assert checkpoint.tensors.keys() == names | head
    assert checkpoint.ignored == ()


def test_timms_features_only_model(tmp_path, tiny_config, save):
    oracles = pytest.importorskip("conversion.oracles")
    from timm.models._features import FeatureListNet

    from keras_poolformer import PoolFormerBackbone

    # timm has no convolution between stages of equal width.
    config = tiny_config.replace(widths=(8, 12, 16, 24))
    module = randomized_module(oracles.build_oracle(config, "timm").module)
    features = FeatureListNet(module, out_indices=(0, 1, 2, 3), flatten_sequential=True).eval()
    model = PoolFormerBackbone.from_preset(save(features.state_dict(), tmp_path / "x.pth"))
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = features(images)[-1].permute(0, 2, 3, 1).numpy()
    assert "stages_0.blocks.0.norm1.weight" in features.state_dict()
    received = np.asarray(model(images.permute(0, 2, 3, 1).numpy()))
    assert relative_error(received, expected) < 2e-6


def test_a_report_names_what_was_left_aside(tmp_path, tiny_config, save):
    oracles = pytest.importorskip("conversion.oracles")
    from keras_poolformer import PoolFormerImageClassifier

    oracle = oracles.build_oracle(tiny_config, "sail")
    randomized_module(oracle.module)
    state = {oracles.sail_name(n): t for n, t in oracle.module.state_dict().items()}
    state = {f"model.{n}": t for n, t in state.items()} | {"loss\x1b.weight": torch.ones(2)}
    model = PoolFormerImageClassifier(tiny_config)
    report = transplant.load_torch_weights(model, save({"state_dict": state}, tmp_path / "x.ckpt"))
    assert (report.wrapper, report.prefix) == ("state_dict", "model.")
    assert report.ignored_tensors == ("loss\x1b.weight",)
    text = str(report)
    assert "weights under 'state_dict', 'model.'" in text and r"loss\x1b.weight" in text
    images = np.random.default_rng(0).standard_normal((1, 64, 64, 3)).astype("float32")
    assert relative_error(np.asarray(model(images)), oracle.run(images)["logits"]) < 2e-6


def test_many_names_beside_the_network_are_abridged(tmp_path, tiny_config, save):
    oracles = pytest.importorskip("conversion.oracles")
    from keras_poolformer import PoolFormerBackbone

    state = oracles.build_oracle(tiny_config, "sail").module.state_dict()
    state = {f"backbone.{oracles.sail_name(name)}": tensor for name, tensor in state.items()}
    state |= {f"neck.{i:03}": torch.ones(1) for i in range(80)}
    model = PoolFormerBackbone(tiny_config)
    report = transplant.load_torch_weights(model, save(state, tmp_path / "x.pth"))
    assert report.ignored_tensors == (*(f"neck.{i:03}" for i in range(50)), "and 30 more")

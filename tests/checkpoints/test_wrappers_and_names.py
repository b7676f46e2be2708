"""Which of a checkpoint's tensors are its weights, under which names, and what is read for them."""

import hashlib

import pytest

from keras_poolformer.checkpoints import archives, readers
from keras_poolformer.checkpoints.readers import read_checkpoint

torch = pytest.importorskip("torch")

FORMATS = ("zip", "legacy", "safetensors")


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
     "backbone.", "module.backbone.", "backbone.module.", "_orig_mod.backbone.backbone."],
)  # fmt: skip
def test_prefixes(tmp_path, format, prefix, weights, assert_same_tensors, save):
    renamed = {prefix + name: tensor for name, tensor in weights.items()}
    assert_same_tensors(read_checkpoint(save(renamed, tmp_path / "x.pth", format)), weights)


def test_of_a_detector_only_the_backbone_is_kept(
    tmp_path, weights, seeded, save, assert_same_tensors
):
    value = {f"module.backbone.{name}": tensor for name, tensor in weights.items()}
    value |= {
        "module.neck.weight": seeded(2),
        "bbox_head.bias": seeded(3),
        "x.backbone.y": seeded(1),
    }
    path = save({"meta": {"CLASSES": ("a", "b")}, "state_dict": value}, tmp_path / "x.pth")
    assert_same_tensors(read_checkpoint(path), weights)


def test_prefixes_inside_a_name_stay(tmp_path, seeded, assert_same_tensors, save):
    tensors = {"a.module.b": seeded(1), "moduleb": seeded(2), "a._orig_mod.c": seeded(3)}
    assert_same_tensors(read_checkpoint(save(tensors, tmp_path / "x.pth")), tensors)


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

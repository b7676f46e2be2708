"""What `convert` prints and writes."""

import hashlib
import json

import numpy as np
import pytest

from keras_poolformer import PoolFormerImageClassifier

torch = pytest.importorskip("torch")


def config_of(path):
    return PoolFormerImageClassifier.from_preset(path).config


def test_convert_reports_and_writes(files, run, out):
    status, printed, lines = run("convert", files / "tiny.pth.tar", "-o", out / "x.keras")
    assert (status, lines) == (0, [])
    assert printed.startswith("tiny.pth.tar: 52 tensors, 10,987 parameters, float32, layout sail")
    assert [path.name for path in out.iterdir()] == ["x.keras"]


def test_what_no_file_tells_is_named(files, run, out):
    arguments = ("convert", files / "tiny.pth.tar", "-o", out / "x.keras", "--overwrite")
    assumed = (
        "assumed, the weights cannot tell: token_mixers pooling, norm group_norm (the authors' "
        "norm_layer), pool_size"
    )
    assert assumed in run(*arguments)[1]
    printed = run(*arguments, "--norm", "layer_norm", "--pool-size", "5")[1]
    assert "token_mixers pooling, activation gelu, strides" in printed
    config = config_of(out / "x.keras")
    assert (config.norm, config.pool_size) == ("layer_norm", 5)


def test_an_output_is_replaced_only_if_asked(files, run, refusal, out, tiny_config):
    output = out / "x.keras"
    output.write_text("precious", encoding="utf-8", newline="\n")
    arguments = ("convert", files / "tiny.pth.tar", "-o", output)
    assert "exists already" in refusal(*arguments)
    assert "exists already" in refusal("convert", "nosuch.pth", "-o", output)  # before reading
    assert output.read_text(encoding="utf-8") == "precious"
    assert run(*arguments, "--overwrite")[0] == 0
    assert config_of(output).widths == tiny_config.widths


def test_outputs_that_cannot_be(files, refusal, out):
    source = files / "tiny.pth.tar"
    message = refusal("convert", source, "-o", out / "missing/x.keras")
    assert "missing is not an existing folder" in message
    assert "must end in .keras" in refusal("convert", source, "-o", out / "x.h5")
    (out / "folder.keras").mkdir()
    assert "exists already" in refusal("convert", source, "-o", out / "folder.keras")


@pytest.mark.parametrize("name", ["tiny.pth.tar", "tiny.safetensors", "tiny.keras"])
def test_checksums(name, files, run, refusal, out):
    right = hashlib.sha256((files / name).read_bytes()).hexdigest()
    arguments = ("convert", files / name, "-o", out / "x.keras", "--sha256")
    message = refusal(*arguments, right[:-1] + ("0" if right[-1] != "0" else "1"))
    assert f"Received: {right}" in message
    assert run(*arguments, right.upper())[0] == 0


@pytest.mark.slow
def test_averaged_weights_are_preferred_unless_refused(state, run, out, tmp_path, random_weights):
    averaged = random_weights(seed=1)
    torch.save({"state_dict": state, "state_dict_ema": averaged}, tmp_path / "x.pth")
    arguments = ("convert", tmp_path / "x.pth", "--overwrite", "-o", out / "x.keras")
    for option, expected in ((), averaged), (("--no-ema",), state):
        assert run(*arguments, *option)[0] == 0
        model = PoolFormerImageClassifier.from_preset(out / "x.keras")
        np.testing.assert_array_equal(model.head.bias, expected["head.bias"])


@pytest.mark.first(1)
@pytest.mark.parametrize("name", ["tiny.pth.tar", "tiny.keras"])
def test_other_classes_get_a_new_head(name, files, run, out):
    arguments = ("convert", files / name, "--num-classes", 5, "-o", out / "x.keras")
    status, printed, _ = run(*arguments)
    assert status == 0
    assert "new, not from the checkpoint: head/kernel, head/bias" in printed
    status, printed, _ = run(*arguments, "--json", "--overwrite")
    assert json.loads(printed)["new_tensors"] == ["head/kernel", "head/bias"]
    assert config_of(out / "x.keras").num_classes == 5


def test_what_shapes_do_not_tell(files, run, out):
    options = ("--pool-size", 5, "--activation", "relu", "--head", "pool_norm")
    status, printed, _ = run("convert", files / "tiny.pth.tar", "-o", out / "x.keras", *options)
    assert status == 0 and "head pool_norm" in printed
    config = config_of(out / "x.keras")
    assert (config.pool_size, config.activation, config.head) == (5, "relu", "pool_norm")


@pytest.mark.slow
def test_a_model_without_an_origin_can_be_converted(run, out, tiny_config):
    PoolFormerImageClassifier(tiny_config).save(out / "fresh.keras")
    arguments = ("convert", out / "fresh.keras", "--overwrite", "-o", out / "x.keras")
    status, printed, _ = run(*arguments)
    assert status == 0 and "does not say" in printed
    status, printed, _ = run(*arguments, "--json")
    assert status == 0 and json.loads(printed) is None


# ---------------------------------------------------------------------------------------
# Back to PyTorch


@pytest.mark.parametrize("source", ["tiny.pth.tar", "tiny.keras"])
def test_weights_for_pytorch(source, files, state, run, out):
    from safetensors.torch import load_file

    path = out / "x.safetensors"
    status, printed, lines = run("convert", files / source, "--to", "sail", "-o", path)
    assert (status, lines) == (0, [])
    assert printed == f"{path}: 52 tensors, 10,987 parameters, float32, layout sail\n"
    received = load_file(path)
    assert received.keys() == state.keys()
    assert all(torch.equal(received[name], tensor) for name, tensor in state.items())
    assert [entry.name for entry in out.iterdir()] == ["x.safetensors"]


def test_a_directory_for_transformers(files, run, refusal, out):
    arguments = ("convert", files / "tiny.pth.tar", "--to", "hf", "-o", out / "hf")
    status, printed, _ = run(*arguments, "--dtype", "bfloat16", "--json")
    assert status == 0
    report = json.loads(printed)
    assert report["files"] == ["model.safetensors", "config.json", "preprocessor_config.json"]
    assert (report["dtype"], report["logits_equal"]) == ("bfloat16", False)
    assert config_of(out / "hf").widths == (8, 8, 16, 16)
    assert "exists already" in refusal(*arguments)
    assert run(*arguments, "--overwrite")[0] == 0
    (out / "hf/other").touch()
    assert "'other' in it" in refusal(*arguments, "--overwrite")


def test_the_head_of_another_library(files, run, refusal, out):
    arguments = ("convert", files / "tiny.pth.tar", "--to", "timm", "-o", out / "timm")
    assert "--allow-other-head" in refusal(*arguments)
    status, printed, _ = run(*arguments, "--allow-other-head")
    assert status == 0
    assert "logits differ" in printed and "no config.json: timm has names" in printed
    assert run(*arguments, "--overwrite", "--head", "pool_norm")[0] == 0


def test_what_cannot_be_written_for_pytorch(files, refusal, out):
    source = files / "tiny.pth.tar"
    assert "end in .safetensors" in refusal("convert", source, "--to", "hf", "-o", out / "x.keras")
    assert "it needs --to" in refusal(
        "convert", source, "--dtype", "float16", "-o", out / "x.keras"
    )
    assert "it needs --to" in refusal(
        "convert", source, "--allow-other-head", "-o", out / "x.keras"
    )
    arguments = ("convert", source, "-o", out / "x.safetensors")
    assert "must end in .keras" in refusal(*arguments)
    assert "invalid choice" in refusal(*arguments, "--to", "tf")
    assert "invalid choice" in refusal(*arguments, "--to", "hf", "--dtype", "int8")

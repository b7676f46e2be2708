"""Other networks and formats are named, not listed as tensors: judged by their own libraries."""

import zipfile

import numpy as np
import pytest

from keras_poolformer.checkpoints import layouts
from keras_poolformer.checkpoints.checkpoint import read_checkpoint
from keras_poolformer.support.errors import InputError

torch = pytest.importorskip("torch")
pytest.importorskip("conversion.oracles")  # which makes timm and transformers importable

import timm  # noqa: E402
import transformers  # noqa: E402

TIMM = {
    "vit_tiny_patch16_224": "ViT, DeiT or BEiT",
    "deit_tiny_distilled_patch16_224": "ViT, DeiT or BEiT",
    "beit_base_patch16_224": "ViT, DeiT or BEiT",
    "swin_tiny_patch4_window7_224": "Swin",
    "resnet18": "ResNet",
    "resnet50d": "ResNet",
    "convnext_atto": "ConvNeXt",
    "efficientnet_b0": "EfficientNet or MobileNet",
    "mobilenetv3_small_050": "EfficientNet or MobileNet",
    "mixer_s32_224": "MLP-Mixer",
}
TRANSFORMERS = {
    "ViT": ("ViT, DeiT or BEiT", {"hidden_size": 12, "intermediate_size": 12,
                                  "num_hidden_layers": 1}),
    "ConvNext": ("ConvNeXt", {"hidden_sizes": [4] * 4, "depths": [1] * 4}),
    "ResNet": ("ResNet", {"hidden_sizes": [4] * 4, "depths": [1] * 4, "embedding_size": 4}),
    "Swin": ("Swin", {"embed_dim": 12, "depths": [1, 1], "num_heads": [1, 1]}),
}  # fmt: skip
OTHERS = {  # names as the authors' models/metaformer.py of the first paper has them, and adapters
    "a hybrid of the first paper, with a position embedding (metaformer_ppaa_s12_224)": [
        "patch_embed.proj.weight", "network.4.pos_embed", "network.5.0.token_mixer.qkv.weight",
        "network.5.0.token_mixer.proj.bias",
    ],
    "a hybrid of the first paper, with SpatialFc (metaformer_ppff_s12_224)": [
        "patch_embed.proj.weight", "network.4.0.token_mixer.fc.weight",
    ],
    "a LoRA adapter": ["base_model.model.network.0.0.mlp.fc1.lora_A.weight"],
    "the state of an optimizer": ["0.exp_avg", "0.exp_avg_sq"],
}  # fmt: skip


def said(names):
    with pytest.raises(InputError) as caught:
        layouts.detect_layout(list(names))
    return str(caught.value)


@pytest.mark.parametrize("name", TIMM)
def test_networks_of_timm(name):
    with torch.device("meta"):
        names = timm.create_model(name).state_dict()
    message = said(names)
    assert f"the checkpoint is {TIMM[name]}" in message and "reads PoolFormer" in message


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_networks_of_transformers(name):
    kind, fields = TRANSFORMERS[name]
    config = getattr(transformers, f"{name}Config")(**fields)
    with torch.device("meta"):
        network = getattr(transformers, f"{name}ForImageClassification")(config)
    assert f"the checkpoint is {kind}" in said(network.state_dict())


@pytest.mark.parametrize("kind", OTHERS)
def test_hybrids_of_the_first_paper_and_adapters(kind):
    assert f"the checkpoint is {kind}" in said(OTHERS[kind])


# Files and folders


def test_whole_pickled_models_name_their_class(tmp_path, refusal, save):
    for value in (torch.nn.Linear(2, 2), timm.create_model("test_resnet")):
        path = save(value, tmp_path / "model.pth")
        message = refusal(path)
        kind = f"{type(value).__module__}.{type(value).__name__}"
        assert f"is a whole pickled model or another object: it asks for {kind}, " in message
        assert "save model.state_dict() instead" in message
    message = refusal(save({"model": torch.nn.Linear(2, 2)}, path))
    assert "asks for torch.nn.modules.linear.Linear" in message


def test_optimizers_programs_and_arrays(tmp_path, refusal, save):
    path = tmp_path / "x.pth"
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    assert "state of an optimizer" in refusal(save(optimizer.state_dict(), path))
    np.savez(tmp_path / "x.npz", a=np.ones(2))
    assert "NumPy arrays (.npz)" in refusal(tmp_path / "x.npz")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", "")
    assert ".keras file under another name" in refusal(path)


@pytest.mark.parametrize(
    ("file", "meaning"),
    [("saved_model.pb", "SavedModel"), ("adapter_config.json", "adapter"),
     ("tf_model.h5", "TensorFlow weights"), ("model.onnx", "ONNX")],
)  # fmt: skip
def test_directories_without_pytorch_weights(tmp_path, file, meaning, refusal):
    (tmp_path / file).write_bytes(b"")
    assert meaning in refusal(tmp_path)
    with pytest.raises(InputError, match=r"looked for model\.safetensors"):
        (tmp_path / file).unlink()
        read_checkpoint(tmp_path)

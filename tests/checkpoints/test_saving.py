"""Back to PyTorch: what the libraries themselves make of files and directories that we write."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_poolformer import (
    ImageTransform,
    PoolFormerBackbone,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    load_torch_weights,
    save_torch_weights,
)
from keras_poolformer.support.errors import InputError
from tests.helpers import TOLERANCE, randomized_model, relative_error

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")
oracles = pytest.importorskip("conversion.oracles")
timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")

CONFIG = PoolFormerConfig(depths=(1, 2), widths=(8, 12), num_classes=3)
LABELS = ("cat", "dog", "owl")
LAYOUT_OF_HEAD = {"norm_pool": ("sail", "hf"), "pool_norm": ("timm",)}


@pytest.fixture(scope="module")
def model():
    return randomized_model(CONFIG.replace(labels=LABELS))


def to_torch(images):
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def logits_of(module, images):
    with torch.inference_mode():
        output = module.eval()(to_torch(images))
    return getattr(output, "logits", output).numpy()


def weights_of(model):
    return {variable.path: np.asarray(variable) for variable in model.weights}


# ---------------------------------------------------------------------------------------
# Single files


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("head", "layout"), [(head, one) for head, both in LAYOUT_OF_HEAD.items() for one in both]
)
def test_pytorch_reads_a_file(tmp_path, images, head, layout):
    """The authors' names included: sail-sg's network is transformers' under other names."""
    model = randomized_model(CONFIG.replace(head=head))
    path = tmp_path / "saved.safetensors"
    report = save_torch_weights(model, path, layout=layout)
    assert report.to_dict() == {
        "path": str(path), "files": [], "layout": layout, "dtype": "float32",
        "tensors": len(model.weights), "parameters": model.count_params(),
        "logits_equal": True, "notes": [],
    }  # fmt: skip
    oracle = oracles.build_oracle(CONFIG, layout)
    state = safetensors_torch.load_file(path)
    names = {oracle.names.get(name, name): tensor for name, tensor in state.items()}
    oracle.module.load_state_dict(names, strict=True)
    assert relative_error(model(images), oracle.run(images)["logits"]) <= TOLERANCE
    again = PoolFormerImageClassifier(CONFIG.replace(head=head))
    load_torch_weights(again, path)
    saved = weights_of(model)
    assert all(np.array_equal(value, saved[name]) for name, value in weights_of(again).items())


@pytest.mark.slow
def test_timms_own_loader_reads_a_file(tmp_path, images):
    """Strictly, by a name of timm; and timm's own translation of the authors' names."""
    config = PoolFormerConfig.from_variant("poolformer_s12", num_classes=5, head="pool_norm")
    model = randomized_model(config)
    path = tmp_path / "x.safetensors"
    save_torch_weights(model, path, layout="timm")
    theirs = timm.create_model("poolformer_s12", num_classes=5, checkpoint_path=str(path))
    expected = logits_of(theirs, images)
    assert relative_error(model(images), expected) <= TOLERANCE
    save_torch_weights(model, path, allow_other_head=True, overwrite=True)
    state = timm.models.metaformer.checkpoint_filter_fn(safetensors_torch.load_file(path), theirs)
    theirs.load_state_dict(state, strict=True)
    np.testing.assert_array_equal(logits_of(theirs, images), expected)


# ---------------------------------------------------------------------------------------
# Directories


def test_a_directory_for_transformers(model, tmp_path, images, photographs):
    transform = ImageTransform(size=64, crop_pct=0.8, crop_mode="hf")
    report = save_torch_weights(model, tmp_path / "out", layout="hf", transform=transform)
    assert report.files == ("model.safetensors", "config.json", "preprocessor_config.json")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {*report.files}
    assert report.logits_equal and not report.notes
    theirs, info = transformers.PoolFormerForImageClassification.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert relative_error(model(images), logits_of(theirs, images)) <= TOLERANCE
    assert theirs.config.id2label == dict(enumerate(LABELS))
    processor = transformers.PoolFormerImageProcessorPil.from_pretrained(tmp_path / "out")
    with Image.open(photographs[0]) as photo:
        photo = photo.convert("RGB")
    expected = np.asarray(processor(photo)["pixel_values"])[0].transpose(1, 2, 0)
    np.testing.assert_array_equal(transform(photo), expected)

    again = PoolFormerImageClassifier.from_preset(tmp_path / "out")
    assert again.config == model.config
    assert ImageTransform.from_preset(tmp_path / "out") == transform.replace(crop_size=64)
    np.testing.assert_array_equal(again(images), model(images))


@pytest.mark.slow
def test_a_directory_for_timm(tmp_path, images):
    config = PoolFormerConfig.from_variant(
        "poolformer_s12", num_classes=3, labels=LABELS, head="pool_norm", pool_size=5
    )
    model = randomized_model(config)
    transform = ImageTransform(size=96, crop_pct=0.8)
    report = save_torch_weights(model, tmp_path / "out", layout="timm", transform=transform)
    assert report.files == ("model.safetensors", "config.json")
    assert report.logits_equal and not report.notes
    theirs = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True)
    assert relative_error(model(images), logits_of(theirs, images)) <= TOLERANCE
    again = PoolFormerImageClassifier.from_preset(tmp_path / "out")
    assert again.config == config
    assert ImageTransform.from_preset(tmp_path / "out") == transform
    np.testing.assert_array_equal(again(images), model(images))


def test_timm_has_no_name_for_an_odd_network(tmp_path, images):
    model = randomized_model(CONFIG.replace(head="pool_norm"))
    report = save_torch_weights(model, tmp_path / "out", layout="timm")
    assert report.files == ("model.safetensors",)
    (note,) = report.notes
    assert note.startswith("no config.json: timm has names only for poolformer_s12")
    assert note in str(report)
    assert report.logits_equal
    again = PoolFormerImageClassifier.from_preset(tmp_path / "out")
    np.testing.assert_array_equal(again(images), model(images))


def test_a_directory_in_the_authors_names(model, tmp_path):
    report = save_torch_weights(model, tmp_path / "out")
    assert report.files == ("model.safetensors",) and not report.notes
    assert "head.weight" in safetensors_torch.load_file(tmp_path / "out/model.safetensors")


def test_four_channels_have_no_image_processor(tmp_path, images):
    model = randomized_model(CONFIG.replace(in_channels=4))
    report = save_torch_weights(model, tmp_path / "out", layout="hf")
    assert report.files == ("model.safetensors", "config.json")
    theirs = transformers.PoolFormerForImageClassification.from_pretrained(tmp_path / "out")
    four = np.concatenate([images, images[..., :1]], axis=-1)
    assert relative_error(model(four), logits_of(theirs, four)) <= TOLERANCE


def test_a_backbone(tmp_path, images):
    backbone = randomized_model(CONFIG, PoolFormerBackbone)
    report = save_torch_weights(backbone, tmp_path / "out", layout="hf")
    assert report.logits_equal is None
    theirs, info = transformers.PoolFormerModel.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.inference_mode():
        features = theirs.eval()(to_torch(images)).last_hidden_state.numpy()
    assert relative_error(backbone(images), features.transpose(0, 2, 3, 1)) <= TOLERANCE
    report = save_torch_weights(backbone, tmp_path / "timm", layout="timm")  # has no head to differ
    assert report.files == ("model.safetensors",) and "whole classifiers" in report.notes[0]


def test_a_network_without_classes(tmp_path, images):
    model = randomized_model(CONFIG.replace(num_classes=0))
    save_torch_weights(model, tmp_path / "out", layout="hf")
    theirs = transformers.PoolFormerForImageClassification.from_pretrained(tmp_path / "out")
    assert relative_error(model(images), logits_of(theirs, images)) <= TOLERANCE


def test_crops_that_lie_a_pixel_off_are_said(model, tmp_path):
    report = save_torch_weights(model, tmp_path / "out", layout="hf")  # as timm crops, by default
    (note,) = report.notes
    assert "one pixel off" in note


def test_what_nothing_looks_at_goes_there_and_back(model, tmp_path):
    """patch_size and stride of transformers' config, also by way of a .keras file."""
    save_torch_weights(model, tmp_path / "one", layout="hf")
    config = json.loads((tmp_path / "one/config.json").read_text(encoding="utf-8")) | {
        "patch_size": 4,
        "stride": 2,
    }
    (tmp_path / "one/config.json").write_text(json.dumps(config), encoding="utf-8", newline="\n")
    PoolFormerImageClassifier.from_preset(tmp_path / "one").save(tmp_path / "x.keras")
    again = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras")
    save_torch_weights(again, tmp_path / "two", layout="hf")
    assert json.loads((tmp_path / "two/config.json").read_text(encoding="utf-8")) == config


def test_only_a_directory_of_such_files_is_replaced(model, tmp_path):
    folder = tmp_path / "out"
    save_torch_weights(model, folder, layout="hf")
    save_torch_weights(model, folder, layout="sail", overwrite=True)
    assert [file.name for file in folder.iterdir()] == ["model.safetensors"]
    with pytest.raises(InputError, match="exists already"):
        save_torch_weights(model, folder)
    (folder / "thesis.tex").write_text("precious", encoding="utf-8", newline="\n")
    with pytest.raises(InputError, match=r"Received: 'thesis\.tex' in it"):
        save_torch_weights(model, folder, layout="hf", overwrite=True)
    assert (folder / "thesis.tex").read_text(encoding="utf-8") == "precious"


def test_a_failed_directory_leaves_the_old_one(model, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    save_torch_weights(model, folder, layout="hf")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def full_disk(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_poolformer.checkpoints.saving.json.dumps", full_disk)
    with pytest.raises(OSError, match="out cannot be written: No space"):
        save_torch_weights(model, folder, layout="hf", overwrite=True)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


# ---------------------------------------------------------------------------------------
# Heads


@pytest.mark.slow
def test_another_head_is_only_written_on_request(tmp_path, images):
    model = randomized_model(PoolFormerConfig.from_variant("poolformer_s12", num_classes=3))
    path = tmp_path / "timm"
    with pytest.raises(InputError, match="head is pool_norm, the model's is norm_pool"):
        save_torch_weights(model, path, layout="timm")
    assert not path.exists()
    report = save_torch_weights(model, path, layout="timm", allow_other_head=True)
    assert report.logits_equal is False
    assert "logits differ, feature maps are equal" in str(report)
    theirs = timm.create_model(f"local-dir:{path}", pretrained=True)
    with torch.inference_mode():
        features = theirs.eval().forward_features(to_torch(images)).numpy()
    assert relative_error(model.backbone(images), features.transpose(0, 2, 3, 1)) <= TOLERANCE
    assert relative_error(model(images), logits_of(theirs, images)) > 0.01


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"layout": "keras"}, "layout"),
        ({"layout": ["hf"]}, "layout"),
        ({"dtype": "int8"}, "dtype"),
        ({"dtype": "float64"}, "dtype"),
    ],
)
def test_unknown_options_are_refused(model, tmp_path, arguments, named):
    with pytest.raises(InputError, match=f"`{named}`.*Received"):
        save_torch_weights(model, tmp_path / "x", **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.pth", "x.keras", "x.sail_in1k"])
def test_other_suffixes_are_refused(model, tmp_path, name):
    with pytest.raises(InputError, match=r"must end in \.safetensors"):
        save_torch_weights(model, tmp_path / name)
    (tmp_path / "dir.v1").mkdir()  # but what is a directory is one
    assert save_torch_weights(model, tmp_path / "dir.v1", overwrite=True).files

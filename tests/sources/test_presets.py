"""What a source means: names, files, directories of the two hubs, and hostile JSON in them."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from keras_poolformer import ImageTransform, PoolFormerConfig, list_presets
from keras_poolformer.checkpoints.checkpoint import read_checkpoint
from keras_poolformer.checkpoints.layouts import HF, TIMM
from keras_poolformer.checkpoints.tensors import expected_tensors
from keras_poolformer.sources import resolve
from keras_poolformer.sources.released import CIFAR10_LABELS, RELEASES, default_labels
from keras_poolformer.sources.segmenters import SEGMENTERS, ade20k_fields
from keras_poolformer.support.errors import InputError
from keras_poolformer.variants import VARIANTS
from tests.helpers import TINY, error_line

SHIPPED = ("convformer_tiny_cifar10", "poolformer_tiny_cifar10", "poolformer_tiny_nuclei")
# The fields of transformers' config.json that describe TINY.
HF_CONFIG = {
    "model_type": "poolformer",
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [8, 8, 16, 16],
    "num_encoder_blocks": 4,
    "patch_sizes": [7, 3, 3, 3],
    "strides": [4, 2, 2, 2],
    "padding": [2, 1, 1, 1],
    "pool_size": 3,
    "mlp_ratio": 4.0,
    "num_channels": 3,
    "hidden_act": "gelu",
    "use_layer_scale": True,
    "layer_scale_init_value": 1e-5,
    "initializer_range": 0.02,
    "drop_path_rate": 0.0,
    "id2label": {"0": "cat", "1": "dog", "2": "owl"},
}
TIMM_CONFIG = {
    "architecture": "poolformer_s12",
    "num_classes": 3,
    "pretrained_cfg": {
        "input_size": [3, 96, 96],
        "crop_pct": 0.8,
        "interpolation": "bilinear",
        "mean": [0.5, 0.4, 0.3],
        "std": [0.1, 0.2, 0.3],
    },
}
PREPROCESSOR = {
    "do_resize": True,
    "size": {"shortest_edge": 96},
    "crop_pct": 0.8,
    "crop_size": {"height": 88, "width": 88},
    "resample": 2,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.1, 0.2, 0.3],
    "rescale_factor": 1 / 255,
}


def tensors(config, layout, seed=0):
    generator = np.random.default_rng(seed)
    return {
        tensor.name: generator.standard_normal(tensor.shape, np.float32)
        for tensor in expected_tensors(config, layout)
    }


def directory(folder, config, preprocessor=None, layout=HF, weights=TINY):
    """A directory as it comes from a hub; returns its path."""
    save_file(tensors(weights, layout), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8", newline="\n")
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(
            json.dumps(preprocessor), encoding="utf-8", newline="\n"
        )
    return folder


def config_of(source):
    """The `PoolFormerConfig` of a source, by what is said beside the weights and by them."""
    return resolve(source).read().config


# ---------------------------------------------------------------------------------------
# Names


def test_every_preset_resolves_to_itself():
    assert list(list_presets()) == [*SHIPPED, *RELEASES, *SEGMENTERS]
    for name, description in list_presets().items():
        source = resolve(name)
        assert source.name == name
        assert "\n" not in description
        assert any(measure in description for measure in ("top-1", "21k", "mIoU"))
        assert resolve(source) is source and resolve(name) == source


@pytest.mark.parametrize("name", VARIANTS)
def test_a_released_variant_by_its_short_name(name):
    source = resolve(name)
    assert source == resolve(f"{name}_in1k")
    config = PoolFormerConfig(**source.config)
    assert config.replace(labels=None) == VARIANTS[name]
    assert len(config.labels) == 1000 and config.labels[1].startswith("goldfish")
    family, size = name.split("_")
    crop_pct = 1.0 if family != "poolformer" else 0.95 if size.startswith("m") else 0.9
    assert source.transform == ImageTransform(crop_pct=crop_pct)
    ending = f"/v1.0/{name}.pth.tar" if family == "poolformer" else f"/{family}/{name}.pth"
    assert source.download.endswith(ending)
    assert source.weights.name == Path(ending).name


# Names and addresses of sail-sg/metaformer's README; 55 files.
@pytest.mark.parametrize(
    ("name", "file", "size", "classes"),
    [
        ("caformer_s18_in1k", "caformer/caformer_s18.pth", 224, 1000),
        ("caformer_s18_in1k_384", "caformer/caformer_s18_384.pth", 384, 1000),
        ("convformer_m36_in21k_in1k", "convformer/convformer_m36_in21ft1k.pth", 224, 1000),
        ("caformer_b36_in21k_in1k_384", "caformer/caformer_b36_384_in21ft1k.pth", 384, 1000),
        ("caformer_m36_in21k", "caformer/caformer_m36_in21k.pth", 224, 21_841),
    ],
)
def test_a_released_file_of_the_second_paper(name, file, size, classes):
    source = resolve(name)
    assert source.download == f"https://huggingface.co/sail/dl/resolve/main/{file}"
    assert source.transform == ImageTransform(size=size, crop_pct=1.0)
    config = source.read(weights=False).config
    assert (config.num_classes, bool(config.labels)) == (classes, classes == 1000)


# Addresses of mmsegmentation 1.2.2, configs/poolformer/metafile.yaml.
@pytest.mark.parametrize(
    ("size", "ending"),
    [
        ("s12", "20220501_115154-b5aa2f49"),
        ("s24", "20220503_222049-394a7cf7"),
        ("s36", "20220501_151122-b47e607d"),
        ("m36", "20220501_164230-3dc83921"),
        ("m48", "20220504_003923-64168d3b"),
    ],
)
def test_a_released_segmenter(size, ending):
    source = resolve(f"poolformer_{size}_ade20k")
    folder = f"fpn_poolformer_{size}_8x4_512x512_40k_ade20k"
    assert source.download == (
        "https://download.openmmlab.com/mmsegmentation/v0.5/poolformer/"
        f"{folder}/{folder}_{ending}.pth"
    )
    config = source.read(weights=False).config
    assert config.depths == VARIANTS[f"poolformer_{size}"].depths
    assert (config.num_classes, config.labels[0], config.labels[-1]) == (150, "wall", "flag")
    assert (config.palette[0], config.palette[-1]) == ((120, 120, 120), (92, 0, 255))
    assert (config.head, config.feature_norms) == ("semantic_fpn", True)


def test_sixty_files_are_released():
    families = [name.split("_")[0] for name in RELEASES]
    assert len(families) == 5 + 55 and families.count("caformer") == 20


def test_the_shipped_preset_is_whole():
    source = resolve("poolformer_tiny_cifar10")
    checkpoint = read_checkpoint(source.weights)
    assert checkpoint.sha256 == source.sha256
    config = config_of(source)
    assert config.labels == CIFAR10_LABELS
    assert sum(array.size for array in checkpoint.tensors.values()) == pytest.approx(
        float(source.description.split()[0]) * 1e6, rel=0.05
    )


def test_missing_weights_say_where_they_come_from(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    source = resolve("poolformer_m36")
    place = tmp_path / "models/keras_poolformer/poolformer_m36.pth.tar"
    assert source.weights == place
    with pytest.raises(InputError, match=r"v1\.0/poolformer_m36\.pth\.tar cannot be") as caught:
        source.fetch()
    assert str(caught.value).endswith(f"put the file at {place}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("poolformer_s12_in22k", "poolformer_s12_in1k"),
        ("poolformer_tiny_cifar", "poolformer_tiny_cifar10"),
        ("poolformer-m48-in1k", "poolformer_m48_in1k"),
        ("poolformer_s13", "poolformer_s12"),
        ("PoolFormer_S36", "poolformer_s36"),
    ],
)
def test_a_misspelt_name_is_guessed(name, meant):
    with pytest.raises(InputError, match=rf"Did you mean '{meant}'\?"):
        resolve(name)


def test_an_unknown_name_is_not_guessed():
    with pytest.raises(InputError, match="neither a file") as caught:
        resolve("resnet50")
    assert "Did you mean" not in str(caught.value)
    assert all(name in str(caught.value) for name in list_presets())


def test_an_unknown_name_is_told_what_a_source_is():
    with pytest.raises(InputError) as caught:
        resolve("nosuch/file.pth")
    message = str(caught.value)
    kinds = (".safetensors or .keras file", "a directory as train, card,", "hf://OWNER/NAME")
    assert all(kind in message for kind in kinds) and "`keras-poolformer presets`" in message


def test_without_a_home_directory(monkeypatch, tmp_path):
    """As in containers whose user has no entry in /etc/passwd."""

    def no_entry(_):
        raise KeyError("no such user")

    monkeypatch.setattr("pwd.getpwuid", no_entry)
    for name in ("HOME", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert len(list_presets()) == len(SHIPPED) + len(RELEASES) + len(SEGMENTERS)
    assert ImageTransform.from_preset("poolformer_tiny_cifar10").size == 64
    with pytest.raises(InputError, match="no home directory to keep it in; set KERAS_HOME"):
        resolve("poolformer_s12").fetch()
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------
# Files and directories


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_known_by_its_shapes_alone(kind, tmp_path):
    save_file(tensors(TINY, TIMM), tmp_path / "x.safetensors")
    source = resolve(kind(tmp_path / "x.safetensors"))
    assert (source.config, source.transform) == ({}, None)
    assert config_of(source) == TINY.replace(head="pool_norm")


def test_a_file_in_the_way_of_no_preset(tmp_path, monkeypatch):
    """A preset's name means the preset even where a file is called like it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "poolformer_s12").write_text("not this", encoding="utf-8", newline="\n")
    assert resolve("poolformer_s12").name == "poolformer_s12_in1k"
    assert resolve("./poolformer_s12").weights == Path("poolformer_s12")


def test_a_directory_without_json_is_known_by_its_shapes(tmp_path):
    save_file(tensors(TINY, HF), tmp_path / "model.safetensors")
    assert config_of(tmp_path) == TINY
    assert ImageTransform.from_preset(tmp_path) == ImageTransform()


def test_a_directory_of_transformers(tmp_path):
    other = {"strides": [2, 2, 2, 2], "padding": [3, 1, 1, 1], "pool_size": 5}
    other |= {"hidden_act": "gelu_pytorch_tanh", "drop_path_rate": 0.25}
    directory(tmp_path, HF_CONFIG | other, PREPROCESSOR)
    assert config_of(tmp_path) == TINY.replace(
        strides=(2, 2, 2, 2),
        paddings=(3, 1, 1, 1),
        pool_size=5,
        activation="gelu_tanh",
        drop_path_rate=0.25,
        labels=("cat", "dog", "owl"),
    )
    assert ImageTransform.from_preset(tmp_path) == ImageTransform(
        size=96,
        crop_size=88,
        crop_pct=0.8,
        interpolation="bilinear",
        mean=(0.5, 0.4, 0.3),
        std=(0.1, 0.2, 0.3),
        crop_mode="hf",
    )


def test_placeholders_are_no_labels(tmp_path):
    placeholders = {str(i): f"LABEL_{i}" for i in range(3)}
    directory(tmp_path, HF_CONFIG | {"id2label": placeholders})
    assert config_of(tmp_path).labels is None


def test_labels_are_in_the_order_of_their_ids(tmp_path):
    directory(tmp_path, HF_CONFIG | {"id2label": {"2": "owl", "0": "cat", "1": "dog"}})
    assert config_of(tmp_path).labels == ("cat", "dog", "owl")


@pytest.mark.parametrize("names", [["cat", "dog", "owl"], {"2": "owl", "0": "cat", "1": "dog"}])
def test_a_directory_of_timm(names, tmp_path):
    config = TIMM_CONFIG | {"label_names": names}
    directory(tmp_path, config, layout=TIMM)
    assert config_of(tmp_path) == TINY.replace(head="pool_norm", labels=("cat", "dog", "owl"))
    assert ImageTransform.from_preset(tmp_path) == ImageTransform(
        size=96,
        crop_pct=0.8,
        interpolation="bilinear",
        mean=(0.5, 0.4, 0.3),
        std=(0.1, 0.2, 0.3),
    )


def test_imagenet_labels_belong_to_released_architectures_only():
    assert default_labels(VARIANTS["poolformer_m36"])[0].startswith("tench")
    assert default_labels(VARIANTS["poolformer_m36"].replace(num_classes=10)) is None
    assert default_labels(TINY.replace(num_classes=1000)) is None
    segmenter = VARIANTS["poolformer_s12"].replace(**ade20k_fields())
    assert default_labels(segmenter)[2] == "sky"
    classes = {"labels": None, "palette": None, "num_classes": 1000}
    assert default_labels(segmenter.replace(**classes)) is None


def test_a_bare_file_of_a_released_variant_is_cropped_as_that_variant(tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "poolformer_m36", TINY)
    save_file(tensors(TINY, HF), tmp_path / "x.safetensors")
    transform = ImageTransform(crop_pct=0.95)
    assert ImageTransform.from_preset(tmp_path / "x.safetensors") == transform


# ---------------------------------------------------------------------------------------
# JSON that nobody has checked


def refused(folder):
    """The one line with which a directory's config and transform are refused."""

    def read():
        config_of(folder)
        ImageTransform.from_preset(folder)

    return error_line(read)


HOSTILE_HF = [
    ("depths", 5, "depths"),
    ("depths", None, "depths"),
    ("depths", "1111", "depths"),
    ("depths", [1, 1, 1, "1"], "depths"),
    ("depths", [1, 1, 1, 1.5], "depths"),
    ("depths", [1, 1, 1, -1], "depths"),
    ("depths", [True, 1, 1, 1], "depths"),
    ("depths", [1, 1, 1], "num_encoder_blocks"),
    ("depths", [10**9, 1, 1, 1], "depths"),
    ("depths", [1] * 10_000, "depths"),
    ("depths", {"0": 1}, "depths"),
    ("num_encoder_blocks", 3, "num_encoder_blocks"),
    ("num_encoder_blocks", [4], "num_encoder_blocks"),
    ("hidden_sizes", [8, 8, 16], "widths"),
    ("hidden_sizes", [8, 8, 16, 10**9], "widths"),
    ("hidden_sizes", [8, 8, 16, 0], "widths"),
    ("hidden_sizes", [[8], 8, 16, 16], "widths"),
    ("strides", [4, 2, 2, -2], "strides"),
    ("strides", [4, 2, 2, 0], "strides"),
    ("strides", [4, 2, 2, 10**9], "strides"),
    ("padding", [-1, 1, 1, 1], "paddings"),
    ("patch_sizes", [7, 3, 3, 10**6], "patch_sizes"),
    ("pool_size", 2, "pool_size"),
    ("pool_size", "3", "pool_size"),
    ("mlp_ratio", "4", "mlp_ratio"),
    ("mlp_ratio", 1e300, "mlp_ratio"),
    ("mlp_ratio", -4, "mlp_ratio"),
    ("num_channels", 10**9, "in_channels"),
    ("hidden_act", "gelu_fast_and_loose", "hidden_act"),
    ("hidden_act", ["gelu"], "hidden_act"),
    ("hidden_act", {}, "hidden_act"),
    ("hidden_act", None, "hidden_act"),
    ("use_layer_scale", "no", "use_layer_scale"),
    ("layer_scale_init_value", None, "layer_scale_init"),
    ("drop_path_rate", 1, "drop_path_rate"),
    ("initializer_range", [0.02], "initializer_range"),
    ("id2label", {"0": "cat", "1": "dog", "3": "owl"}, "id2label"),
    ("id2label", {"0": "cat", "1": "dog", "2": 7}, "id2label"),
    ("id2label", {"0": "cat"}, "labels"),
    ("id2label", ["cat", "dog", "owl"], "id2label"),
    ("num_labels", 2, "all 2 classes"),
    ("num_labels", 10**9, "classes"),
    ("num_labels", -3, "num_labels"),
    ("stride", [1, 2], "stride"),
    ("patch_size", "16", "patch_size"),
    ("patch_size", [[[16]]], "patch_size"),
    ("model_type", "resnet", "model_type"),
    ("model_type", ["poolformer"], "model_type"),
]


@pytest.mark.parametrize(("field", "value", "named"), HOSTILE_HF)
def test_a_hostile_config_of_transformers(field, value, named, tmp_path):
    directory(tmp_path, HF_CONFIG | {field: value})
    assert named in refused(tmp_path)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none(number, tmp_path):
    directory(tmp_path, HF_CONFIG | {"layer_scale_init_value": "HERE"})
    text = (tmp_path / "config.json").read_text(encoding="utf-8").replace('"HERE"', number)
    (tmp_path / "config.json").write_text(text, encoding="utf-8", newline="\n")
    assert "JSON" in refused(tmp_path) or "layer_scale_init" in refused(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '"text"', "null", "[" * 100_000, "\xff"])
def test_files_that_are_no_json_object(text, tmp_path):
    directory(tmp_path, HF_CONFIG)
    (tmp_path / "config.json").write_bytes(text.encode("latin1"))
    assert "config.json" in refused(tmp_path)


HOSTILE_TIMM = [
    ("architecture", "poolformer_s13", "architecture"),
    ("architecture", "resnet50", "architecture"),
    ("architecture", ["poolformer_s12"], "architecture"),
    ("architecture", None, "architecture"),
    ("model_args", {"mlp_act": "relu"}, "model_args"),
    ("model_args", {"pool_size": 4}, "pool_size"),
    ("pretrained_cfg", {"crop_mode": "border"}, "crop_mode"),
    ("label_names", 5, "label_names"),
    ("label_names", "cat", "label_names"),
    ("label_names", ["cat"], "labels"),
    ("label_names", [1, 2, 3], "label_names"),
    ("pretrained_cfg", [], "pretrained_cfg"),
    ("pretrained_cfg", {"input_size": 224}, "input_size"),
    ("pretrained_cfg", {"input_size": [3, 224, 192]}, "input_size"),
    ("pretrained_cfg", {"input_size": [3, "224", "224"]}, "size"),
    ("pretrained_cfg", {"input_size": [3, 10**9, 10**9]}, "size"),
    ("pretrained_cfg", {"crop_pct": "0.9"}, "crop_pct"),
    ("pretrained_cfg", {"interpolation": "random"}, "interpolation"),
    ("pretrained_cfg", {"std": [0, 0, 0]}, "std"),
]


@pytest.mark.parametrize(("field", "value", "named"), HOSTILE_TIMM)
def test_a_hostile_config_of_timm(field, value, named, tmp_path):
    directory(tmp_path, TIMM_CONFIG | {field: value}, layout=TIMM)
    assert named in refused(tmp_path)


HOSTILE_PREPROCESSOR = [
    ("size", {}, "size"),
    ("size", {"height": 96}, "size"),
    ("size", {"height": 96, "width": -90}, "size"),
    ("size", {"height": 96, "width": 10**9}, "size"),
    ("size", [96, 90, 3], "size"),
    ("size", {"longest_edge": 96}, "size"),
    ("size", "96", "size"),
    ("size", {"shortest_edge": -1}, "size"),
    ("size", {"shortest_edge": [96]}, "size"),
    ("size", {"shortest_edge": 10**9}, "size"),
    ("crop_size", {"height": 0, "width": 0}, "crop_size"),
    ("crop_size", {"shortest_edge": 96}, "crop_size"),
    ("crop_size", None, "crop_size"),
    ("data_format", 7, "data_format"),
    ("image_processor_type", "ViTImageProcessor", "image_processor_type"),
    ("crop_pct", 2, "crop_pct"),
    ("resample", 9, "resample"),
    ("resample", "bicubic", "resample"),
    ("image_mean", "0.5", "mean"),
    ("image_std", [1, 1], "std"),
    ("rescale_factor", 0, "rescale_factor"),
    ("do_center_crop", "yes", "do_center_crop"),
]


@pytest.mark.parametrize(("field", "value", "named"), HOSTILE_PREPROCESSOR)
def test_a_hostile_preprocessor(field, value, named, tmp_path):
    directory(tmp_path, HF_CONFIG, PREPROCESSOR | {field: value})
    assert named in refused(tmp_path)


def test_as_many_classes_as_in_the_weights(tmp_path):
    """transformers writes no id2label where nothing but a number is known."""
    config = {name: value for name, value in HF_CONFIG.items() if name != "id2label"}
    assert config_of(directory(tmp_path, config | {"num_labels": 3})).num_classes == 3
    directory(tmp_path, config | {"num_labels": 5})
    assert "num_labels=5, 3 in classifier" in refused(tmp_path)


def test_a_json_file_far_too_large_is_not_read(tmp_path):
    directory(tmp_path, HF_CONFIG)
    with (tmp_path / "config.json").open("r+b") as file:
        file.truncate(2 * 2**30)  # sparse: 2 GiB that take no room
    assert "must have at most 8,388,608 bytes" in refused(tmp_path)


def test_a_config_far_larger_than_its_weights_costs_no_memory(tmp_path):
    """16,384 channels would be 4 GB in one MLP, before a tensor's shape is compared."""
    directory(tmp_path, HF_CONFIG | {"hidden_sizes": [8, 8, 16, 16_384]})
    assert "weights but holds 10,987" in refused(tmp_path)

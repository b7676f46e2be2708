"""The JSON files that we write, as transformers and timm read them."""

import json

import numpy as np
import pytest

from keras_poolformer import ImageTransform, PoolFormerConfig
from keras_poolformer.checkpoints import hub_json, timm_json
from keras_poolformer.checkpoints.hub_json_writing import (
    hf_config_json,
    hf_preprocessor_json,
    timm_config_json,
)
from keras_poolformer.config_fields import ACTIVATIONS
from keras_poolformer.support.errors import InputError
from keras_poolformer.variants import TIMM_VARIANTS, VARIANTS

torch = pytest.importorskip("torch")
pytest.importorskip("conversion.oracles")  # after which the two libraries can be imported
timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")

LABELS = ("cat", "dog", "owl")
FIRST_PAPER = {name: config for name, config in VARIANTS.items() if not config.embedding_norm}
EVERYTHING = PoolFormerConfig(
    depths=(1, 3, 2), widths=(24, 40, 72), patch_sizes=(5, 3, 3), strides=(3, 2, 1),
    paddings=(1, 0, 2), pool_size=5, mlp_ratio=2, activation="quick_gelu", in_channels=4,
    num_classes=3, use_layer_scale=False, layer_scale_init=1, initializer_range=0.1,
    drop_path_rate=0.25, labels=LABELS,
)  # fmt: skip


def written(folder, name, document):
    (folder / name).write_text(json.dumps(document), encoding="utf-8", newline="\n")
    return folder


def read_back(folder):
    """Our fields of a config.json."""
    return PoolFormerConfig(
        **hub_json.hf_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    )


# ---------------------------------------------------------------------------------------
# transformers


@pytest.mark.parametrize(
    "config", [EVERYTHING, *FIRST_PAPER.values()], ids=["everything", *FIRST_PAPER]
)
def test_transformers_reads_a_config(config, tmp_path):
    folder = written(tmp_path, "config.json", hf_config_json(config))
    theirs = transformers.PoolFormerConfig.from_pretrained(folder)
    for name, field in hub_json.HF_FIELDS.items():
        value = getattr(config, field)
        received = getattr(theirs, name)
        assert (tuple(received) if isinstance(value, tuple) else received) == value, name
    assert theirs.num_encoder_blocks == len(config.depths)
    assert theirs.num_labels == config.num_classes
    assert (theirs.patch_size, theirs.stride) == (16, 16)
    if config.labels:
        assert theirs.id2label == dict(enumerate(LABELS))
        assert theirs.label2id == {label: i for i, label in enumerate(LABELS)}
    theirs.save_pretrained(tmp_path / "again")
    assert read_back(folder) == read_back(tmp_path / "again") == config


@pytest.mark.parametrize("activation", sorted({*ACTIVATIONS} - {"star_relu"}))
def test_every_activation_is_written_and_read(activation, tmp_path):
    config = PoolFormerConfig(activation=activation)
    folder = written(tmp_path, "config.json", hf_config_json(config))
    name = transformers.PoolFormerConfig.from_pretrained(folder).hidden_act
    assert name in transformers.activations.ACT2FN
    assert read_back(folder).activation == activation


def test_unused_fields_are_written_back(tmp_path):
    unused = {"patch_size": [4, 8], "stride": 3}
    document = hf_config_json(EVERYTHING, unused, dtype="bfloat16")
    assert hub_json.hf_unused(document) == unused
    theirs = transformers.PoolFormerConfig.from_pretrained(
        written(tmp_path, "config.json", document)
    )
    assert (theirs.patch_size, theirs.stride, theirs.dtype) == ([4, 8], 3, torch.bfloat16)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": 64, "crop_pct": None},
        {"size": (48, 64), "crop_size": (40, 56), "interpolation": "lanczos"},
        {"size": (48, 64), "crop_pct": None, "do_center_crop": False},
        {"crop_size": 100, "mean": 0.5, "std": (0.1, 0.2, 0.3), "rescale_factor": 1 / 127.5},
        {"do_resize": False, "do_rescale": False, "do_normalize": False},
    ],
    ids=str,
)
def test_transformers_reads_a_preprocessor(options, tmp_path, rgb_photographs):
    transform = ImageTransform(crop_mode="hf", **options)
    folder = written(tmp_path, "preprocessor_config.json", hf_preprocessor_json(transform))
    processor = transformers.PoolFormerImageProcessorPil.from_pretrained(folder)
    for photo in rgb_photographs:
        photo = photo.resize((131, 97))
        expected = np.asarray(processor(photo)["pixel_values"])[0].transpose(1, 2, 0)
        np.testing.assert_array_equal(transform(photo), expected)
    processor.save_pretrained(tmp_path / "again")
    for file in (folder, tmp_path / "again"):
        document = json.loads((file / "preprocessor_config.json").read_text(encoding="utf-8"))
        again = ImageTransform.from_dict(hub_json.hf_transform(document))
        assert again.replace(crop_size=None) == transform.replace(crop_size=None)
        assert again.output_shape == transform.output_shape


# ---------------------------------------------------------------------------------------
# timm


def test_timm_reads_a_config(tmp_path):
    config = PoolFormerConfig.from_variant(
        "poolformer_s12", in_channels=3, num_classes=3, labels=LABELS, pool_size=5,
        drop_path_rate=0.2, dropout_rate=0.1, head="pool_norm",
    )  # fmt: skip
    transform = ImageTransform(size=192, crop_pct=0.8, interpolation="bilinear", mean=0.4, std=0.3)
    document = timm_config_json(config, transform)
    theirs = timm.create_model(f"local-dir:{written(tmp_path, 'config.json', document)}")
    assert theirs.num_classes == 3
    assert theirs.stages[0].blocks[0].token_mixer.pool.kernel_size == 5
    assert theirs.stages[3].blocks[1].mlp.drop1.p == 0.1
    data = timm.data.resolve_model_data_config(theirs)
    assert list(data["input_size"]) == [3, 192, 192]
    assert (data["crop_pct"], data["crop_mode"]) == (0.8, "center")
    assert data["interpolation"] == "bilinear"
    assert (tuple(data["mean"]), tuple(data["std"])) == ((0.4,) * 3, (0.3,) * 3)
    fields = timm_json.timm_config(document)
    assert fields == {"head": "pool_norm", "labels": list(LABELS), "pool_size": 5,
                      "drop_path_rate": 0.2, "dropout_rate": 0.1}  # fmt: skip
    assert ImageTransform.from_dict(timm_json.timm_transform(document)) == transform


@pytest.mark.parametrize("name", TIMM_VARIANTS)
def test_the_released_variants_have_names(name):
    document = timm_config_json(VARIANTS[name], ImageTransform())
    assert document["architecture"] == name
    assert timm.is_model(name)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in TIMM_VARIANTS])
def test_identityformer_and_randformer_have_none(name):
    assert not timm.is_model(name)
    with pytest.raises(InputError, match="timm has names only for poolformer_s12"):
        timm_config_json(VARIANTS[name], ImageTransform())


@pytest.mark.parametrize(
    "change",
    [
        {"depths": (2, 2, 6, 3)},
        {"mlp_ratio": 3.0},
        {"activation": "relu"},
        {"strides": (2, 2, 2, 2)},
        {"use_layer_scale": False},
    ],
    ids=str,
)
def test_timm_has_no_name_for_others(change):
    config = PoolFormerConfig.from_variant("poolformer_s12", **change)
    with pytest.raises(InputError, match=r"poolformer_s12, .*depths=") as caught:
        timm_config_json(config, ImageTransform())
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "options",
    [
        {"do_resize": False},
        {"do_center_crop": False},
        {"do_normalize": False},
        {"rescale_factor": 1 / 127.5},
        {"crop_size": 200},
        {"crop_size": (224, 192)},
        {"size": (224, 192), "crop_mode": "hf"},
        {"size": (224, 224), "crop_mode": "hf", "crop_pct": None},
    ],
    ids=str,
)
def test_timm_cannot_say_every_transform(options):
    with pytest.raises(InputError, match=r"timm's config\.json can only describe"):
        timm_config_json(VARIANTS["poolformer_s12"], ImageTransform(**options))

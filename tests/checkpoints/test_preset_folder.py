"""A folder that `save_to_preset` writes and `from_preset` reads."""

import json
import shutil

import numpy as np
import pytest

from keras_poolformer import (
    ImageTransform,
    PoolFormerBackbone,
    PoolFormerConfig,
    PoolFormerImageClassifier,
)
from keras_poolformer.support.errors import InputError

CONFIG = PoolFormerConfig(
    depths=(1, 2), widths=(8, 12), num_classes=2, labels=("cat", "Kätzchen"), pool_size=5
)
TRANSFORM = ImageTransform(size=96, crop_pct=0.8, mean=(0.4, 0.5, 0.6), crop_mode="hf")


@pytest.fixture(scope="module")
def model():
    return PoolFormerImageClassifier(CONFIG, provenance={"sha256": "0" * 64})


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "mine"
    model.save_to_preset(path, transform=TRANSFORM)
    return path


@pytest.fixture
def folder(saved, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(saved, tmp_path / "mine")


def test_what_is_saved_comes_back(model, folder, images):
    assert sorted(file.name for file in folder.iterdir()) == [
        "keras_poolformer.json", "model.keras"
    ]  # fmt: skip
    again = PoolFormerImageClassifier.from_preset(folder)
    assert again.config == model.config
    np.testing.assert_array_equal(again(images), model(images))
    assert again.transform == ImageTransform.from_preset(folder) == TRANSFORM
    assert again.provenance["sha256"] == model.provenance["sha256"]


def test_it_is_a_preset_like_any_other(model, folder, images):
    np.testing.assert_array_equal(
        PoolFormerBackbone.from_preset(folder)(images), model.backbone(images)
    )
    other = PoolFormerImageClassifier.from_preset(folder, num_classes=7, in_channels=1)
    assert other(images[..., :1]).shape == (2, 7)
    fresh = PoolFormerImageClassifier.from_preset(str(folder), load_weights=False)
    assert fresh.config == CONFIG
    assert fresh.transform == TRANSFORM
    assert fresh.provenance["source"] == "model.keras"


def test_a_backbone_and_the_transform_it_was_loaded_with(tmp_path, images):
    backbone = PoolFormerBackbone(CONFIG.replace(feature_norms=True))
    backbone.provenance = {"transform": TRANSFORM.to_dict()}
    backbone.save_to_preset(tmp_path / "mine")
    again = PoolFormerBackbone.from_preset(tmp_path / "mine")
    assert again.transform == TRANSFORM
    pairs = zip(again.get_weights(), backbone.get_weights(), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)


def test_the_description_is_plain_json(folder):
    description = json.loads((folder / "keras_poolformer.json").read_text(encoding="utf-8"))
    assert description["class"] == "PoolFormerImageClassifier"
    assert PoolFormerConfig(**description["config"]) == CONFIG
    assert ImageTransform.from_dict(description["transform"]) == TRANSFORM


def test_another_transform_may_be_written_into_it(folder):
    file = folder / "keras_poolformer.json"
    description = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(
        json.dumps(description | {"transform": {"size": 64}}), encoding="utf-8", newline="\n"
    )
    assert PoolFormerImageClassifier.from_preset(folder).transform.size == 64


def test_an_existing_folder_is_kept(model, folder):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(InputError, match="exists already"):
        model.save_to_preset(folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    model.with_classes(5).save_to_preset(folder, overwrite=True)
    assert PoolFormerImageClassifier.from_preset(folder).config.num_classes == 5
    assert [file.name for file in folder.parent.iterdir()] == ["mine"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_something_else_is_never_overwritten(model, tmp_path, kind):
    place = tmp_path / "thesis"
    if kind == "folder":
        place.mkdir()
        (place / "chapter1.tex").write_text("important", encoding="utf-8", newline="\n")
    else:
        place.write_text("important", encoding="utf-8", newline="\n")
    with pytest.raises(InputError, match="only a folder that save_to_preset wrote is replaced"):
        model.save_to_preset(place, overwrite=True)
    assert (place / "chapter1.tex" if kind == "folder" else place).read_text(
        encoding="utf-8"
    ) == "important"


def test_a_failure_leaves_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setattr(model, "save", lambda path: path.write_bytes(b"half"), raising=False)

    def full(*arguments, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr("keras_poolformer.sources.preset_folder.json.dumps", full)
    with pytest.raises(OSError, match="No space"):
        model.save_to_preset(tmp_path / "mine")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="not an existing folder"):
        model.save_to_preset(tmp_path / "no" / "mine")


def edited(folder, **changes):
    file = folder / "keras_poolformer.json"
    description = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps(description), encoding="utf-8", newline="\n")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config": CONFIG.replace(pool_size=3).to_dict()}, "must describe the model in model.ker"),
        ({"config": None}, "`config` must be an object"),
        ({"transform": [1]}, "`transform` must be an object"),
        ({"transform": {"resample": 3}}, "Did you mean 'interpolation'"),
    ],
)
def test_a_description_that_does_not_fit(folder, changes, words):
    edited(folder, **changes)
    with pytest.raises(InputError, match=words):
        PoolFormerImageClassifier.from_preset(folder)


def test_a_keras_file_of_another_model_beside_it(folder):
    PoolFormerImageClassifier(CONFIG.replace(pool_size=3)).save(folder / "model.keras")
    with pytest.raises(InputError, match="must describe the model in model"):
        PoolFormerImageClassifier.from_preset(folder)


def test_files_that_are_missing_or_damaged(folder):
    weights = (folder / "model.keras").read_bytes()
    (folder / "model.keras").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(InputError, match=r"model\.keras is not a valid"):
        PoolFormerImageClassifier.from_preset(folder)
    (folder / "model.keras").unlink()
    with pytest.raises(InputError, match=r"model\.keras does not exist"):
        PoolFormerImageClassifier.from_preset(folder)
    (folder / "keras_poolformer.json").write_text("{", encoding="utf-8", newline="\n")
    with pytest.raises(InputError, match=r"keras_poolformer\.json is not valid JSON"):
        PoolFormerImageClassifier.from_preset(folder)

""".keras files: the same class, numbers, origin and transform as before saving."""

import hashlib
import json

import keras
import numpy as np
import pytest

from keras_poolformer import ImageTransform, PoolFormerImageClassifier
from keras_poolformer.models.loading import build
from keras_poolformer.sources import resolve
from keras_poolformer.support.errors import InputError
from tests.helpers import run_python

FRESH = """
import json, sys
import numpy as np
{load}
images = np.load(sys.argv[2])
transform = model.transform.to_dict()
print(json.dumps([type(model).__name__, np.asarray(model(images)).tolist(),
                  model.get_config()["provenance"], transform, list(model.config.labels)]))
"""
WAYS = {
    "keras": """
from keras_poolformer import PoolFormerImageClassifier
import keras
model = keras.saving.load_model(sys.argv[1])
""",
    "from_preset": """
import keras_poolformer
model = keras_poolformer.PoolFormerImageClassifier.from_preset(sys.argv[1])
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_an_archive_in_a_fresh_process(way, archive, hub, images, tmp_path, class_names):
    np.save(tmp_path / "images.npy", images)
    script = FRESH.format(load=WAYS[way])
    done = run_python("-c", script, archive, tmp_path / "images.npy")
    assert done.returncode == 0, done.stderr
    name, logits, provenance, transform, labels = json.loads(done.stdout.splitlines()[-1])
    model = PoolFormerImageClassifier.from_preset(hub / "labelled")
    assert name == "PoolFormerImageClassifier"
    np.testing.assert_array_equal(np.float32(logits), model(images))
    assert provenance == model.get_config()["provenance"]
    weights = (hub / "labelled/model.safetensors").read_bytes()
    assert provenance["sha256"] == hashlib.sha256(weights).hexdigest()
    assert provenance["head"] == "norm_pool"
    assert transform == model.transform.to_dict()
    assert transform["crop_mode"] == "hf"
    assert tuple(labels) == class_names


def test_an_archive_is_the_same_class_and_numbers(archive, hub, images):
    original = PoolFormerImageClassifier.from_preset(hub / "labelled")
    for model in (
        PoolFormerImageClassifier.from_preset(archive),
        PoolFormerImageClassifier.from_preset(str(archive)),
        keras.saving.load_model(archive),
    ):
        assert type(model) is PoolFormerImageClassifier
        assert model.config == original.config
        np.testing.assert_array_equal(model(images), original(images))
    assert ImageTransform.from_preset(archive) == original.transform


def test_an_archive_keeps_its_dtype_policy(hub, tmp_path, tiny_config):
    model = PoolFormerImageClassifier(tiny_config, dtype="mixed_bfloat16")
    model.save(tmp_path / "x.keras")
    loaded = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras")
    assert loaded.dtype_policy.name == "mixed_bfloat16"


@pytest.mark.slow
def test_an_archive_without_origin(images, tmp_path, tiny_config):
    model = PoolFormerImageClassifier(tiny_config)
    model.save(tmp_path / "x.keras")
    loaded = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras")
    assert not loaded.provenance
    np.testing.assert_array_equal(loaded(images), model(images))
    assert ImageTransform.from_preset(tmp_path / "x.keras") == ImageTransform()
    other = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras", num_classes=2)
    assert other.provenance["new_tensors"] == ["head/kernel", "head/bias"]


@pytest.mark.slow
def test_a_compiled_and_trained_model_is_read_back_without_its_optimizer(archive, tmp_path):
    model = PoolFormerImageClassifier.from_preset(archive)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = np.random.default_rng(0).standard_normal((4, 32, 32, 3)).astype("float32")
    model.fit(images, np.array([0, 1, 2, 0]), verbose=0)
    model.save(tmp_path / "x.keras")
    again = PoolFormerImageClassifier.from_preset(tmp_path / "x.keras")
    assert np.array_equal(again(images), model(images))


def test_the_architecture_of_a_keras_file_keeps_its_transform(archive):
    model = PoolFormerImageClassifier.from_preset(archive, load_weights=False)
    assert model.transform == ImageTransform.from_preset(archive)


@pytest.mark.slow
def test_the_checksum_is_of_the_bytes_that_are_loaded(archive, images, tmp_path):
    """Also where the file is overwritten in between."""
    expected = PoolFormerImageClassifier.from_preset(archive)
    other = PoolFormerImageClassifier.from_preset(archive)
    other.head.bias.assign([7.0, 8.0, 9.0])
    other.save(tmp_path / "other.keras")
    path = tmp_path / "x.keras"
    path.write_bytes(archive.read_bytes())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    verified, unverified = resolve(path).read(sha256=sha256), resolve(path).read()
    path.write_bytes((tmp_path / "other.keras").read_bytes())
    model = build(PoolFormerImageClassifier, verified)
    np.testing.assert_array_equal(model(images), expected(images))
    with pytest.raises(InputError, match="changed while it was read"):
        build(PoolFormerImageClassifier, unverified)
    with pytest.raises(InputError, match="checksum mismatch"):
        resolve(path).read(sha256=sha256)


def test_options_of_pytorch_checkpoints(archive):
    for option in ({"layout": "sail"}, {"use_ema": False}):
        with pytest.raises(InputError, match=r"--(layout|no-ema) applies to PyTorch checkpoints"):
            resolve(archive).read(**option)

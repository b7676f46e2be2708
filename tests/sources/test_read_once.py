"""A source is fetched, hashed, named and checked once on its way into a model."""

import hashlib
from collections import Counter

import pytest

from keras_poolformer import PoolFormerConfig
from keras_poolformer.checkpoints import checkpoint, tensors, transplant
from keras_poolformer.cli import main
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.sources import Source, keras_archive, keras_source, torch_source

COUNTED = {
    "sources": (Source, "fetch"),
    "checkpoints": (torch_source, "read_checkpoint"),
    "names": (checkpoint, "model_names"),
    "tables": (tensors, "expected_tensors"),
    "configs": (PoolFormerConfig, "__post_init__"),
    "transforms": (ImageTransform, "__post_init__"),
    "sha256": (hashlib, "sha256"),
    "descriptions": (keras_archive, "describe_keras_file"),
}
# Modules that imported the function itself.
IMPORTED_BY_NAME = {"descriptions": [keras_source], "tables": [torch_source, transplant]}


@pytest.fixture
def calls(monkeypatch):
    """{what: how often it was done} from now on."""
    counts = Counter()

    def counted(what, function):
        def wrapper(*arguments, **options):
            counts[what] += 1
            return function(*arguments, **options)

        return wrapper

    for what, (owner, name) in COUNTED.items():
        function = counted(what, getattr(owner, name))
        monkeypatch.setattr(owner, name, function)
        for module in IMPORTED_BY_NAME.get(what, ()):
            monkeypatch.setattr(module, name, function)
    return counts


def converted(source, folder, *options):
    assert main(["convert", str(source), "-o", str(folder / "x.keras"), *options]) == 0


def test_a_checkpoint(hub, tmp_path, calls):
    converted(hub / "bin/pytorch_model.bin", tmp_path)
    assert dict(calls) == {
        "sources": 1,
        "checkpoints": 1,
        "sha256": 1,
        "names": 1,
        "configs": 1,
        "transforms": 2,  # the model's, and the default that Keras' saver asks the backbone for
        "tables": 2,  # of the checkpoint's own size, and of the model's tensors
    }


def test_options_make_one_more_config(hub, tmp_path, calls):
    converted(hub / "bin/pytorch_model.bin", tmp_path, "--num-classes", "5", "--pool-size", "5")
    assert (calls["checkpoints"], calls["names"], calls["configs"]) == (1, 1, 2)


def test_a_keras_file(archive, tmp_path, calls):
    converted(archive, tmp_path)
    assert (calls["sources"], calls["descriptions"], calls["configs"]) == (1, 1, 1)
    assert calls["sha256"] == calls["checkpoints"] == 0
    assert main(["summary", str(archive)]) == 0
    assert (calls["sources"], calls["descriptions"], calls["configs"]) == (2, 2, 2)

"""--size and --labels: what they change, and what they leave as it was."""

import pytest

from keras_poolformer import ImageTransform, PoolFormerBackbone, PoolFormerImageClassifier
from keras_poolformer.models.overrides import override, with_size
from keras_poolformer.support.errors import InputError

LABELS = "ant\nbee\nfly\n"


@pytest.mark.parametrize(
    ("options", "size", "shape", "resized_to"),
    [
        ({"size": 224, "crop_pct": 0.9}, 64, (64, 64), 71),
        ({"size": 224, "crop_pct": 0.9}, (64, 64), (64, 64), 71),
        ({"size": 224, "crop_pct": None}, 64, (64, 64), 64),
        ({"size": 224, "crop_pct": 0.5}, (64, 96), (64, 96), (128, 192)),
        ({"size": 248, "crop_pct": None, "crop_size": 224}, 112, (112, 112), 124),
        ({"size": 256, "crop_pct": None, "crop_size": 224}, (112, 224), (112, 224), (128, 256)),
        ({"size": 224, "crop_pct": 0.9, "crop_mode": "hf"}, 64, (64, 64), 71),
    ],
    ids=str,
)
def test_the_same_section_is_seen_at_another_size(options, size, shape, resized_to):
    transform = ImageTransform(**options)
    changed = with_size(transform, size)
    assert (changed.output_shape, changed.resized_to) == (shape, resized_to)
    kept = ("crop_pct", "mean", "std", "interpolation")
    assert all(getattr(changed, name) == getattr(transform, name) for name in kept)


@pytest.mark.parametrize("size", [0, 4097, (8, 5000)])
def test_sizes_out_of_bounds_are_refused(size):
    with pytest.raises(InputError, match="must be a whole number of pixels, 1 to 4096"):
        with_size(ImageTransform(), size)


def test_a_transform_that_does_not_resize_is_refused():
    with pytest.raises(InputError, match="do_resize=False"):
        with_size(ImageTransform(do_resize=False), 64)


def test_a_model_gets_both(tiny_config, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text(LABELS, encoding="utf-8", newline="\n")
    model = PoolFormerImageClassifier(tiny_config, provenance={"source": "somewhere"})
    override(model, size=96, labels=path)
    assert model.config.labels == ("ant", "bee", "fly")
    assert model.transform == ImageTransform(size=96)
    assert model.provenance["source"] == "somewhere"


def test_labels_that_do_not_fit_are_refused(tiny_config, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("ant\nbee\n", encoding="utf-8", newline="\n")
    with pytest.raises(InputError, match=r"must name all 3 classes\. Received: 2 labels"):
        override(PoolFormerImageClassifier(tiny_config), labels=path)
    for model in (
        PoolFormerBackbone(tiny_config),
        PoolFormerImageClassifier(tiny_config.replace(num_classes=0)),
    ):
        with pytest.raises(InputError, match="--labels needs a classifier"):
            override(model, labels=path)

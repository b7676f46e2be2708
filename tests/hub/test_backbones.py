"""Our backbones, with and without KerasHub's base class, where KerasHub takes a backbone."""

import json
import sys

import keras_hub
import numpy as np
import pytest

from keras_poolformer import (
    ImageTransform,
    PoolFormerBackbone,
    PoolFormerImageClassifier,
    hub,
    save_torch_weights,
)
from keras_poolformer.hub.requirements import require_keras_hub
from keras_poolformer.support.errors import MissingExtraError
from tests.helpers import error_line, randomized_model, relative_error, run_python
from tests.hub.networks import CLASSES, CONFIG, SHAPE, images, retinanet

KERASHUB = "0.32.0"  # what it prevents, it does in this version


@pytest.fixture(scope="module")
def core():
    return randomized_model(CONFIG, PoolFormerBackbone)


@pytest.fixture(scope="module")
def plain(core, tmp_path_factory):
    """(KerasHub's own classifier on the backbone of `keras_poolformer`, the folder it wrote)."""
    folder = str(tmp_path_factory.mktemp("plain"))
    model = keras_hub.models.ImageClassifier(core, num_classes=CLASSES)
    model.save_to_preset(folder)
    return model, folder


def test_the_version():
    assert keras_hub.__version__ == KERASHUB


def test_what_kerashub_imports_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "regex", None)
    with pytest.raises(MissingExtraError, match=r"regex .*keras-poolformer\[hub\]"):
        require_keras_hub()


def test_every_public_name_is_there():
    for name in hub.__all__:
        assert getattr(hub, name).__module__.startswith("keras_poolformer.hub.")


def test_the_graph_is_the_same(core):
    """Of a backbone with KerasHub's base class, in the order of the weights too."""
    backbone = hub.MetaFormerBackbone(CONFIG)
    assert isinstance(backbone, keras_hub.models.FeaturePyramidBackbone)
    assert [w.path for w in backbone.weights] == [w.path for w in core.weights]
    backbone.set_weights(core.get_weights())
    assert np.array_equal(backbone(images()), core(images()))


def test_the_constructor_takes_fields():
    backbone = hub.MetaFormerBackbone(depths=(1, 1), widths=(8, 16), feature_norms=True)
    assert list(backbone.pyramid_outputs) == ["P2", "P3"]
    assert backbone.image_shape == (None, None, 3)
    copy = hub.MetaFormerBackbone.from_config(backbone.get_config())
    assert copy.get_config() == backbone.get_config()
    other = hub.MetaFormerBackbone(CONFIG, widths=(8, 8, 8, 8), dtype="mixed_bfloat16")
    assert other.config == CONFIG.replace(widths=(8, 8, 8, 8))
    assert other.dtype_policy.name == "mixed_bfloat16"
    assert str(other.output.dtype) == "bfloat16"


def test_shapes_of_images():
    assert hub.MetaFormerBackbone(CONFIG, image_shape=SHAPE).output_shape == (None, 2, 2, 24)
    assert "(height, width, 3)" in error_line(hub.MetaFormerBackbone, CONFIG, (64, 64, 1))
    random = CONFIG.replace(
        token_mixers=("pooling", "pooling", "random", "random"), num_tokens=(None, None, 16, 4)
    )
    assert hub.MetaFormerBackbone(random).image_shape == SHAPE
    assert "random mixing" in error_line(hub.MetaFormerBackbone, random, (96, 96, 3))


def test_kerashubs_classifier_around_our_own_backbone(plain):
    """Its folder is complete, and is loaded with as many classes, or others."""
    model, folder = plain
    loaded = keras_hub.models.ImageClassifier.from_preset(folder)
    assert np.array_equal(loaded(images()), model(images()))
    other = keras_hub.models.ImageClassifier.from_preset(folder, num_classes=CLASSES + 1)
    assert other.output_shape == (None, CLASSES + 1)
    assert np.array_equal(other.backbone(images()), model.backbone(images()))


def test_a_backbone_of_that_folder(plain):
    """KerasHub refuses a class that is not its own; ours load it."""
    model, folder = plain
    with pytest.raises(ValueError, match="not a subclass of calling class `Backbone`"):
        keras_hub.models.Backbone.from_preset(folder)
    for backbone_class in (hub.MetaFormerBackbone, PoolFormerBackbone):
        backbone = backbone_class.from_preset(folder)
        assert isinstance(backbone, backbone_class)
        assert np.array_equal(backbone(images()), model.backbone(images()))


def test_retinanet_on_our_own_backbone(core, tmp_path):
    """Without KerasHub's base class: images of any size, and a round trip."""
    encoder = PoolFormerBackbone(CONFIG.replace(feature_norms=("P3", "P4", "P5")))
    detector = retinanet(encoder, image_shape=(None, None, 3))
    assert detector(images(1, 96))["cls_logits"].shape[1] == 9 * (12**2 + 6**2 + 3**2)
    detector.save_to_preset(str(tmp_path))
    loaded = keras_hub.models.ObjectDetector.from_preset(str(tmp_path))
    for key, expected in detector(images()).items():
        assert np.array_equal(loaded(images())[key], expected)


@pytest.mark.parametrize("whose", ["ours", "KerasHub's"])
def test_retinanet_needs_multiples_of_32(whose):
    """KerasHub's feature pyramid doubles maps to twice their size, whatever the backbone."""
    encoder = None
    if whose == "KerasHub's":
        encoder = keras_hub.models.ResNetBackbone(
            input_conv_filters=[64],
            input_conv_kernel_sizes=[7],
            stackwise_num_filters=[64, 64, 64, 64],
            stackwise_num_blocks=[1, 1, 1, 1],
            stackwise_num_strides=[1, 2, 2, 2],
            block_type="basic_block",
        )
    detector = retinanet(encoder, image_shape=(200, 296, 3))
    with pytest.raises(ValueError, match="incompatible shapes"):
        detector(np.zeros((1, 200, 296, 3), np.float32))


def test_kerashubs_segformer_needs_our_encoder(core):
    encoder = PoolFormerBackbone(CONFIG)
    with pytest.raises(KeyError, match="P1"):
        keras_hub.models.SegFormerBackbone(image_encoder=encoder, projection_filters=8)
    assert "three numbers" in error_line(hub.SegFormerEncoder, CONFIG)
    wide = CONFIG.replace(widths=(8, 8, 16, 24))
    assert "different widths" in error_line(hub.SegFormerEncoder, wide, SHAPE)


def test_an_encoder_of_a_checkpoint(tmp_path):
    PoolFormerImageClassifier(CONFIG).save_to_preset(tmp_path / "x")
    encoder = hub.SegFormerEncoder.from_preset(tmp_path / "x", image_shape=SHAPE)
    assert list(encoder.pyramid_outputs) == ["P1", "P2", "P3", "P4"]
    assert encoder.hidden_dims == list(CONFIG.widths)


def test_what_retinanet_starts_with():
    """The prior of the classes is in the other head; the losses show it."""
    boxes = {"boxes": np.array([[[4, 4, 40, 40]]] * 2, np.float32), "labels": np.array([[0]] * 2)}
    detector = retinanet()
    assert np.all(np.asarray(detector.box_head.prediction_layer.bias) < -4.5)
    assert not np.any(detector.classification_head.prediction_layer.bias)
    detector.jit_compile = False  # XLA takes long to compile
    before = detector.evaluate(images(), boxes, return_dict=True, verbose=0)
    hub.set_prior_probability(detector)
    after = detector.evaluate(images(), boxes, return_dict=True, verbose=0)
    assert before["cls_logits_loss"] > 2 * after["cls_logits_loss"]  # measured 35 and 10
    bias = np.asarray(detector.classification_head.prediction_layer.bias)
    assert 1 / (1 + np.exp(-bias)) == pytest.approx(np.full(bias.shape, 0.01))
    assert not np.any(detector.box_head.prediction_layer.bias)
    assert "between 0 and 1" in error_line(hub.set_prior_probability, detector, 1.0)
    assert "RetinaNetObjectDetector" in error_line(hub.set_prior_probability, detector.backbone)


def test_a_folder_of_timm(tmp_path):
    """KerasHub has no converter for these networks; we read the files ourselves."""
    core = randomized_model(CONFIG.replace(head="pool_norm"))
    save_torch_weights(core, tmp_path / "model.safetensors", layout="timm")
    (tmp_path / "config.json").write_text(
        json.dumps({"architecture": "poolformer_s12"}), encoding="utf-8", newline="\n"
    )
    with pytest.raises(ValueError, match="poolformer_s12"):
        keras_hub.models.ImageClassifier.from_preset(str(tmp_path))
    model = hub.MetaFormerImageClassifier.from_preset(tmp_path)
    assert relative_error(model(images()), core(images())) <= 1e-6  # measured 0


def test_our_own_sources():
    """The preset inside the package: weights, transform and classes."""
    core = PoolFormerImageClassifier.from_preset("poolformer_tiny_cifar10")
    model = hub.MetaFormerImageClassifier.from_preset("poolformer_tiny_cifar10")
    x = images()
    assert np.array_equal(model(x), core(x))
    assert model.config.labels == core.labels
    assert model.preprocessor.image_converter.transform == core.transform
    converter = hub.MetaFormerImageConverter.from_preset("poolformer_tiny_cifar10")
    assert converter.transform == ImageTransform.from_preset("poolformer_tiny_cifar10")
    fresh = hub.MetaFormerImageClassifier.from_preset(
        "poolformer_tiny_cifar10", num_classes=3, dtype="mixed_bfloat16", image_shape=SHAPE
    )
    assert fresh.output_shape == (None, 3)
    assert fresh.input_shape == (None, *SHAPE)
    assert fresh.backbone.dtype_policy.name == "mixed_bfloat16"


def test_a_fresh_process_needs_the_import(plain):
    """Without it Keras does not know the classes."""
    code = "import sys, keras_hub\nkeras_hub.models.ImageClassifier.from_preset(sys.argv[1])"
    done = run_python("-c", code, plain[1])
    assert "no class registered with Keras" in done.stderr
    done = run_python("-c", f"import keras_poolformer\n{code}", plain[1])
    assert done.returncode == 0, done.stderr

"""Backbones of detectors and segmenters: a group norm on each stage's output (`fork_feat`)."""

import keras
import numpy as np
import pytest

from keras_poolformer import (
    PoolFormerBackbone,
    PoolFormerConfig,
    PoolFormerImageClassifier,
    load_torch_weights,
    save_torch_weights,
)
from keras_poolformer.support.errors import InputError
from tests.helpers import TOLERANCE, randomized_module, relative_error

torch = pytest.importorskip("torch")
oracles = pytest.importorskip("conversion.oracles")
safetensors_torch = pytest.importorskip("safetensors.torch")

CONFIG = PoolFormerConfig(depths=(1, 1, 1, 1), widths=(8, 12, 16, 24), num_classes=3)
LEVELS = ("P2", "P3", "P4", "P5")
NORMS = {f"norm{2 * stage}.{leaf}" for stage in range(4) for leaf in ("weight", "bias")}


class ForkFeat(torch.nn.Module):
    """The authors' `fork_feat=True`: stages of transformers' class, PyTorch's norm on each."""

    def __init__(self, classifier, widths, first=0):
        super().__init__()
        self.stages = classifier.poolformer
        self.norms = torch.nn.ModuleDict(
            {f"norm{2 * i}": torch.nn.GroupNorm(1, widths[i]) for i in range(first, len(widths))}
        )

    def forward(self, pixels):
        stages = self.stages(pixels, output_hidden_states=True).hidden_states
        named = {f"norm{2 * i}": one for i, one in enumerate(stages)}
        return [self.norms[n](x) if n in self.norms else x for n, x in named.items()], stages

    def checkpoint(self):
        """{the authors' name: tensor}."""
        stages = {
            oracles.sail_name(f"poolformer.{name}"): one
            for name, one in self.stages.state_dict().items()
        }
        return stages | self.norms.state_dict()


@pytest.fixture(scope="module")
def detector():
    classifier = oracles.build_oracle(CONFIG, "hf").module
    return randomized_module(ForkFeat(classifier, CONFIG.widths)).eval()


@pytest.fixture(scope="module")
def saved(detector, tmp_path_factory):
    """As a detector's training saves it."""
    path = tmp_path_factory.mktemp("detector") / "epoch_12.pth"
    state = {f"backbone.{name}": one for name, one in detector.checkpoint().items()}
    state["neck.lateral_convs.0.conv.weight"] = torch.ones(2, 8, 1, 1)
    torch.save({"meta": {"epoch": 12}, "state_dict": state}, path)
    return path


@pytest.fixture(scope="module")
def expected(detector, images):
    """(normed, un-normed) maps of the photographs, (N, H, W, C)."""
    with torch.inference_mode():
        pairs = detector(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    return tuple([one.numpy().transpose(0, 2, 3, 1) for one in maps] for maps in pairs)


def largest_error(outputs, backbone, images, expected):
    received = keras.Model(backbone.input, outputs)(images)
    assert tuple(received) == LEVELS
    return max(
        relative_error(received[level], one) for level, one in zip(LEVELS, expected, strict=True)
    )


def values(model):
    return {variable.path: variable.numpy() for variable in model.weights}


def assert_same_weights(received, expected):
    received, expected = values(received), values(expected)
    assert received.keys() == expected.keys()
    assert all(np.array_equal(received[path], expected[path]) for path in expected)


def test_a_detectors_backbone(saved, images, expected):
    backbone = PoolFormerBackbone.from_preset(saved)
    normed, stages = expected
    assert backbone.config == CONFIG.replace(feature_norms=True, num_classes=0)
    assert backbone.provenance["unused_tensors"] == backbone.provenance["new_tensors"] == []
    assert largest_error(backbone.pyramid_outputs, backbone, images, normed) <= TOLERANCE
    assert largest_error(backbone.stage_outputs, backbone, images, stages) <= TOLERANCE
    assert relative_error(backbone(images), stages[-1]) <= TOLERANCE
    assert all(relative_error(*pair) > 0.1 for pair in zip(normed, stages, strict=True))
    one = backbone.feature_extractor(["P3"])(images)
    assert relative_error(one["P3"], normed[1]) <= TOLERANCE


def test_a_detector_without_the_first_norm(images, tmp_path):
    """FORK_LAST3, as the authors train RetinaNet: P2 is handed out as it is."""
    classifier = oracles.build_oracle(CONFIG, "hf").module
    module = randomized_module(ForkFeat(classifier, CONFIG.widths, first=1)).eval()
    torch.save(module.checkpoint(), tmp_path / "retinanet.pth")
    backbone = PoolFormerBackbone.from_preset(tmp_path / "retinanet.pth")
    assert backbone.config.feature_norms == ("P3", "P4", "P5")
    with torch.inference_mode():
        maps, _ = module(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    maps = [one.numpy().transpose(0, 2, 3, 1) for one in maps]
    assert largest_error(backbone.pyramid_outputs, backbone, images, maps) <= TOLERANCE


@pytest.mark.slow
def test_keras_file_round_trip(saved, tmp_path):
    backbone = PoolFormerBackbone.from_preset(saved)
    backbone.save(tmp_path / "x.keras")
    for again in (
        keras.saving.load_model(tmp_path / "x.keras"),
        PoolFormerBackbone.from_preset(tmp_path / "x.keras"),
    ):
        assert again.config == backbone.config
        assert_same_weights(again, backbone)
    plain = PoolFormerBackbone.from_preset(tmp_path / "x.keras", feature_norms=False)
    assert_same_weights(plain, PoolFormerBackbone.from_preset(saved, feature_norms=False))


def test_pytorch_gets_the_authors_names_back(saved, detector, tmp_path):
    backbone = PoolFormerBackbone.from_preset(saved)
    save_torch_weights(backbone, tmp_path / "x.safetensors")
    state, original = safetensors_torch.load_file(tmp_path / "x.safetensors"), detector.checkpoint()
    assert state.keys() == original.keys()
    assert all(torch.equal(state[name], original[name]) for name in original)
    for layout in ("timm", "hf"):
        with pytest.raises(InputError, match=f"layout {layout} has no names .* only sail has"):
            save_torch_weights(backbone, tmp_path / layout, layout=layout)


def test_loading_into_a_model_that_exists_stays_strict(saved, tmp_path, detector):
    backbone = PoolFormerBackbone(CONFIG.replace(feature_norms=True))
    load_torch_weights(backbone, saved)
    assert_same_weights(backbone, PoolFormerBackbone.from_preset(saved))
    plain = PoolFormerBackbone(CONFIG)
    assert set(load_torch_weights(plain, saved).unused_tensors) == NORMS
    torch.save({n: t for n, t in detector.checkpoint().items() if n not in NORMS}, tmp_path / "x")
    with pytest.raises(InputError, match=r"lacks norm0\.bias, norm0\.weight"):
        load_torch_weights(backbone, tmp_path / "x")


@pytest.mark.first(1)
@pytest.mark.parametrize("kind", ["sail", "timm", "keras"])
def test_norms_start_fresh_on_a_classifiers_weights(kind, tmp_path):
    layout = "timm" if kind == "timm" else "hf"
    path = tmp_path / "classifier.pth"
    torch.save(randomized_module(oracles.build_oracle(CONFIG, layout).module).state_dict(), path)
    if kind == "keras":
        PoolFormerImageClassifier.from_preset(path).save(tmp_path / "classifier.keras")
        path = tmp_path / "classifier.keras"
    backbone = PoolFormerBackbone.from_preset(path, feature_norms=True)
    fresh = {path: value for path, value in values(backbone).items() if "output_norm" in path}
    assert set(backbone.provenance["new_tensors"]) == set(fresh)
    assert len(fresh) == 8
    assert all((value == ("gamma" in path)).all() for path, value in fresh.items())
    plain = values(PoolFormerBackbone.from_preset(path))
    assert all(np.array_equal(values(backbone)[name], one) for name, one in plain.items())


def test_a_classifier_takes_the_stages_and_leaves_the_norms(saved, images, expected):
    with pytest.raises(InputError, match=r"lacks norm\.bias, norm\.weight.*loads as a backbone"):
        PoolFormerImageClassifier.from_preset(saved)
    model = PoolFormerImageClassifier.from_preset(saved, num_classes=5)
    assert set(model.provenance["unused_tensors"]) == NORMS
    new = ["head/bias", "head/kernel", "head_norm/beta", "head_norm/gamma"]
    assert sorted(model.provenance["new_tensors"]) == new
    assert relative_error(model.backbone(images), expected[1][-1]) <= TOLERANCE
    with pytest.raises(InputError, match="a MetaFormerBackbone has"):
        PoolFormerImageClassifier(PoolFormerConfig(feature_norms=True))


@pytest.mark.parametrize("norms", ["P3", ["P6"], 1, None, [["P3"]]])
def test_what_is_no_choice_of_norms_is_refused(norms):
    with pytest.raises(InputError, match=r"levels among P2, P3, P4, P5\. Received"):
        PoolFormerConfig(feature_norms=norms)


@pytest.mark.parametrize(
    ("norms", "kept"),
    [(list(LEVELS), True), ([], False), (["P4", "P3", "P4"], ("P3", "P4"))],
)
def test_one_way_to_say_it(norms, kept):
    config = PoolFormerConfig(feature_norms=norms)
    assert config.feature_norms == kept
    assert PoolFormerConfig(**config.to_dict()) == config

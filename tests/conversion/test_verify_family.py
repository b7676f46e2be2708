"""`python -m conversion verify` for networks of the second paper."""

import pytest

from keras_poolformer.shipped import ASSETS
from keras_poolformer.variants import VARIANTS
from tests.helpers import MIXED, error_line, randomized_module

torch = pytest.importorskip("torch")
oracles = pytest.importorskip("conversion.oracles")

from conversion.__main__ import main  # noqa: E402
from conversion.verify import SECOND_PAPER_TOLERANCE, TOLERANCE, verify  # noqa: E402

PHOTO = str(ASSETS / "photos" / "chelsea.jpg")
FAMILIES = {
    "poolformerv2_s12": ("metaformer", "timm"),
    "identityformer_s12": ("metaformer", "timm"),
    "randformer_s12": ("metaformer",),
    "convformer_s18": ("metaformer", "timm"),
    "caformer_s18": ("metaformer", "timm"),
}
CASES = [(name, layout) for name, layouts in FAMILIES.items() for layout in layouts]


def small(name, **fields):
    """A network of a family that takes no time."""
    return VARIANTS[name].replace(
        depths=(1, 1, 1, 1), widths=(8, 16, 32, 64), num_classes=5, **fields
    )


@pytest.fixture
def checkpoint(tmp_path):
    """checkpoint(config, layout): a file of randomized weights, as the library saves it."""

    def write(config, layout):
        oracle = oracles.build_oracle(config, layout)
        randomized_module(oracle.module)
        torch.save({"state_dict": oracle.state_dict()}, tmp_path / "weights.pth")
        return str(tmp_path / "weights.pth")

    return write


@pytest.mark.first(3)
@pytest.mark.parametrize(("name", "layout"), CASES)
def test_verify_passes(checkpoint, capsys, name, layout):
    path = checkpoint(small(name), layout)
    command = ["verify", path, "--photos", PHOTO]
    if name.startswith(("poolformerv2", "identityformer")):
        assert main(command) == 2
        assert "--architecture" in capsys.readouterr().err
        command += ["--architecture", name]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "equal (tolerance 4e-06)" in printed
    assert ("as sail-sg/metaformer" in printed) == (layout == "metaformer")
    for stage in ("P2", "P3", "P4", "P5", "logits"):
        assert f"  {stage}" in printed


def test_images_of_four_channels_and_mixed_stages(checkpoint):
    path = checkpoint(MIXED, "timm")
    overrides = {"token_mixers": MIXED.token_mixers, "pool_size": MIXED.pool_size}
    model, verification = verify(path, [PHOTO], overrides=overrides)
    assert verification.passed and verification.tolerance == SECOND_PAPER_TOLERANCE
    assert set(verification.errors) == {"P2", "P3", "P4", "logits"}
    assert model.config == MIXED.replace(head_norm_epsilon=1e-6)


def test_the_other_architecture_is_not_equal(checkpoint, capsys, monkeypatch):
    """Were IdentityFormer guessed for the file of a PoolFormerV2, the check would say so."""
    path = checkpoint(small("poolformerv2_s12"), "metaformer")
    monkeypatch.setattr(
        "conversion.verify.build_oracle",
        lambda config, layout: oracles.build_oracle(config.replace(token_mixers="pooling"), layout),
    )
    command = ["verify", path, "--photos", PHOTO, "--architecture", "identityformer_s12"]
    assert main(command) == 2
    assert "NOT EQUAL (tolerance 4e-06)" in capsys.readouterr().err


def test_the_first_paper_keeps_its_tolerance(checkpoint):
    config = VARIANTS["poolformer_s12"].replace(depths=(1, 1, 1, 1), widths=(8, 16, 32, 64))
    _, verification = verify(checkpoint(config, "timm"), [PHOTO])
    assert verification.passed and verification.tolerance == TOLERANCE == 2e-6


@pytest.mark.parametrize(
    ("config", "layout", "said"),
    [
        (small("randformer_s12"), "timm", "timm has no random token mixer"),
        (MIXED.replace(widths=(24, 40, 72)), "timm", "multiples of 32"),
        (MIXED.replace(norm="group_norm"), "timm", "timm's attention needs norm='layer_norm'"),
        (MIXED.replace(widths=(24, 24, 64)), "timm", "stages of equal width"),
        (MIXED.replace(mlp_ratio=2), "timm", "mlp_ratio=4.0"),
        (MIXED.replace(activation="relu"), "metaformer", "activation=gelu or star_relu"),
        (MIXED.replace(head_mlp_ratio=2), "metaformer", "head_mlp_ratio=0 or 4.0"),
        (MIXED.replace(strides=(2, 2, 2)), "metaformer", "strides=(4, 2, 2)"),
        (MIXED.replace(use_bias=True), "metaformer", "use_bias=False"),
        (VARIANTS["poolformer_s12"], "metaformer", "embedding_norm=True"),
        (small("caformer_s18"), "hf", "transformers' PoolFormer has embedding_norm=False"),
        (small("caformer_s18"), "sail", "transformers' PoolFormer has embedding_norm=False"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_pytorch_has_no_class_for(config, layout, said):
    assert said in error_line(oracles.build_oracle, config, layout)

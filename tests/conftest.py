"""What several tests share: randomised PyTorch oracles, photographs, a user's odd network."""

import pytest

from keras_poolformer import PoolFormerConfig
from keras_poolformer.presets import ASSETS

# A network that no library has a name for.
ODD = PoolFormerConfig(
    depths=(1, 3, 2),
    widths=(24, 40, 72),
    pool_size=5,
    in_channels=4,
    num_classes=7,
)


@pytest.fixture(scope="session")
def randomize():
    """A function that randomises a PyTorch module."""
    return _randomize


def _randomize(module, seed=0):
    """Randomises every parameter: fresh layer scales of 1e-5 would hide the blocks."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                fan_in = parameter[0].numel()
                parameter.copy_(noise * fan_in**-0.5)
            elif "bias" in name:
                parameter.copy_(0.2 * noise)
            else:  # norm weights and layer scales
                parameter.copy_(0.5 + 0.2 * noise)
    return module


@pytest.fixture(scope="session")
def odd_config():
    return ODD


@pytest.fixture(scope="session")
def photographs():
    """Real photographs, as files."""
    return sorted((ASSETS / "photos").glob("*.jpg"))


@pytest.fixture(scope="session")
def images(photographs):
    """Two real photographs as normalised float32 (2, 224, 224, 3)."""
    from keras_poolformer import ImageTransform

    return ImageTransform()(photographs[:2])

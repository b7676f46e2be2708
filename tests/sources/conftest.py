"""What the tests of loading share: a network as transformers writes it, and as a .keras file."""

import numpy as np
import pytest

from tests.helpers import randomized_module


@pytest.fixture(scope="session")
def class_names():
    return ("cat", "dog", "owl")


@pytest.fixture(scope="session")
def images():
    """Noise, of another size than a network is trained for."""
    return np.random.default_rng(0).standard_normal((2, 64, 96, 3), np.float32)


@pytest.fixture(scope="session")
def hf(images, tiny_config):
    """transformers' class, and its logits for the images."""
    pytest.importorskip("torch")
    from conversion.oracles import build_oracle

    oracle = build_oracle(tiny_config, "hf")
    randomized_module(oracle.module)
    return oracle.module, oracle.run(images)


@pytest.fixture(scope="session")
def hub(hf, class_names, tmp_path_factory):
    """Directories as transformers writes them."""
    import torch
    from transformers import PoolFormerImageProcessorPil

    module, _ = hf
    folder = tmp_path_factory.mktemp("hub")
    module.save_pretrained(folder / "placeholders")
    module.save_pretrained(folder / "sharded", max_shard_size="12KB")
    module.poolformer.save_pretrained(folder / "bare")
    (folder / "bin").mkdir()
    module.config.save_pretrained(folder / "bin")
    torch.save(module.state_dict(), folder / "bin/pytorch_model.bin")

    module.config.id2label = dict(enumerate(class_names))
    module.poolformer.save_pretrained(folder / "bare_labelled")
    module.save_pretrained(folder / "labelled")
    processor = PoolFormerImageProcessorPil(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}, crop_pct=0.95
    )
    processor.save_pretrained(folder / "labelled")
    return folder


@pytest.fixture(scope="session")
def archive(hub, tmp_path_factory):
    """The labelled network as a .keras file."""
    from keras_poolformer import PoolFormerImageClassifier

    path = tmp_path_factory.mktemp("keras") / "x.keras"
    PoolFormerImageClassifier.from_preset(hub / "labelled").save(path)
    return path

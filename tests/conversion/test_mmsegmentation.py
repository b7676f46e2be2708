"""Our PyTorch segmenter, the judge of other tests, is mmsegmentation's; and Keras equals both.

Needs mmsegmentation 1.2.2: `make test-mmsegmentation` installs it next to everything else.
"""

import numpy as np
import pytest

from keras_poolformer import PoolFormerSegmenter, save_torch_weights
from keras_poolformer.label_maps import label_map
from keras_poolformer.models.segmenter import MetaFormerSegmenter
from tests.helpers import PHOTOS, relative_error
from tests.segmenters import CONFIG, checkpoint, noise, randomized_segmenter, run_torch

torch = pytest.importorskip("torch")
mmsegmentation = pytest.importorskip("conversion.mmsegmentation")

pytestmark = [
    pytest.mark.skipif(not mmsegmentation.is_installed(), reason="needs mmsegmentation"),
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
]
TOLERANCE = 3e-6


@pytest.fixture(params=["small", "poolformer_s12", "poolformer_m48"])
def pair(request):
    """(our module, mmsegmentation's) with the same random weights."""
    name = request.param
    config = CONFIG if name == "small" else MetaFormerSegmenter.from_variant(name).config
    ours = randomized_segmenter(config)
    theirs = mmsegmentation.build_segmenter(config)
    theirs.model.load_state_dict(checkpoint(ours), strict=True)
    return ours, theirs


@pytest.mark.parametrize("size", [(64, 96), (61, 93)])
def test_our_pytorch_is_mmsegmentations(pair, size):
    images = noise(1, *size, 3)
    expected, received = (run_torch(module, images) for module in reversed(pair))
    for name, output in expected.items():
        np.testing.assert_allclose(received[name], output, rtol=1e-5, atol=1e-5, err_msg=name)
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    with torch.inference_mode():
        logits = pair[1].model(tensor, mode="tensor")
    # Another memory layout of the images, hence another order of sums.
    assert relative_error(logits.permute(0, 2, 3, 1).numpy(), expected["logits"]) <= TOLERANCE


def test_keras_is_mmsegmentations(pair, tmp_path):
    """With mmsegmentation's whole inference: resized to the network's size, then the picture's."""
    theirs = pair[1]
    torch.save({"state_dict": theirs.model.state_dict()}, tmp_path / "x.pth")
    model = PoolFormerSegmenter.from_preset(tmp_path / "x.pth")
    picture = PHOTOS[0]
    prepared = model.transform([picture])
    network_size, size = prepared.shape[1:3], (300, 400)
    pixels = torch.from_numpy(prepared).permute(0, 3, 1, 2)
    meta = {"img_shape": network_size, "ori_shape": size}
    with torch.inference_mode():
        full = theirs.model.inference(pixels, [meta])
        full = torch.nn.functional.interpolate(full, size, mode="bilinear")
    logits = np.asarray(model(prepared))
    error = relative_error(logits, run_torch(theirs, prepared)["logits"])
    equal = np.mean(label_map(logits[0], network_size, size) == full[0].argmax(0).numpy())
    print(f"relative error {error:.1e}, {equal:.4%} of the labels equal")
    assert error <= TOLERANCE and equal >= 0.9999


def test_mmsegmentation_reads_what_we_write(tmp_path):
    from safetensors.torch import load_file

    model = PoolFormerSegmenter(CONFIG)
    save_torch_weights(model, tmp_path / "x.safetensors", layout="mmseg")
    theirs = mmsegmentation.build_segmenter(CONFIG)
    theirs.model.load_state_dict(load_file(tmp_path / "x.safetensors"), strict=True)
    images = noise(1, 64, 64, 3)
    assert relative_error(model(images), run_torch(theirs, images)["logits"]) <= TOLERANCE


def test_a_real_history_of_mmengine_is_inert(tmp_path):
    """What mmengine keeps of a training's logs, in a file as its runner saves it."""
    from mmengine.logging import MessageHub

    hub = MessageHub.get_instance("training")
    hub.update_scalar("train/loss", 0.5)
    state = checkpoint(randomized_segmenter())
    meta = {"dataset_meta": {"classes": tuple("abcde"), "palette": [[n] * 3 for n in range(5)]}}
    file = {"meta": meta, "state_dict": state, "message_hub": hub.state_dict()}
    torch.save(file, tmp_path / "x.pth")
    model = PoolFormerSegmenter.from_preset(tmp_path / "x.pth")
    assert model.labels == tuple("abcde") and model.palette[4] == (4, 4, 4)

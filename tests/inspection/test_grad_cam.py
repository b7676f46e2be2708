"""Grad-CAM against PyTorch: the same weights, photographs, and both heads."""

import numpy as np
import pytest
from PIL import Image

from keras_poolformer import PoolFormerBackbone, PoolFormerImageClassifier, load_torch_weights
from keras_poolformer.inspection.grad_cam import COLORS, MAX_OPACITY, grad_cam, overlay, resize_cam
from keras_poolformer.support.errors import InputError
from tests.helpers import randomized_module

torch = pytest.importorskip("torch")
oracles = pytest.importorskip("conversion.oracles")

TOLERANCE = 1e-5  # of maps from 0 to 1; measured: 1.8e-6 (`pytest -rP` prints it)
LAYOUTS = {"norm_pool": "hf", "pool_norm": "timm"}


class Tapped(torch.nn.Module):
    """A block of transformers, which returns a tuple; its feature map goes through `tap`."""

    def __init__(self, block):
        super().__init__()
        self.block, self.tap = block, torch.nn.Identity()

    def forward(self, features):
        first, *others = self.block(features)
        return (self.tap(first), *others)


class Logits(torch.nn.Module):
    """A classifier of either library that returns a tensor; `stages` give feature maps."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        if hasattr(module, "stages"):
            self.stages = list(module.stages)
            return
        self.stages = []
        for blocks in module.poolformer.encoder.block:
            blocks[-1] = Tapped(blocks[-1])
            self.stages.append(blocks[-1].tap)

    def forward(self, images):
        output = self.module(images)
        return output if isinstance(output, torch.Tensor) else output.logits


@pytest.fixture(scope="module", params=LAYOUTS)
def oracle_and_model(request, odd_config, images, tmp_path_factory):
    """An odd network of one head in PyTorch and in Keras, and photographs for it."""
    config = odd_config.replace(head=request.param)
    oracle = oracles.build_oracle(config, LAYOUTS[request.param])
    randomized_module(oracle.module)
    file = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(oracle.module.state_dict(), file)
    model = PoolFormerImageClassifier(config)
    load_torch_weights(model, file)
    return Logits(oracle.module).eval(), model, images[:, :200, :, [0, 1, 2, 0]]


def torch_input(images):
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def hooked_cam(module, stage, images, class_index):
    """Grad-CAM by a hook that keeps a feature map: equations 1 and 2 of arXiv 1610.02391."""
    kept = []

    def keep(_, __, features):
        features.retain_grad()
        kept.append(features)

    handle = module.stages[stage].register_forward_hook(keep)
    logits = module(torch_input(images))
    handle.remove()
    chosen = logits.max(1).values if class_index is None else logits[:, class_index]
    chosen.sum().backward()
    (features,) = kept
    alpha = features.grad.mean((2, 3), keepdim=True)
    maps = (alpha * features).sum(1).relu().detach().numpy()
    maps = maps - maps.min((1, 2), keepdims=True)
    return maps / maps.max((1, 2), keepdims=True)


@pytest.mark.first(1)
@pytest.mark.parametrize("class_index", [None, 5])
@pytest.mark.parametrize("layer", ["P2", "P3", "P4"])
def test_maps_equal_pytorchs(oracle_and_model, layer, class_index):
    module, model, photographs = oracle_and_model
    expected = hooked_cam(module, int(layer[1]) - 2, photographs, class_index)
    received = grad_cam(model, photographs, class_index, layer)
    assert received.dtype == np.float32 and received.shape == expected.shape
    difference = np.abs(received - expected).max()
    print(f"largest difference, {layer}, class {class_index}: {difference:.1e}")
    assert difference <= TOLERANCE


@pytest.mark.filterwarnings("ignore")
def test_maps_equal_the_packages_that_the_authors_use(oracle_and_model):
    """grad-cam, by default, at the image's size: the authors' misc/cam_image.py."""
    package = pytest.importorskip("pytorch_grad_cam", reason="needs pip install grad-cam")
    module, model, photographs = oracle_and_model
    with package.GradCAM(module, module.stages[-1:]) as cam:
        expected = cam(torch_input(photographs), targets=None)
    height, width = photographs.shape[1:3]
    received = [resize_cam(one, (width, height)) for one in grad_cam(model, photographs)]
    difference = np.abs(np.array(received) - expected).max()
    print(f"largest difference: {difference:.1e}")
    assert difference <= TOLERANCE


@pytest.fixture
def tiny(tiny_config):
    return PoolFormerImageClassifier(tiny_config.replace(initializer_range=0.5))


@pytest.mark.first(1)
def test_the_last_stage_and_the_likeliest_class_are_the_default(oracle_and_model):
    _, model, photographs = oracle_and_model
    likeliest = np.argmax(model(photographs), -1)
    maps = grad_cam(model, photographs)
    assert np.array_equal(maps, grad_cam(model, photographs, likeliest, "P4"))
    assert np.array_equal(maps, grad_cam(model, photographs, None, "stages_2_blocks_1"))


@pytest.mark.first(1)
def test_each_image_may_have_a_class_of_its_own(oracle_and_model):
    _, model, photographs = oracle_and_model
    maps = grad_cam(model, photographs, [1, 6])
    for image, cam, class_index in zip(photographs, maps, (1, 6), strict=True):
        (alone,) = grad_cam(model, image[None], class_index)
        assert np.allclose(cam, alone, atol=TOLERANCE)


def test_every_layer_has_a_map_from_0_to_1(tiny, images):
    layers = ["stages_0_embedding", "stages_1_blocks_0", "P2", "P5"]
    for layer, side in zip(layers, (32, 16, 32, 4), strict=True):
        (cam,) = grad_cam(tiny, images[:1, :128, :128], 0, layer)
        assert cam.shape == (side, side) and (cam.min(), cam.max()) == (0, 1)


def test_nothing_speaks_for_a_class_without_weights(tiny, images):
    kernel, bias = tiny.head.get_weights()
    tiny.head.set_weights([kernel * [0, 1, 1], bias])
    assert not grad_cam(tiny, images, 0).any()


def test_half_precision_gives_nearly_the_same(tiny, images):
    half = PoolFormerImageClassifier(tiny.config, dtype="mixed_bfloat16")
    half.set_weights(tiny.get_weights())
    difference = grad_cam(half, images, 0) - grad_cam(tiny, images, 0)
    assert np.abs(difference).max() < 0.2


def test_what_does_not_fit_is_refused(tiny, images, tiny_config):
    refusals = {
        "`class_index` must be a whole number from 0 to 2": [3, -1, 1.0, "cat", [0, 1, 2]],
        "`layer` must be one of P2, P3, P4, P5, or": ["P6", 5, "images"],
    }
    for message, values in refusals.items():
        for value in values:
            name = message.split("`")[1]
            with pytest.raises(InputError, match=message):
                grad_cam(tiny, images, **{name: value})
    with pytest.raises(InputError, match="Did you mean 'stages_3_blocks_0'"):
        grad_cam(tiny, images, layer="stages_3_block_0")
    for wrong in (images[0], images[:0], images[..., :1]):
        with pytest.raises(InputError, match=r"shape \(N, H, W, 3\)"):
            grad_cam(tiny, wrong)
    for model in (
        PoolFormerBackbone(tiny_config),
        PoolFormerImageClassifier(tiny_config.replace(num_classes=0)),
    ):
        with pytest.raises(InputError, match="must be a classifier"):
            grad_cam(model, images)
    with pytest.raises(InputError, match="one map"):
        overlay(Image.new("RGB", (8, 8)), np.zeros((1, 2, 2)))


def test_an_overlay_is_gray_where_nothing_speaks_and_red_where_most_does(rgb_photographs):
    photograph = rgb_photographs[0]
    painted = overlay(photograph, np.linspace(0, 1, 9)[None])
    assert (painted.size, painted.mode) == (photograph.size, "RGB")
    pixels = np.asarray(painted).astype(float)
    gray = np.asarray(photograph.convert("L")).astype(float)[..., None]
    assert np.array_equal(pixels[:, 0], np.repeat(gray[:, 0], 3, -1))
    expected = (1 - MAX_OPACITY) * gray[:, -1] + MAX_OPACITY * np.array(COLORS[-1])
    assert np.abs(pixels[:, -1] - expected).max() <= 0.5001
    flat = overlay(Image.new("RGB", (90, 1), "gray"), np.linspace(0, 1, 90)[None])
    colorfulness = np.ptp(np.asarray(flat)[0, ::5].astype(int), axis=-1)
    assert (np.diff(colorfulness) > 0).all()


def test_a_map_is_enlarged_as_pytorch_does_it():
    cam = np.random.default_rng(0).random((3, 4), "float32")
    enlarged = torch.nn.functional.interpolate(
        torch.from_numpy(cam)[None, None], (50, 70), mode="bilinear"
    )[0, 0].numpy()
    expected = (enlarged - enlarged.min()) / (enlarged.max() - enlarged.min())
    assert np.abs(resize_cam(cam, (70, 50)) - expected).max() < 1e-5

"""Segmenters for tests, in Keras and in PyTorch: `from tests.segmenters import CONFIG`."""

import numpy as np
from PIL import Image, ImageDraw

from keras_poolformer import PoolFormerConfig
from tests.helpers import randomized_module

CONFIG = PoolFormerConfig(
    depths=(1, 1, 2, 1),
    widths=(8, 12, 16, 24),
    num_classes=5,
    head="semantic_fpn",
    feature_norms=True,
    neck_width=16,
    segmentation_width=12,
    head_dropout_rate=0.1,
)
# Of two stages, where the depth of the backbone does not matter: in half the time.
SHALLOW = CONFIG.replace(depths=(1, 1), widths=(8, 12))
LABELS = ("wall", "sky", "tree", "road", "sea")
PALETTE = ((120, 120, 120), (6, 230, 230), (4, 200, 3), (140, 140, 140), (9, 7, 230))


def randomized_segmenter(config=CONFIG, seed=0):
    """The re-implementation in PyTorch, with random weights and statistics."""
    import torch

    from conversion.semantic_fpn import build_segmenter

    module = randomized_module(build_segmenter(config), seed)
    generator = torch.Generator().manual_seed(seed)
    for name, statistic in module.named_buffers():
        if statistic.ndim:
            noise = torch.rand(statistic.shape, generator=generator)
            statistic.copy_(0.5 + noise if name.endswith("var") else 0.2 * noise)
        else:
            statistic.fill_(40_000)
    return module


def checkpoint(module):
    """{mmsegmentation's name: tensor} of the re-implementation."""
    from conversion.semantic_fpn import mmseg_name

    return {mmseg_name(name): tensor for name, tensor in module.state_dict().items()}


def save_checkpoint(module, path, **meta):
    """Writes a file as mmsegmentation's training does."""
    import torch

    torch.save({"meta": {"iter": 40_000, **meta}, "state_dict": checkpoint(module)}, path)
    return path


def run_torch(module, images):
    """{"P2": (N, h, w, C), ..., "N2": ..., "logits"} of images (N, H, W, C), in their dtype."""
    import torch

    with torch.inference_mode():
        normed, neck, logits = module(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    outputs = {f"P{level + 2}": one for level, one in enumerate(normed)}
    outputs |= {f"N{level + 2}": one for level, one in enumerate(neck)}
    outputs["logits"] = logits
    return {name: one.permute(0, 2, 3, 1).numpy() for name, one in outputs.items()}


def outputs_of(model):
    """The same outputs of a Keras segmenter, as symbolic tensors."""
    necks = [model.get_layer(f"neck_output_{stage}").output for stage in range(len(CONFIG.depths))]
    neck = {f"N{level + 2}": output for level, output in enumerate(necks)}
    return {**model.backbone.pyramid_outputs, **neck, "logits": model.output}


def noise(*shape, seed=0):
    """Random float32 images."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def draw_shapes_folder(root, train, val):
    """Writes a folder of drawn discs and squares on gray, with masks, of several sizes.

    Args:
        root: Folder to make.
        train: Number of images to train on.
        val: Number of images to evaluate on.
    """
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            image, mask = _draw_shapes(random)
            image.save(root / "images" / split / f"{number}.png")
            mask.save(root / "masks" / split / f"{number}.png")
    (root / "labels.txt").write_text("ground\ndisc\nsquare\n", encoding="utf-8", newline="\n")


def _draw_shapes(random):
    width, height = (int(side) for side in random.integers(40, 72, 2))
    image = Image.new("RGB", (width, height), (90, 100, 110))
    mask = Image.new("L", image.size)
    for label, color in ((1, (200, 60, 50)), (2, (40, 90, 220))):
        x, y = (int(random.integers(0, side - 20)) for side in image.size)
        for canvas, fill in ((image, color), (mask, label)):
            draw = ImageDraw.Draw(canvas)
            (draw.ellipse if label == 1 else draw.rectangle)((x, y, x + 18, y + 18), fill)
    return image, mask

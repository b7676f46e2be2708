"""The PyTorch libraries this project is measured against, imported safely."""

import importlib.metadata
import importlib.util
import sys


def prepare_torchvision() -> None:
    """Makes timm and transformers importable beside TensorFlow, with any build of PyTorch.

    Ordinary builds of torchvision have compiled operators, and loading them after TensorFlow is a
    segmentation fault (tensorflow-cpu 2.21, torchvision 0.28): they are loaded here.

    The CPU build has none, and registering their Python side fails with "operator
    torchvision::nms does not exist". Declaring the schemas is enough: no PoolFormer calls them.

    Raises:
        ImportError: TensorFlow was imported already.
    """
    if importlib.util.find_spec("torchvision") is None or "torchvision" in sys.modules:
        return
    if importlib.metadata.version("torch").endswith("+cpu"):
        _declare_operators()
        return
    if "tensorflow" in sys.modules:
        raise ImportError(
            "import `conversion` before TensorFlow and Keras: this build of torchvision crashes "
            "where they come first"
        )
    importlib.import_module("torchvision")


def _declare_operators():
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept_alive.append(library)  # the declarations vanish with the object that made them


_kept_alive: list = []

"""The PyTorch models this project is measured against, imported safely."""

import importlib.metadata


def declare_torchvision_operators():
    """Lets timm and transformers be imported beside the CPU build of PyTorch.

    torchvision's compiled operators are missing there, and registering its Python side
    fails with "operator torchvision::nms does not exist". Declaring the schemas is enough:
    no PoolFormer calls them.
    """
    import torch

    if not importlib.metadata.version("torch").endswith("+cpu"):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept_alive.append(library)  # the declarations vanish with the object that made them


_kept_alive: list = []

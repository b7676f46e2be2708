"""The tensors of one layer: what belongs together in every layout."""

from keras_poolformer.checkpoints.layouts import Tensor


def affine(name: str, path: str, shape: tuple[int, ...], role: str) -> list[Tensor]:
    """Returns kernel and bias of a convolution or linear layer.

    Args:
        name: Name in the layout, without its leaf.
        path: Path of the Keras layer.
        shape: Shape of the kernel in PyTorch.
        role: Role of the kernel, as `Tensor` has it.
    """
    return [
        Tensor(f"{name}.weight", shape, f"{path}/kernel", role),
        Tensor(f"{name}.bias", shape[:1], f"{path}/bias", "vector"),
    ]


def norm(name: str, path: str, width: int, use_bias: bool = True) -> list[Tensor]:
    """Returns scale and bias of a norm.

    Args:
        name: Name in the layout, without its leaf.
        path: Path of the Keras layer.
        width: Number of channels.
        use_bias: Whether it has a bias.
    """
    weight = Tensor(f"{name}.weight", (width,), f"{path}/gamma", "vector")
    bias = Tensor(f"{name}.bias", (width,), f"{path}/beta", "vector")
    return [weight, bias] if use_bias else [weight]


def batch_norm(name: str, path: str, width: int) -> list[Tensor]:
    """Returns scale, bias and running statistics of a batch norm.

    Args:
        name: Name in the layout, without its leaf.
        path: Path of the Keras layer.
        width: Number of channels.
    """
    return [
        *norm(name, path, width),
        Tensor(f"{name}.running_mean", (width,), f"{path}/moving_mean", "vector"),
        Tensor(f"{name}.running_var", (width,), f"{path}/moving_variance", "vector"),
    ]


def star_relu(name: str, path: str) -> list[Tensor]:
    """Returns the two numbers of a StarReLU.

    Args:
        name: Name in the layout, without its leaf.
        path: Path of the Keras layer.
    """
    return [
        Tensor(f"{name}.{leaf}", (1,), f"{path}/{leaf}", "vector") for leaf in ("scale", "bias")
    ]

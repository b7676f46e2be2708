"""Infers what distinguishes the networks of arXiv 2210.13452 from the shapes of their tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_poolformer.checkpoints.layouts import Layout
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.untyped import is_list

Shapes = Mapping[str, tuple[int, ...]]

# {tensor of a block that has the mixer: mixer}
_MIXER_TENSORS = {
    "token_mixer.random_matrix": "random",
    "token_mixer.pwconv1.weight": "sep_conv",
    "token_mixer.qkv.weight": "attention",
}
_WITHOUT_WEIGHTS = ("pooling", "identity")
_NORM_EPSILON = 1e-6  # in the code of both libraries
_RES_SCALE_INIT = 1.0


def fields(
    shapes: Shapes,
    layout: Layout,
    first_blocks: Sequence[str],
    token_mixers: Any = None,
    stated: Sequence[str] = (),
) -> dict[str, Any]:
    """Returns the fields of a config that PoolFormer has at their defaults.

    All released networks with convolution or attention have layer norm, the others group norm,
    and all have one epsilon; the tensors cannot tell.

    Args:
        shapes: {tensor name: shape}, with the names of `layout`.
        layout: Layout of the names.
        first_blocks: Name of the first block of each stage.
        token_mixers: Token mixers, if the source tells, or None.
        stated: Token mixers of the architecture whose name the file states, if any. They count
            only where they agree with the tensors.

    Raises:
        InputError: The tensors fit several token mixers, and the source does not tell which.
    """
    embedding_norm = bool(layout.stem_norm) and f"{layout.stem_norm}.weight" in shapes
    found = [_mixer(shapes, block) for block in first_blocks]
    mixers = _given(token_mixers, len(first_blocks)) or _complete(found, embedding_norm, stated)
    inferred: dict[str, Any] = {
        "token_mixers": mixers,
        "num_tokens": tuple(_tokens(shapes, block) for block in first_blocks),
        "embedding_norm": embedding_norm,
        "res_scale_init": tuple(
            _RES_SCALE_INIT if f"{block}.{layout.res_scale1}" in shapes else None
            for block in first_blocks
        ),
    }
    if f"{first_blocks[0]}.{layout.activation}.scale" in shapes:
        inferred["activation"] = "star_relu"
    if embedding_norm:
        inferred["norm"] = "layer_norm" if {"sep_conv", "attention"} & set(found) else "group_norm"
        inferred["norm_epsilon"] = _NORM_EPSILON
    return inferred


def _given(token_mixers: Any, stages: int) -> Any:
    """The token mixer of each stage as a source gives it; the config checks the names."""
    if isinstance(token_mixers, str):
        return (token_mixers,) * stages
    return tuple(token_mixers) if is_list(token_mixers) else token_mixers


def _fits(found: str | None, stated: str) -> bool:
    return stated == found if found else stated in _WITHOUT_WEIGHTS


def _mixer(shapes: Shapes, block: str) -> str | None:
    """The token mixer of a block, or None if it has no weights."""
    for tensor, mixer in _MIXER_TENSORS.items():
        if f"{block}.{tensor}" in shapes:
            return mixer
    return None


def _tokens(shapes: Shapes, block: str) -> int | None:
    shape = shapes.get(f"{block}.token_mixer.random_matrix")
    return shape[0] if shape else None


def _complete(
    found: Sequence[str | None], embedding_norm: bool, stated: Sequence[str]
) -> tuple[str, ...]:
    """The token mixer of each stage, with what those without weights must be."""
    if None not in found:
        return tuple(filter(None, found))
    if embedding_norm and len(stated) == len(found) and all(map(_fits, found, stated)):
        return tuple(stated)
    if not embedding_norm:
        without_weights = "pooling"
    elif "random" in found:  # as in all released RandFormers
        without_weights = "identity"
    else:
        unknown = [str(stage) for stage, mixer in enumerate(found) if mixer is None]
        raise InputError(
            f"the tensors fit several networks: the token mixers of stages {', '.join(unknown)} "
            "have no weights, so that they can be pooling (PoolFormerV2) or identity "
            "(IdentityFormer). Say which: in Python with `token_mixers`, on the command line with "
            "`convert --architecture`"
        )
    return tuple(mixer or without_weights for mixer in found)

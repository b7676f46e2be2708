"""Which layers of a model are trainable, as plain values that a file can hold."""

from collections.abc import Sequence
from typing import Any

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

State = dict[str, dict[str, bool]]


def trainable_state(model: Any) -> State:
    """Returns what is trainable in a model, down to single weights.

    Args:
        model: A `PoolFormerModel`.

    Returns:
        {"layers": {path: flag}, "weights": {path: flag}} of those layers whose flag differs from
        that of the layer around them, and of those weights whose flag differs from that of their
        layer; in the order in which they have to be set.
    """
    layers, weights = {}, {}
    for path, layer, around in _walk(model):
        if layer.trainable != around.trainable:
            layers[path] = layer.trainable
        for weight in layer._trainable_variables:
            if weight.trainable != layer.trainable:
                weights[weight.path] = weight.trainable
    return {"layers": layers, "weights": weights}


def restore_trainable(model: Any, saved: dict[str, Any]) -> None:
    """Makes trainable what was trainable when a model of the same architecture was saved.

    Args:
        model: A `PoolFormerModel`.
        saved: The fields `TRAINABLE_FIELDS` of its configuration, as far as the file has them;
            of unknown origin.

    Raises:
        InputError: A field is not valid, or names layers or weights that the model does not have.
    """
    trainable = saved.get("trainable", True)
    if not isinstance(trainable, bool):
        raise InputError(f"`trainable` must be true or false. Received: {shown(trainable)}")
    model.trainable = trainable
    state = saved.get("trainable_state")
    if state is not None:
        _restore_state(model, state)
    elif trainable:
        model.freeze(saved.get("frozen_stages", 0))


def _restore_state(model, state):
    layers = {path: layer for path, layer, _ in _walk(model)}
    weights = {weight.path: weight for weight in model.weights}
    if not isinstance(state, dict) or state.keys() != {"layers", "weights"}:
        raise _refused("an object with `layers` and `weights`", state)
    for kind, parts in (("layers", layers), ("weights", weights)):
        flags = state[kind]
        if not isinstance(flags, dict):
            raise _refused(f"an object with an object `{kind}`", flags)
        for path, flag in flags.items():
            if path not in parts or not isinstance(flag, bool):
                raise _refused(f"true or false for {kind} of the model", {path: flag})
            parts[path].trainable = flag


def copy_trainable(old: Any, model: Any, fresh: Sequence[str] = ()) -> None:
    """Freezes in a model what is frozen in another one, layer by layer and weight by weight.

    Args:
        old: The model with the flags.
        model: The model that gets them, as far as both have the same layers.
        fresh: Paths of weights that learn in any case, as do the layers around them.
    """
    flags = {path: layer.trainable for path, layer, _ in _walk(old)}
    for path, layer, _ in _walk(model):
        if not any(weight.path in fresh for weight in layer.weights):
            layer.trainable = flags.get(path, True)
    flags = {weight.path: weight.trainable for weight in old.weights}
    for weight in model.weights:
        if weight.path not in fresh:
            weight.trainable = flags.get(weight.path, True)


def _walk(model):
    """(path, layer, the layer around it) of all layers, outer ones first.

    The layers of a classifier's backbone have the paths that they have in a backbone alone.
    """
    return _inside(model, "")


def _inside(around, prefix):
    for layer in around._flatten_layers(include_self=False, recursive=False):
        if hasattr(layer, "stage_outputs"):  # a backbone, whose own name is arbitrary
            yield "backbone", layer, around
            yield from _inside(layer, prefix)
        else:
            yield f"{prefix}{layer.name}", layer, around
            yield from _inside(layer, f"{prefix}{layer.name}/")


def _refused(rule, value):
    return InputError(f"`trainable_state` must be {rule}. Received: {shown(value)}")

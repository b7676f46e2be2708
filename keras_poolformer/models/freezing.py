"""Which layers of a model are trainable, as plain values that a file can hold."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import keras

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

State = dict[str, dict[str, bool]]


def trainable_state(model: keras.Model) -> State:
    """Returns what is trainable in a model, down to single weights.

    Args:
        model: The model.

    Returns:
        {"layers": {path: flag}, "weights": {path: flag}} of those layers whose flag differs from
        that of the layer around them, and of those weights whose flag differs from that of their
        layer; in the order in which they have to be set.
    """
    layers: dict[str, bool] = {}
    weights: dict[str, bool] = {}
    for path, layer, around in _walk(model):
        if layer.trainable != around.trainable:
            layers[path] = layer.trainable
        for weight in layer._trainable_variables:
            if weight.trainable != layer.trainable:
                weights[weight.path] = weight.trainable
    return {"layers": layers, "weights": weights}


def restore_trainable(model: Any, saved: Mapping[str, Any]) -> None:
    """Makes trainable what was trainable when a model of the same architecture was saved.

    Args:
        model: `MetaFormerModel` to change.
        saved: Fields `TRAINABLE_FIELDS` of the saved configuration, as far as the file has them.
            They are untrusted.

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


def _restore_state(model: keras.Model, state: Any) -> None:
    layers = {path: layer for path, layer, _ in _walk(model)}
    weights = {weight.path: weight for weight in model.weights}
    if not isinstance(state, dict) or state.keys() != {"layers", "weights"}:
        raise _rejection("an object with `layers` and `weights`", state)
    for kind, parts in (("layers", layers), ("weights", weights)):
        flags = state[kind]
        if not isinstance(flags, dict):
            raise _rejection(f"an object with an object `{kind}`", flags)
        for path, flag in flags.items():
            if path not in parts or not isinstance(flag, bool):
                raise _rejection(f"true or false for {kind} of the model", {path: flag})
            parts[path].trainable = flag


def copy_trainable(old: keras.Model, model: keras.Model, fresh: Collection[str] = ()) -> None:
    """Freezes in a model what is frozen in another one, layer by layer and weight by weight.

    Args:
        old: Model with the flags.
        model: Model that gets them, as far as both have the same layers.
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


def _walk(model: keras.Model) -> Iterator[tuple[str, Any, Any]]:
    """(path, layer, the layer around it) of all layers, outer ones first.

    The layers of a classifier's backbone have the paths that they have in a backbone.
    """
    return _inside(model, "")


def _inside(around: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    # `layers` of a functional model leaves out what is not on its graph. The private method, as
    # of Keras 3.15, does not.
    for layer in around._flatten_layers(include_self=False, recursive=False):
        if hasattr(layer, "stage_outputs"):  # a backbone, whose own name is arbitrary
            yield "backbone", layer, around
            yield from _inside(layer, prefix)
        else:
            yield f"{prefix}{layer.name}", layer, around
            yield from _inside(layer, f"{prefix}{layer.name}/")


def _rejection(rule: str, value: object) -> InputError:
    return InputError(f"`trainable_state` must be {rule}. Received: {shown(value)}")

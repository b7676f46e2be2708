"""Selects the tensors of a training checkpoint that are the model's weights."""

import re
from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from keras_poolformer.checkpoints.names import network_prefixes
from keras_poolformer.checkpoints.reading.readers import Selection
from keras_poolformer.checkpoints.reading.standins import StoredTensor, is_dict
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

# In order of preference. Entries of any other name count if they hold a network's stem.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "module", "")
_AVERAGED = re.compile(r"(^|[._])(ema|swa)([._]|$)")
_MAX_NESTING = 3
_MAX_ENTRY_NAME = 100  # characters; a longer one would be repeated before every name inside
_MAX_ARCHITECTURE = 200  # characters
_MMENGINE = {"state_dict", "ema_state_dict", "message_hub"}


def select_weights(loaded: Any, path: Path, use_ema: bool) -> Selection:
    """Selects the weights in a pickled checkpoint.

    Args:
        loaded: Unpickled object.
        path: Path of the file, for messages.
        use_ema: Whether averaged weights are preferred; without it they are never used.

    Raises:
        InputError: There are no weights, or those of several models.
    """
    if not is_dict(loaded):
        raise InputError(
            f"{path} holds {_kind(loaded)}, not named tensors: save model.state_dict()"
        )
    entries = _tensor_dictionaries(loaded)
    networks = [name for name, tensors in entries.items() if network_prefixes(tensors)]
    candidates = networks or [name for name in entries if name in WRAPPERS]
    if not candidates:
        raise InputError(f"{path} {_without_weights(loaded)}")
    # mmengine exchanges the two when it saves, so that `state_dict` holds the averages.
    averaged = {"state_dict"} if loaded.keys() >= _MMENGINE else _averaged(candidates)
    entry = _choose(candidates, averaged, use_ema, path)
    architecture = loaded.get("arch")
    labels, palette = _classes(loaded)
    return Selection(
        tensors=entries[entry],
        entry=entry,
        unused=tuple(name for name in networks if name != entry),
        architecture=architecture[:_MAX_ARCHITECTURE] if isinstance(architecture, str) else "",
        labels=labels,
        palette=palette,
    )


def _classes(loaded: dict[str, Any]) -> tuple[Any, Any]:
    """The names and colors of the classes, unchecked, where OpenMMLab's training saves them."""
    meta = loaded.get("meta")
    if not is_dict(meta):
        return None, None
    dataset = meta.get("dataset_meta")  # since mmengine
    if is_dict(dataset):
        return dataset.get("classes"), dataset.get("palette")
    return meta.get("CLASSES"), meta.get("PALETTE")


def choose_network(names: Collection[str], use_ema: bool, path: Path) -> str:
    """Returns the prefix of the one network among names of tensors, "" where none is recognized.

    Args:
        names: Names of the tensors.
        use_ema: Whether averaged weights are preferred; without it they are never used.
        path: Path of the file, for messages.

    Raises:
        InputError: They belong to several networks of equal rank, such as a student and a teacher.
    """
    prefixes = network_prefixes(names)
    return _choose(prefixes, _averaged(prefixes), use_ema, path) if prefixes else ""


def _choose(
    candidates: Sequence[str], averaged: AbstractSet[str], use_ema: bool, path: Path
) -> str:
    """Chooses one of several places that hold weights, of which some hold averaged ones."""
    current = [name for name in candidates if name not in averaged]
    averages = [name for name in candidates if name in averaged]
    group = averages if use_ema and averages else current
    if not group:
        raise InputError(
            f"{path} holds only averaged weights ({shown(averages[0])}): use them with "
            "use_ema=True (on the command line, without --no-ema)"
        )
    ranked = [name for name in WRAPPERS if name in group and name]
    if len(group) > 1 and not ranked:
        names = ", ".join(shown(name or "the top level") for name in group[:4])
        raise InputError(
            f"{path} holds {len(group)} models ({names}), and nothing says which one to load: "
            "save the state_dict() of one of them"
        )
    return ranked[0] if ranked else group[0]


def _averaged(names: Iterable[str]) -> set[str]:
    return {name for name in names if _AVERAGED.search(name)}


def _tensor_dictionaries(loaded: dict[str, Any]) -> dict[str, dict[str, StoredTensor]]:
    """Returns {place: {name: StoredTensor}} of every dictionary that holds tensors."""
    found: dict[str, dict[str, StoredTensor]] = {}
    seen: set[int] = set()
    level = [("", loaded)]
    for _ in range(_MAX_NESTING):
        following: list[tuple[str, dict[str, Any]]] = []
        for place, dictionary in level:
            if id(dictionary) in seen:  # a pickle can name the same one many times
                continue
            seen.add(id(dictionary))
            tensors = {k: v for k, v in dictionary.items() if isinstance(v, StoredTensor)}
            if tensors:
                found[place] = tensors
            following += [
                (f"{place}.{key}" if place else key, value)
                for key, value in dictionary.items()
                if is_dict(value) and len(key) <= _MAX_ENTRY_NAME
            ]
        level = following
    return found


def _kind(loaded: object) -> str:
    if isinstance(loaded, StoredTensor):
        return "one tensor"
    name = type(loaded).__name__
    is_named = name in ("list", "tuple", "str", "bytes", "int", "float", "bool")
    return f"a {name}" if is_named else "no dictionary"


def _without_weights(loaded: dict[str, Any]) -> str:
    if "param_groups" in loaded:
        return (
            "holds the state of an optimizer, not the weights of a model: "
            "give the file with model.state_dict()"
        )
    keys = ", ".join(shown(key, 30) for key in list(loaded)[:6]) or "nothing"
    places = ", ".join(filter(None, WRAPPERS))
    return f"holds no tensors at its top level or under {places}. Received: {keys}"

"""Which tensors of a training checkpoint are the model's weights."""

import re

from keras_poolformer.checkpoints.names import network_prefixes
from keras_poolformer.checkpoints.reading.standins import StoredTensor
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown

# In order of preference. Entries of any other name count if they hold a network's stem.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict", "module", "")
_AVERAGED = re.compile(r"(^|[._])(ema|swa)([._]|$)")
_MAX_NESTING = 3
_MAX_ENTRY_NAME = 100  # characters; a longer one would be repeated before every name inside
_MMENGINE = {"state_dict", "ema_state_dict", "message_hub"}


def find_weights(loaded, use_ema, path):
    """Finds the weights among all that was pickled.

    Args:
        loaded: The unpickled object.
        use_ema: Whether averaged weights are preferred; without it they are never used.
        path: Name of the file, for messages.

    Returns:
        (wrapper, {name: StoredTensor}, others): the entry that holds the weights, "" for the top
        level, and the entries that hold weights as well and are not used.

    Raises:
        InputError: There are no weights, or those of several models.
    """
    if type(loaded) is not dict:
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
    wrapper = choose(candidates, averaged, use_ema, path)
    return wrapper, entries[wrapper], tuple(name for name in networks if name != wrapper)


def choose_network(tensors, use_ema, path):
    """Returns the prefix of the one network among tensors, "" where none is recognized.

    Raises:
        InputError: They belong to several networks of equal rank, such as a student and a teacher.
    """
    prefixes = network_prefixes(tensors)
    return choose(prefixes, _averaged(prefixes), use_ema, path) if prefixes else ""


def choose(candidates, averaged, use_ema, path):
    """Picks one of several places that hold weights.

    Args:
        candidates: Names of the places.
        averaged: Those with averaged weights.
        use_ema: Whether averaged weights are preferred; without it they are never used.
        path: Name of the file, for messages.

    Raises:
        InputError: Nothing says which one is the model, or all are averaged and must not be used.
    """
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


def _averaged(names):
    return {name for name in names if _AVERAGED.search(name)}


def _tensor_dictionaries(loaded):
    """Returns {place: {name: StoredTensor}} of every dictionary that holds tensors."""
    found, seen = {}, set()
    level = [("", loaded)]
    for _ in range(_MAX_NESTING):
        following = []
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
                if type(value) is dict and len(key) <= _MAX_ENTRY_NAME
            ]
        level = following
    return found


def _kind(loaded):
    if isinstance(loaded, StoredTensor):
        return "one tensor"
    plain = isinstance(loaded, list | tuple | str | bytes | int | float)
    return f"a {type(loaded).__name__}" if plain else "no dictionary"


def _without_weights(loaded):
    if "param_groups" in loaded:
        return (
            "holds the state of an optimizer, not the weights of a model: "
            "give the file with model.state_dict()"
        )
    keys = ", ".join(shown(key, 30) for key in list(loaded)[:6]) or "nothing"
    places = ", ".join(filter(None, WRAPPERS))
    return f"holds no tensors at its top level or under {places}. Received: {keys}"

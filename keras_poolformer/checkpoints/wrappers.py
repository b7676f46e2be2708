"""Which tensors of a training checkpoint are the model's weights, and their bare names."""

from keras_poolformer.checkpoints.standins import StoredTensor, shown, shown_path
from keras_poolformer.errors import InputError

EMA_WRAPPERS = ("state_dict_ema", "model_ema")
PLAIN_WRAPPERS = ("state_dict", "model")
# What training wrappers put in front of every name, and what detectors put before the backbone.
WRAPPER_PREFIXES = ("module.", "_orig_mod.")
BACKBONE_PREFIX = "backbone."
MAX_NAME = 1000


def unwrapped(loaded, use_ema, path):
    """Finds the weights in what was pickled, by timm's order of preference.

    Args:
        loaded: the unpickled object.
        use_ema: whether averaged weights are preferred; without it they are never taken.
        path: name of the file, for messages.

    Returns:
        (wrapper, {name: StoredTensor}): the entry that holds them, "" for the top level.

    Raises:
        InputError: there are none.
    """
    if type(loaded) is not dict:
        plain = isinstance(loaded, list | tuple | str | bytes | int | float)
        kind = f"a {type(loaded).__name__}" if plain else "no dictionary"
        kind = "one tensor" if isinstance(loaded, StoredTensor) else kind
        raise InputError(
            f"{shown_path(path)} holds {kind}, not named tensors: save model.state_dict()"
        )

    def tensors_under(wrapper):
        value = loaded.get(wrapper) if wrapper else loaded
        items = value.items() if type(value) is dict else ()
        return {name: tensor for name, tensor in items if isinstance(tensor, StoredTensor)}

    for wrapper in (*(EMA_WRAPPERS if use_ema else ()), *PLAIN_WRAPPERS, ""):
        if found := tensors_under(wrapper):
            return wrapper, found
    averaged = [wrapper for wrapper in EMA_WRAPPERS if tensors_under(wrapper)]
    if averaged:
        raise InputError(
            f"{shown_path(path)} holds only averaged weights ({averaged[0]}): read them with "
            "use_ema=True"
        )
    keys = ", ".join(shown(key, 30) for key in list(loaded)[:6]) or "nothing"
    raise InputError(
        f"{shown_path(path)} holds no tensors at its top level or under "
        f"{', '.join((*EMA_WRAPPERS, *PLAIN_WRAPPERS))}. Received: {keys}"
    )


def bare_names(names, path):
    """Strips what training wrappers put in front of the names.

    Args:
        names: the names in the file.
        path: name of the file, for messages.

    Returns:
        {name in the file: bare name}. Of a detector or segmenter only the backbone remains.

    Raises:
        InputError: two names become the same, or one is absurdly long.
    """
    stripped = {name: name for name in names}
    if long := next((name for name in stripped if len(name) > MAX_NAME), None):
        raise InputError(f"{shown_path(path)} holds a tensor named {shown(long)}: too long a name")
    while True:
        before = stripped
        for prefix in WRAPPER_PREFIXES:
            stripped = {old: new.removeprefix(prefix) for old, new in stripped.items()}
        if stripped != before:
            continue
        if not any(new.startswith(BACKBONE_PREFIX) for new in stripped.values()):
            break
        stripped = {
            old: new.removeprefix(BACKBONE_PREFIX)
            for old, new in stripped.items()
            if new.startswith(BACKBONE_PREFIX)
        }
    owners: dict[str, str] = {}
    for old, new in stripped.items():
        if owners.setdefault(new, old) != old:
            raise InputError(
                f"{shown_path(path)} holds {shown(new)} twice, once as {shown(old)}: "
                "save only one of the models"
            )
    return stripped

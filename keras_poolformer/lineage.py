"""The provenance of weights that were trained further."""

from typing import Any

# What stays true of weights that have changed: how images are prepared, and what goes back into
# transformers' config.json.
_KEPT = ("transform", "hf_unused", "keras_poolformer")


def trained_provenance(provenance: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the provenance of a model after training.

    Args:
        provenance: Provenance of the weights that training began from, or None.

    Returns:
        A dict with "trained": True, the provenance of the first weights as "init", and as
        "base_model" the name of their source; without these two for fresh weights.
    """
    before = dict(provenance or {})
    if before.get("trained"):
        return before
    kept = {name: before[name] for name in _KEPT if name in before}
    init = {name: value for name, value in before.items() if name != "transform"}
    if not init.keys() - set(_KEPT):
        return {**kept, "trained": True}
    base = {"base_model": init["source"]} if "source" in init else {}
    return {**kept, **base, "init": init, "trained": True}

"""The provenance of weights that were trained further: what they are, and what they began as."""

from collections.abc import Mapping
from typing import Any

from keras_poolformer.support.messages import listed, shown

# What stays true of weights that have changed: how images are prepared, and what goes back into
# transformers' config.json.
_KEPT = ("transform", "hf_unused", "keras_poolformer")
_TRAINING = ("base_model", "init", "seed", "step", "trained")
# What earlier versions left in the provenance of trained weights, though it is about the
# checkpoint that training began from.
_OF_CHECKPOINT = (
    "sha256", "layout", "wrapper", "dtype", "tensors", "parameters", "new_tensors",
    "unused_tensors", "adapted_tensors", "prefix", "ignored_tensors", "assumed",
)  # fmt: skip


def trained_provenance(provenance: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the provenance of a model after more training of the same model.

    Args:
        provenance: Provenance of the weights that training began from, or None.

    Returns:
        A dict with "trained": True, the provenance of the first weights as "init", and as
        "base_model" the name of their source; without these two for fresh weights.
    """
    before = dict(provenance or {})
    return before if before.get("trained") else provenance_from(before)


def provenance_from(provenance: Mapping[str, Any] | None, name: str = "") -> dict[str, Any]:
    """Returns the provenance of a new model that training makes of another one.

    Args:
        provenance: Provenance of the weights that training begins from, or None for fresh ones.
        name: Name of the model that they are from. By default their source.
    """
    before = dict(provenance or {})
    kept = {field: before[field] for field in _KEPT if field in before}
    init = {field: value for field, value in before.items() if field not in ("transform", "init")}
    if not init.keys() - set(_KEPT):
        return {**kept, "trained": True}
    name = name or init.get("source") or init.get("base_model") or ""
    base = {"base_model": name} if name else {}
    return {**kept, **base, "init": init, "trained": True}


def untrained_provenance(provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns a provenance without what it says about training, for weights that are replaced."""
    return {field: value for field, value in (provenance or {}).items() if field not in _TRAINING}


def current_provenance(provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns a provenance as this version writes it; files of earlier ones are put in order."""
    before = dict(provenance or {})
    if before.get("trained") or "step" not in before:
        return before
    init = {field: before.pop(field) for field in _OF_CHECKPOINT if field in before}
    name = before.pop("init", None)
    base = {"base_model": name, "init": init} if isinstance(name, str) and name else {}
    return {**before, **base, "trained": True}


def origin_lines(provenance: Mapping[str, Any] | None) -> list[str]:
    """Returns what is known about where weights are from, one fact a line; [] if nothing is.

    Args:
        provenance: Provenance of a model, or None.
    """
    facts = current_provenance(provenance)
    if not facts.get("trained"):
        return _checkpoint_lines(facts)
    lines = [facts.get("source") or "trained with Keras"]
    if "step" in facts:
        lines[0] += f", {facts['step']:,} steps, seed {facts.get('seed')}"
    init = facts.get("init") or {}
    if facts.get("base_model"):
        lines.append(f"began as {facts['base_model']}")
        if init.get("source", facts["base_model"]) != facts["base_model"]:
            lines[-1] += f" ({init['source']})"
    if init.get("sha256"):
        lines.append(f"sha256 of that file: {init['sha256']}")
    return lines


def _checkpoint_lines(facts):
    if not facts.get("source"):
        return []
    lines = [facts["source"]]
    if "tensors" in facts:
        lines[0] += (
            f": {facts['tensors']} tensors, {facts['parameters']:,} parameters, {facts['dtype']}, "
            f"layout {facts['layout']}, head {facts['head']}"
        )
    if facts.get("sha256"):
        lines.append(f"sha256 {facts['sha256']}")
    if facts.get("new_tensors"):
        lines.append(f"new, not from the checkpoint: {listed(facts['new_tensors'])}")
    return lines + _assumption_lines(facts)


def _assumption_lines(facts):
    """Where in the checkpoint the weights were, what it could not tell, what was left aside."""
    lines = []
    if places := [facts[name] for name in ("wrapper", "prefix") if facts.get(name)]:
        lines.append(f"weights under {listed([shown(place) for place in places])}")
    if facts.get("assumed"):
        words = {"norm": " (the authors' norm_layer)"}
        assumed = [f"{name} {v}{words.get(name, '')}" for name, v in facts["assumed"].items()]
        lines.append(f"assumed, the weights cannot tell: {listed(assumed, 9)}")
    if facts.get("unused_tensors"):
        lines.append(f"in the checkpoint, not used: {listed(facts['unused_tensors'])}")
    if facts.get("ignored_tensors"):
        lines.append(f"beside the network, not used: {listed(facts['ignored_tensors'])}")
    return lines

"""What training makes of a provenance, and what a provenance says in words."""

import dataclasses
import json

from keras_poolformer.provenance import Provenance, TrainingRun, WeightsFile
from keras_poolformer.support.messages import listed, shown


def trained(provenance: Provenance) -> Provenance:
    """Returns the provenance of a model after more training of that model.

    Args:
        provenance: Provenance of the model before.
    """
    return provenance if provenance.training else started_from(provenance)


def started_from(provenance: Provenance, name: str = "") -> Provenance:
    """Returns the provenance of a new model that training makes of another one.

    What describes the checkpoint moves to `training.init`: it is not true of the new weights.

    Args:
        provenance: Provenance of the weights that training starts from; empty for fresh ones.
        name: Name of the model that they are from. By default their source.
    """
    kept = Provenance(version=provenance.version, hf_unused=provenance.hf_unused)
    before = provenance.training
    init = provenance.replace(
        transform=None,
        training=before and TrainingRun(base_model=before.base_model, seed=before.seed,
                                        step=before.step),
    )  # fmt: skip
    if init == kept:
        training = TrainingRun()
    else:
        name = name or init.source or (before.base_model if before else "")
        training = TrainingRun(base_model=name, init=init)
    return kept.replace(transform=provenance.transform, training=training)


def after_steps(provenance: Provenance, step: int) -> Provenance:
    """Returns the provenance of a model after some steps of the run that it belongs to.

    Args:
        provenance: Provenance of the model.
        step: Number of steps.
    """
    training = provenance.training or TrainingRun()
    return provenance.replace(training=dataclasses.replace(training, step=step))


def origin_lines(provenance: Provenance) -> list[str]:
    """Returns what is known about where weights come from, one fact a line; [] if nothing is.

    Args:
        provenance: Provenance of a model.
    """
    training = provenance.training
    if training is None:
        return _checkpoint_lines(provenance)
    lines = [provenance.source or "trained with Keras"]
    if training.step is not None:
        lines[0] += f", {training.step:,} steps, seed {training.seed}"
    init = training.init or Provenance()
    if training.base_model:
        lines.append(f"began as {training.base_model}")
        if init.source and init.source != training.base_model:
            lines[-1] += f" ({init.source})"
    if init.weights and init.weights.sha256:
        lines.append(f"sha256 of that file: {init.weights.sha256}")
    return lines


def provenance_json(provenance: Provenance) -> str:
    """Returns the text of a JSON file with a provenance; null if nothing is known."""
    return json.dumps(provenance.to_json(), indent=2, sort_keys=True) + "\n"


def _checkpoint_lines(provenance: Provenance) -> list[str]:
    if not provenance.source:
        return []
    lines = [provenance.source]
    weights = provenance.weights or WeightsFile()
    if weights.tensors is not None:
        lines[0] += (
            f": {weights.tensors} tensors, {weights.parameters:,} parameters, {weights.dtype}, "
            f"layout {weights.layout}, head {weights.head}"
        )
    if weights.sha256:
        lines.append(f"sha256 {weights.sha256}")
    if provenance.new_tensors:
        lines.append(f"new, not from the checkpoint: {listed(provenance.new_tensors)}")
    return lines + _reading_lines(weights)


def _reading_lines(weights: WeightsFile) -> list[str]:
    """Where in the checkpoint the weights were, what it could not tell, what was not used."""
    lines: list[str] = []
    if places := [place for place in (weights.wrapper, weights.prefix) if place]:
        lines.append(f"weights under {listed([shown(place) for place in places])}")
    if weights.assumed:
        remarks = {"norm": " (the authors' norm_layer)"}
        assumed = [f"{name} {v}{remarks.get(name, '')}" for name, v in weights.assumed.items()]
        lines.append(f"assumed, the weights cannot tell: {listed(assumed, 9)}")
    if weights.unused_tensors:
        lines.append(f"in the checkpoint, not used: {listed(weights.unused_tensors)}")
    if weights.ignored_tensors:
        lines.append(f"outside the network, not used: {listed(weights.ignored_tensors)}")
    return lines

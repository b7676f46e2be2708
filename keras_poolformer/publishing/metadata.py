"""The YAML header of a model card, which the hubs read."""

import re
from typing import TYPE_CHECKING, Any

from keras_poolformer.families import family_of
from keras_poolformer.provenance import Provenance
from keras_poolformer.publishing.tasks import task_of
from keras_poolformer.sources.preset_folder import WEIGHTS
from keras_poolformer.support.messages import printable

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

    from keras_poolformer.publishing.card import Card

_HUB_NAME = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)


def metadata(card: "Card") -> str:
    """Returns the metadata of a card as YAML, without the two lines of dashes around it.

    Args:
        card: The card.
    """
    from huggingface_hub import ModelCardData

    task = task_of(card.config)
    family = family_of(card.config).name.lower()
    data = ModelCardData(
        license=card.license,
        library_name="keras",
        pipeline_tag=task.hub_task,
        tags=[task.hub_task, "keras", family, *(["litert"] if card.exports else [])],
        base_model=base_model_name(card.provenance) or None,
        datasets=[card.dataset] if card.dataset else None,
        metrics=[task.metric] if card.accuracy else None,
        model_name=card.name if card.accuracy else None,
        eval_results=_results(card) or None,
    )
    return _yaml(data.to_dict())


def base_model_name(provenance: Provenance) -> str:
    """Returns the hub's name of the model that training or conversion began from, or "".

    Args:
        provenance: Provenance of the weights.
    """
    name = provenance.training.base_model if provenance.training else ""
    source = provenance.source or ""
    if not name and source.startswith("hf://"):
        name = source
    name = name.removeprefix("hf://").partition("@")[0]
    return name if _HUB_NAME.fullmatch(name) else ""


def _results(card: "Card") -> "list[EvalResult]":
    from huggingface_hub import EvalResult

    if not card.accuracy:
        return []
    task = task_of(card.config)
    main_figure = next(iter(task.figures.values()))
    result = EvalResult(
        task_type=task.hub_task,
        dataset_type=card.dataset or card.accuracy_data,
        dataset_name=card.accuracy_data,
        metric_type=task.metric,
        metric_value=round(card.accuracy[WEIGHTS][main_figure] / 100, 4),
    )
    return [result]


class _QuotedText(str):
    __slots__ = ()


def _yaml(data: dict[str, Any]) -> str:
    """YAML with quoted texts: PyYAML leaves 1e3 bare, which is a number in the hubs' YAML 1.2."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    Dumper.add_representer(
        _QuotedText,
        lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'),
    )
    return yaml.dump(_quoted(data), Dumper=Dumper, sort_keys=False, width=10_000)


def _quoted(value: Any) -> Any:
    if isinstance(value, str):
        return _QuotedText(printable(value))
    if isinstance(value, list):
        return [_quoted(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _quoted(entry) for key, entry in value.items()}
    return value

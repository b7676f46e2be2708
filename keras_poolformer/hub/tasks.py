"""What the tasks for KerasHub share: how they are described and loaded.

Functions, not a base class: KerasHub writes the name of a task's first base class into the
folders it saves.
"""

import os
from collections.abc import Mapping
from typing import Any, TypeVar

import keras_hub

from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.hub import loading
from keras_poolformer.hub.backbone import MetaFormerBackbone
from keras_poolformer.hub.image_converter import MetaFormerImageConverter
from keras_poolformer.models.base import MetaFormerModel
from keras_poolformer.sources.kerashub import HEAD_FIELDS

TaskType = TypeVar("TaskType", bound=keras_hub.models.Task)


def config_with_head(
    core_class: type[MetaFormerModel],
    config: MetaFormerConfig,
    num_classes: int | None,
    fields: Mapping[str, Any],
) -> MetaFormerConfig:
    """Returns the architecture of a task.

    Labels and colors of another number of classes are left out: KerasHub's `from_preset` keeps
    them in a saved task's arguments where it replaces only `num_classes`.

    Args:
        core_class: Class of this package for the same task.
        config: Architecture of the backbone.
        num_classes: Number of classes, or None for the backbone's.
        fields: Further fields of the head.
    """
    config = config.replace(**core_class.required_fields(config))
    count = config.num_classes if num_classes is None else num_classes
    named = {"labels": config.labels, "palette": config.palette, **fields}
    for name in ("labels", "palette"):
        if named[name] is not None and len(named[name]) != count:
            named[name] = None
    return config.replace(**named, num_classes=count)


def task_config(task: Any) -> dict[str, Any]:
    """Returns the constructor's arguments of a task as JSON-ready values.

    Args:
        task: Task with `config`.
    """
    fields = task.config.to_dict()
    head = {name: fields[name] for name in HEAD_FIELDS}
    return keras_hub.models.Task.get_config(task) | head


def task_of_source(
    task_class: type[TaskType],
    core_class: type[MetaFormerModel],
    preset: str | os.PathLike[str],
    load_weights: bool,
    options: Mapping[str, Any],
) -> TaskType:
    """Returns the task of a source of this package.

    Args:
        task_class: Class of the task.
        core_class: Class of this package for the same task.
        preset: What `core_class.from_preset` accepts.
        load_weights: Whether weights are loaded.
        options: Arguments of the task's and of the backbone's constructor, and fields of
            `MetaFormerConfig`.
    """
    fields, options = loading.split_fields(options)
    dtype, shape = (options.pop(name, None) for name in ("dtype", "image_shape"))
    core = core_class.from_preset(preset, load_weights=load_weights, dtype=dtype, **fields)
    backbone = MetaFormerBackbone(core.config, shape, core.transform, core.dtype_policy)
    preprocessor = task_class.preprocessor_cls(MetaFormerImageConverter(core.transform))
    task = task_class(backbone, **{"preprocessor": preprocessor, **options})
    return loading.with_weights_of(core, task)

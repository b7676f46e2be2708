"""What can be exported: inputs, outputs and sizes that a model and a recipe have."""

import math

from keras_poolformer.export.graphs import default_outputs, has_probabilities, require_image_size
from keras_poolformer.export.recipes import INPUTS, OUTPUTS, Recipe
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.label_maps import BYTE_CLASSES
from keras_poolformer.models.backbone import MetaFormerBackbone
from keras_poolformer.models.base import MetaFormerModel
from keras_poolformer.models.segmenter import MetaFormerSegmenter
from keras_poolformer.runtime.description import LABEL_MAP, SCORES
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown


def checked_kinds(
    model: MetaFormerModel, recipe: Recipe, inputs: str | None, outputs: str | None
) -> tuple[str, str]:
    """Returns what goes in and what comes out, by default what recipe and model suggest.

    Args:
        model: Model that is exported.
        recipe: How it is exported.
        inputs: Kind of input, or None.
        outputs: Kind of output, or None.

    Raises:
        InputError: There is no such kind.
    """
    kinds = {
        "inputs": (inputs or recipe.inputs[0], INPUTS),
        "outputs": (outputs or default_outputs(model), OUTPUTS),
    }
    for name, (value, choices) in kinds.items():
        if value not in choices:
            raise InputError(
                f"`{name}` must be one of {', '.join(choices)}. Received: {shown(value)}"
            )
    return kinds["inputs"][0], kinds["outputs"][0]


def require_exportable(
    model: MetaFormerModel, transform: ImageTransform, recipe: Recipe, inputs: str, outputs: str
) -> None:
    """Raises InputError unless a model can become a .tflite file of these kinds.

    Args:
        model: Model that is exported.
        transform: Transform of its images.
        recipe: How it is exported.
        inputs: Kind of input, one of `INPUTS`.
        outputs: Kind of output, one of `OUTPUTS`.
    """
    default_outputs(model)  # rejects models of other kinds
    require_image_size(model, transform)
    _require_outputs(model, outputs)
    if isinstance(model, MetaFormerSegmenter):
        _require_segmenter(model, transform)
    if transform.output_shape is None:
        raise InputError(
            "an export needs images of one size, so the transform must crop. "
            "Received: do_center_crop=False"
        )
    if inputs not in recipe.inputs:
        raise InputError(
            f"recipe {recipe.name} takes `inputs`='{recipe.inputs[0]}'. Received: {inputs!r}"
        )
    if (inputs == "pixels" or recipe.needs_calibration) and model.config.in_channels != 3:
        asking = "`inputs`='pixels'" if inputs == "pixels" else f"recipe {recipe.name}"
        raise InputError(
            f"{asking} needs a model of RGB images. Received: {model.config.in_channels} channels"
        )


def _require_outputs(model: MetaFormerModel, outputs: str) -> None:
    if isinstance(model, MetaFormerBackbone) and outputs != "pyramid":
        raise InputError(f"a backbone has only `outputs`='pyramid'. Received: {outputs!r}")
    is_segmenter = isinstance(model, MetaFormerSegmenter)
    if outputs == ("embedding" if is_segmenter else LABEL_MAP):
        raise InputError(
            f"only {'a classifier' if is_segmenter else 'a segmenter'} has "
            f"`outputs`={outputs!r}. Received: {type(model).__name__}"
        )
    if outputs == LABEL_MAP and model.config.num_classes > BYTE_CLASSES:
        raise InputError(
            f"`outputs`={LABEL_MAP!r} has at most {BYTE_CLASSES} classes, whose numbers fit into "
            f"uint8; `outputs`='logits' has all. Received: {model.config.num_classes:,} classes"
        )
    if not model.config.num_classes and outputs in SCORES:
        raise InputError(
            f"a model without classes has no {outputs}, only `outputs`='embedding'. "
            f"Received: {outputs!r}"
        )
    if outputs == "probabilities" and not has_probabilities(model):
        raise InputError(
            "a regression has no probabilities; `outputs`='logits' returns its values. "
            "Received: problem_type='regression'"
        )


def _require_segmenter(model: MetaFormerSegmenter, transform: ImageTransform) -> None:
    if transform.do_center_crop or transform.output_shape is None:
        raise InputError(
            "a segmenter's file labels whole images of one size, so the transform must resize and "
            f"not crop. Received: do_resize={transform.do_resize}, "
            f"do_center_crop={transform.do_center_crop}"
        )
    multiple = math.prod(model.config.strides)
    if any(side % multiple for side in transform.output_shape):
        height, width = transform.output_shape
        raise InputError(
            "a segmenter's file takes images whose height and width are multiples of "
            f"{multiple}. Received: {height} x {width}"
        )

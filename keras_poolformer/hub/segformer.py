"""The backbone as KerasHub's SegFormer wants its encoder."""

from typing import Any

import keras

from keras_poolformer.hub.backbone import MetaFormerBackbone
from keras_poolformer.sources.kerashub import PACKAGE
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown


@keras.saving.register_keras_serializable(package=PACKAGE)
class SegFormerEncoder(MetaFormerBackbone):
    """A `MetaFormerBackbone` for `keras_hub.models.SegFormerBackbone`.

    That class, made for MiT, wants feature maps with the names P1 to P4 (from stride 4 on),
    `hidden_dims`, images of a fixed size, and stages of different widths.

    Args:
        *args: Arguments of `MetaFormerBackbone`.
        **kwargs: Arguments of `MetaFormerBackbone`; `image_shape` is required.

    Raises:
        InputError: The images have no fixed size, or two stages have the same width.
    """

    default_name = "segformer_encoder"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        widths = self.config.widths
        if None in self.image_shape or len(set(widths)) < len(widths):
            raise InputError(
                "SegFormer needs `image_shape` as three numbers, and stages of different widths. "
                f"Received: image_shape={shown(self.image_shape)}, widths={widths}"
            )
        self.hidden_dims = list(widths)

    def _named_outputs(self, pyramid: dict[str, Any]) -> dict[str, Any]:
        """The feature maps, as MiT counts them: P2 is P1, and so on."""
        return {f"P{number}": x for number, x in enumerate(pyramid.values(), start=1)}

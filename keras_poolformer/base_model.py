"""What the backbone and the classifier share: how they are made, read, saved and frozen."""

from typing import Any

import keras

from keras_poolformer.config import PoolFormerConfig
from keras_poolformer.errors import InputError
from keras_poolformer.loading import load_preset, save_preset


class PoolFormerModel(keras.Model):
    """Made from a config, read from a preset or checkpoint, saved as one."""

    fixed_fields: dict[str, Any] = {}  # of the config, whatever a source says  # noqa: RUF012

    @classmethod
    def from_variant(cls, name, **overrides):
        """Builds a released variant with fresh weights.

        Args:
            name: "poolformer_s12", s24, s36, m36 or m48.
            **overrides: fields of `PoolFormerConfig`.
        """
        return cls(PoolFormerConfig.from_variant(name, **overrides))

    @classmethod
    def from_preset(
        cls, source, num_classes=None, head=None, load_weights=True, **config_overrides
    ):
        """Builds the model of a preset, checkpoint file or directory, and loads its weights.

        Args:
            source: a name of `list_presets()`, a .pth / .pth.tar / .safetensors / .keras
                file, a directory as `save_to_preset`, timm or transformers save it, or
                "hf://OWNER/NAME[@REVISION]". Weights that are not there are downloaded.
            num_classes: if it differs from the source's, the backbone's weights are kept and
                the classifier starts fresh (`model.provenance["new_tensors"]` says so); 0
                leaves the classifier out.
            head: "norm_pool" or "pool_norm" instead of the source's own.
            load_weights: False builds the architecture with fresh weights.
            **config_overrides: fields of `PoolFormerConfig`, such as `pool_size` and `norm`, which
                the shapes of a checkpoint do not tell. `in_channels` adapts the weights of the
                first convolution as timm does; `feature_norms` of a backbone start fresh
                where the source has none.

        Raises:
            InputError: the source cannot be found, read, or does not fit.
        """
        overrides = dict(config_overrides)
        if num_classes is not None:
            overrides["num_classes"] = num_classes
        if head is not None:
            overrides["head"] = head
        return load_preset(cls, source, load_weights, overrides)

    def save_to_preset(self, folder, transform=None, overwrite=False):
        """Writes a folder that `from_preset` reads back, as `save_pretrained` does elsewhere.

        It holds model.keras and keras_poolformer.json, which says the config and how images
        are prepared.

        Args:
            folder: to write; its parent must exist.
            transform: the `ImageTransform` of the model; by default the one it was loaded
                with.
            overwrite: whether such a folder may be replaced.

        Raises:
            InputError: the folder exists already, or cannot be written.
        """
        save_preset(self, folder, transform, overwrite)

    def freeze(self, stages=None):
        """Freezes the first stages, each with the convolution that opens it; thaws the others.

        A classifier's head goes on learning. Call `compile` afterwards, as Keras asks after
        every change of what is trainable.

        Args:
            stages: how many, counted from the image; all by default, 0 thaws everything.
        """
        own = self.stage_layers()
        stages = len(own) if stages is None else stages
        if isinstance(stages, bool) or not isinstance(stages, int) or not 0 <= stages <= len(own):
            raise InputError(
                f"`stages` must be a number of stages, 0 to {len(own)}. Received: {stages!r}"
            )
        for stage, parts in enumerate(own):
            for layer in parts:
                layer.trainable = stage >= stages

    @property
    def frozen_stages(self):
        """How many stages, counted from the image, are frozen entirely."""
        frozen = [not any(layer.trainable for layer in parts) for parts in self.stage_layers()]
        return [*frozen, False].index(False)

    def stage_layers(self):
        """Returns the layers of each stage, a list of lists."""
        raise NotImplementedError

    def get_config(self):
        return {
            "config": self.config.to_dict(),
            "provenance": plain(self.provenance),
            "name": self.name,
            "trainable": self.trainable,
            "frozen_stages": self.frozen_stages,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config["config"] = PoolFormerConfig(**config["config"])
        trainable, frozen = config.pop("trainable", True), config.pop("frozen_stages", 0)
        model = cls(**config)
        model.trainable = trainable
        if trainable:
            model.freeze(frozen)
        return model


def plain(value):
    """Keras wraps containers set on a model; JSON wants plain ones."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value

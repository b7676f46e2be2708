"""What the models share: how they are made, read, saved and frozen."""

import contextlib
import importlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Self

import keras

from keras_poolformer import lineage, sources
from keras_poolformer.checkpoints import quantization
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.images.transform import ImageTransform, checked_transform
from keras_poolformer.models import freezing
from keras_poolformer.models.kerashub_files import write_kerashub_files
from keras_poolformer.models.loading import build
from keras_poolformer.provenance import Provenance
from keras_poolformer.sources.preset_folder import write_preset_folder
from keras_poolformer.sources.released import default_transform
from keras_poolformer.sources.saved import TRAINABLE_FIELDS
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown
from keras_poolformer.support.numeric import whole_number

OPTIMIZERS = "keras_poolformer.training.optimizer"
_NOT_GIVEN: Any = object()  # None has a meaning


class MetaFormerModel(keras.Model):
    """A model that is made from a config, loaded from a preset or checkpoint, and saved as one."""

    config: MetaFormerConfig

    @classmethod
    def required_fields(cls, config: MetaFormerConfig) -> dict[str, Any]:
        """Returns fields of a source's config that must change for a model of this class."""
        return {}

    @classmethod
    def from_variant(cls, name: str, **overrides: Any) -> Self:
        """Builds a released variant with fresh weights.

        Args:
            name: Name of a variant, such as "poolformer_s12" or "caformer_s18".
            **overrides: Fields of `MetaFormerConfig`.
        """
        return cls(MetaFormerConfig.from_variant(name, **overrides))

    @classmethod
    def from_preset(
        cls,
        source: str | os.PathLike[str] | sources.Source,
        num_classes: int | None = None,
        head: str | None = None,
        load_weights: bool = True,
        dtype: Any = None,
        name: str | None = None,
        **config_overrides: Any,
    ) -> Self:
        """Builds the model of a preset, checkpoint file or directory, and loads its weights.

        Args:
            source: Name of `list_presets()`, path of a .pth / .pth.tar / .safetensors / .keras
                file, path of a directory as `save_to_preset`, timm or transformers save it, or
                "hf://OWNER/NAME[@REVISION]". Missing weights are downloaded.
            num_classes: Number of classes; by default the source's. If it differs, or the source
                is of another task, the backbone's weights are kept and the head starts fresh
                (`model.provenance["new_tensors"]` lists what did); 0 leaves a classifier out.
            head: "norm_pool" or "pool_norm" instead of the source's own.
            load_weights: Whether weights are loaded. False builds the architecture with fresh
                ones.
            dtype: Dtype policy, such as "mixed_float16"; by default that of a .keras file, and
                of other sources Keras' global one.
            name: Name of the model; by default a new one.
            **config_overrides: Fields of `MetaFormerConfig`, such as `token_mixers`, `pool_size`
                and `norm`, which the shapes of a checkpoint cannot tell. `in_channels` adapts the
                weights of the first convolution as timm does; `feature_norms` of a backbone
                start fresh where the source has none.

        What was frozen when a .keras file was saved is frozen again; fresh layers learn.

        Raises:
            InputError: The source cannot be found or read, or does not fit.
        """
        overrides = dict(config_overrides)
        if num_classes is not None:
            overrides["num_classes"] = num_classes
        if head is not None:
            overrides["head"] = head
        mixers = overrides.get("token_mixers")
        contents = sources.resolve(source).read(weights=load_weights, token_mixers=mixers)
        return build(cls, contents, overrides, dtype, name)

    def save_to_preset(
        self,
        folder: str | os.PathLike[str],
        transform: ImageTransform | None = None,
        overwrite: bool = False,
        max_shard_size: float | None = _NOT_GIVEN,
    ) -> None:
        """Writes a folder that `from_preset` loads, the counterpart of `save_pretrained`.

        It holds model.keras and keras_poolformer.json, which has the config and how images
        are prepared.

        Args:
            folder: Path to write; its parent must exist.
            transform: How images are prepared for the model; by default `model.transform`.
            overwrite: Whether such a folder may be replaced.
            max_shard_size: Largest size of a file of weights in GB, or None for any. KerasHub
                gives it when it saves a task around a backbone. If it is given, the files are
                those that KerasHub reads, and replace such files in the folder.

        Raises:
            InputError: The folder exists already, or cannot be written; or `max_shard_size` is
                given for a model with a head.
        """
        transform = checked_transform(transform) or self.transform
        if max_shard_size is not _NOT_GIVEN:
            write_kerashub_files(self, folder, transform, max_shard_size)
            return
        write_preset_folder(self, folder, transform, overwrite)

    @property
    def provenance(self) -> Provenance:
        """Where the weights come from; empty, and false, if that is not known.

        It can be read like a dict: `model.provenance["source"]`. A `Provenance`, the flat fields
        of one, or None can be assigned.
        """
        return self._provenance

    @provenance.setter
    def provenance(self, provenance: Provenance | Mapping[str, Any] | None) -> None:
        self._provenance = Provenance.of(provenance)

    @property
    def transform(self) -> ImageTransform:
        """How images are prepared for the model: the `ImageTransform` that it was loaded with.

        A model without one has that of its architecture. What is assigned here goes into saved
        and exported files.
        """
        return self.provenance.transform or default_transform(self.config)

    @transform.setter
    def transform(self, transform: ImageTransform) -> None:
        if not isinstance(transform, ImageTransform):
            raise InputError(f"`transform` must be an ImageTransform. Received: {shown(transform)}")
        side = self.config.image_side
        if side and transform.output_shape != (side, side):
            raise InputError(
                f"`transform` must make images of {side} x {side} pixels, for which the random "
                f"mixing was made. Received: {transform.output_shape or 'any size'}"
            )
        self.provenance = self.provenance.replace(transform=transform)

    def freeze(self, stages: int | None = None) -> None:
        """Freezes the first stages, each with the convolution that opens it; thaws the others.

        A classifier's head goes on learning. Call `compile` afterwards, as Keras asks after
        every change of what is trainable.

        Args:
            stages: Number of stages, counted from the image; by default all. 0 thaws everything.
        """
        layers = self.stage_layers()
        count = len(layers) if stages is None else whole_number("stages", stages, 0, len(layers))
        for stage, stage_layers in enumerate(layers):
            for layer in stage_layers:
                layer.trainable = stage >= count

    @property
    def frozen_stages(self) -> int:
        """Number of stages, counted from the image, that are frozen entirely."""
        frozen = [not any(layer.trainable for layer in stage) for stage in self.stage_layers()]
        return [*frozen, False].index(False)

    def stage_layers(self) -> list[list[keras.Layer]]:
        """Returns the layers of each stage."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            "provenance": self.provenance.to_json(),
            "name": self.name,
            "quantized": quantization.is_quantized(self),
            "trainable": self.trainable,
            "trainable_state": freezing.trainable_state(self),
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> Self:
        config = dict(config)
        config["config"] = MetaFormerConfig(**config["config"])
        saved = {name: config.pop(name) for name in TRAINABLE_FIELDS if name in config}
        quantized = config.pop("quantized", False)
        model = cls(**config)
        if quantized:
            model.quantize(quantization.MODE)
        freezing.restore_trainable(model, saved)
        return model

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model; Keras calls it."""
        if f'"{OPTIMIZERS}"' in json.dumps(config):
            importlib.import_module(OPTIMIZERS)  # which registers its classes, and needs TensorFlow
        super().compile_from_config(config)

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains as `keras.Model.fit` does; `provenance` says so from then on.

        Raises:
            InputError: The model computes StarReLU in float16.
        """
        self._check_precision()
        with self._recording_training():
            return super().fit(*args, **kwargs)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Trains as `keras.Model.train_on_batch` does; `provenance` says so from then on.

        Raises:
            InputError: The model computes StarReLU in float16.
        """
        self._check_precision()
        with self._recording_training():
            return super().train_on_batch(*args, **kwargs)

    def _check_precision(self) -> None:
        """Rejects what turns into NaN after some epochs (sail-sg/metaformer issue 20)."""
        policy: Any = self.dtype_policy
        if policy.compute_dtype == "float16" and self.config.activation == "star_relu":
            raise InputError(
                "`dtype` must be 'mixed_bfloat16' or 'float32' in training: float16 overflows in "
                f"the squares of StarReLU. Received: {shown(policy.name)}"
            )

    @contextlib.contextmanager
    def _recording_training(self) -> Iterator[None]:
        """Marks the provenance if any step is made, even if an interruption follows."""
        before = self._steps_made()
        try:
            yield
        finally:
            if self._steps_made() != before:
                self.provenance = lineage.trained(self.provenance)

    def _steps_made(self) -> int:
        optimizer = getattr(self, "optimizer", None)
        return 0 if optimizer is None else int(keras.ops.convert_to_numpy(optimizer.iterations))

    def quantize(self, mode: str | None = None, config: Any = None, **kwargs: Any) -> None:
        """Quantizes the last layer, the only kind that Keras has 8-bit kernels for.

        `export_tflite` quantizes all layers, for devices.

        Args:
            mode: "int8".
            config: Keras' configuration of that mode, without quantizers of one's own, or None.
            **kwargs: Further arguments of `keras.Model.quantize`.

        Raises:
            InputError: The mode is another one, or the model has no last layer; nothing is
                changed.
        """
        head: Any = getattr(self, "head", None)
        if head is None or mode != quantization.MODE:
            raise InputError(
                f"`quantize` takes the mode {quantization.MODE!r}, of a classifier: "
                f"{quantization.REMEDY}. Received: {shown(mode)}, {type(self).__name__}"
            )
        try:
            head.quantize(mode, config=config)
        except NotImplementedError as error:
            raise InputError(f"{error}; {quantization.REMEDY}") from None
        for function in ("train_function", "test_function", "predict_function"):
            setattr(self, function, None)  # they were made for the layer as it was


def unique_name(prefix: str) -> str:
    """Returns a name for a model: the prefix, then with _1, _2, ..., as Keras counts layers."""
    count = keras.backend.get_uid(prefix)
    return prefix if count == 1 else f"{prefix}_{count - 1}"

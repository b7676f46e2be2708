"""What the backbone and the classifier share: how they are made, read, saved and frozen."""

import contextlib
import importlib
import json
from typing import Any

import keras

from keras_poolformer.checkpoints import quantization
from keras_poolformer.config import PoolFormerConfig
from keras_poolformer.images.transform import ImageTransform
from keras_poolformer.lineage import trained_provenance
from keras_poolformer.models import freezing
from keras_poolformer.models.loading import image_transform, load_preset, save_preset
from keras_poolformer.sources.keras_archive import TRAINABLE_FIELDS
from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import shown
from keras_poolformer.support.numeric import whole_number

OPTIMIZERS = "keras_poolformer.training.optimizer"


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
        cls,
        source,
        num_classes=None,
        head=None,
        load_weights=True,
        dtype=None,
        name=None,
        **config_overrides,
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
            dtype: Dtype policy, such as "mixed_float16"; by default that of a .keras file, and
                of other sources Keras' global one.
            name: Name of the model; by default a new one.
            **config_overrides: fields of `PoolFormerConfig`, such as `pool_size` and `norm`, which
                the shapes of a checkpoint do not tell. `in_channels` adapts the weights of the
                first convolution as timm does; `feature_norms` of a backbone start fresh
                where the source has none.

        What was frozen when a .keras file was saved is frozen again; fresh layers learn.

        Raises:
            InputError: the source cannot be found, read, or does not fit.
        """
        overrides = dict(config_overrides)
        if num_classes is not None:
            overrides["num_classes"] = num_classes
        if head is not None:
            overrides["head"] = head
        arguments = {"dtype": dtype, "name": name}
        return load_preset(cls, source, load_weights, overrides, arguments=arguments)

    def save_to_preset(self, folder, transform=None, overwrite=False):
        """Writes a folder that `from_preset` reads back, as `save_pretrained` does elsewhere.

        It holds model.keras and keras_poolformer.json, which says the config and how images
        are prepared.

        Args:
            folder: to write; its parent must exist.
            transform: the `ImageTransform` of the model; by default `model.transform`.
            overwrite: whether such a folder may be replaced.

        Raises:
            InputError: the folder exists already, or cannot be written.
        """
        save_preset(self, folder, transform, overwrite)

    @property
    def transform(self) -> ImageTransform:
        """How images are prepared for the model: the `ImageTransform` that it was loaded with.

        A model without one has that of its architecture. What is assigned here goes into saved
        and exported files.
        """
        return image_transform(self)

    @transform.setter
    def transform(self, transform: ImageTransform) -> None:
        if not isinstance(transform, ImageTransform):
            raise InputError(f"`transform` must be an ImageTransform. Received: {shown(transform)}")
        provenance: Any = plain(self.provenance) or {}
        self.provenance = provenance | {"transform": transform.to_dict()}

    def freeze(self, stages=None):
        """Freezes the first stages, each with the convolution that opens it; thaws the others.

        A classifier's head goes on learning. Call `compile` afterwards, as Keras asks after
        every change of what is trainable.

        Args:
            stages: how many, counted from the image; all by default, 0 thaws everything.
        """
        own = self.stage_layers()
        stages = len(own) if stages is None else whole_number("stages", stages, 0, len(own))
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
            "quantized": quantization.is_quantized(self),
            "trainable": self.trainable,
            "trainable_state": freezing.trainable_state(self),
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config["config"] = PoolFormerConfig(**config["config"])
        saved = {name: config.pop(name) for name in TRAINABLE_FIELDS if name in config}
        quantized = config.pop("quantized", False)
        model = cls(**config)
        if quantized:
            model.quantize(quantization.MODE)
        freezing.restore_trainable(model, saved)
        return model

    def compile_from_config(self, config):
        """Compiles a loaded model; Keras calls it."""
        if f'"{OPTIMIZERS}"' in json.dumps(config):
            importlib.import_module(OPTIMIZERS)  # which registers its classes, and needs TensorFlow
        super().compile_from_config(config)

    def fit(self, *args, **kwargs):
        """Trains as `keras.Model.fit` does; `provenance` says so from then on."""
        with self._recording_training():
            return super().fit(*args, **kwargs)

    def train_on_batch(self, *args, **kwargs):
        """Trains as `keras.Model.train_on_batch` does; `provenance` says so from then on."""
        with self._recording_training():
            return super().train_on_batch(*args, **kwargs)

    @contextlib.contextmanager
    def _recording_training(self):
        """Marks the provenance if any step is made, also where an interruption follows."""
        before = self._steps_made()
        try:
            yield
        finally:
            if self._steps_made() != before:
                self.provenance = trained_provenance(plain(self.provenance))

    def _steps_made(self):
        optimizer = getattr(self, "optimizer", None)
        return 0 if optimizer is None else int(keras.ops.convert_to_numpy(optimizer.iterations))

    def quantize(self, mode=None, config=None, **kwargs):
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
        self.train_function = self.test_function = self.predict_function = None


def unique_name(prefix: str) -> str:
    """Returns a name for a model: the prefix, then with _1, _2, ..., as Keras counts layers."""
    count = keras.backend.get_uid(prefix)
    return prefix if count == 1 else f"{prefix}_{count - 1}"


def checked_policy(dtype: Any) -> Any:
    """Returns Keras' dtype policy of a name or policy; the global one for None.

    Raises:
        InputError: It is a policy of Keras' own quantization.
    """
    policy: Any = keras.dtype_policies.get(dtype or keras.config.dtype_policy())
    if getattr(policy, "quantization_mode", None) is not None:
        raise InputError(
            f"`dtype` must be a policy without quantization, such as 'float32' or "
            f"'mixed_bfloat16': export_tflite quantizes. Received: {shown(policy.name)}"
        )
    return policy


def plain(value):
    """Keras wraps containers set on a model; JSON wants plain ones."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value

"""Who is compared: one row for each way to run the network."""

import importlib.util
from dataclasses import dataclass

from keras_poolformer.support.errors import InputError, MissingExtraError


@dataclass(frozen=True)
class Contestant:
    """One way to run the network.

    Args:
        name: Name used on the command line.
        kind: "ours", "peer", or "floor" (convolutions and activations, no classifier of
            anything).
        arithmetic: "fp32", "fp16", "dynamic_int8", "dynamic_int4" or "int8".
        engine: Key of `engines.ENGINES`, the engine that runs it.
        file: File in the job's folder that the engine loads.
        group: Key of `build.GROUPS`, files that one process makes.
        feed: Kind of input, "normalized" or "pixels".
        needs: Modules that this package's own extras do not install.
        throughput: Whether it is also measured on two cores.
    """

    name: str
    kind: str
    arithmetic: str
    engine: str
    file: str
    group: str
    feed: str = "normalized"
    needs: tuple[str, ...] = ()
    throughput: bool = False

    @property
    def floor(self):
        """Name of the floor that it is compared with: that of the precision it computes in."""
        computes_in = {"fp16": "fp32", "dynamic_int4": "dynamic_int8"}
        return f"floor-{computes_in.get(self.arithmetic, self.arithmetic)}"


def _litert(prefix, kind, arithmetic, group="tensorflow", **options):
    name = f"{prefix}-{arithmetic}"
    return Contestant(name, kind, arithmetic, "litert", f"{name}.tflite", group, **options)


def _onnxruntime(arithmetic):
    name = f"onnxruntime-{arithmetic}"
    return Contestant(
        name, "peer", arithmetic, "onnxruntime", f"{name}.onnx", "onnxruntime",
        needs=("torch", "timm", "transformers", "onnx", "onnxscript", "onnxruntime"),
        throughput=True,
    )  # fmt: skip


def _torch(mode, throughput):
    return Contestant(
        f"torch-{mode}", "peer", "fp32", f"torch-{mode}", "weights.safetensors", "tensorflow",
        needs=("torch", "timm", "transformers"), throughput=throughput,
    )  # fmt: skip


_LITERT_TORCH = {
    "group": "litert-torch",
    "needs": ("torch", "timm", "transformers", "litert_torch"),
}
CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        _litert("ours", "ours", "fp32", throughput=True),
        _litert("ours", "ours", "fp16"),
        _litert("ours", "ours", "dynamic_int8", throughput=True),
        _litert("ours", "ours", "dynamic_int4"),
        _litert("ours", "ours", "int8", feed="pixels", throughput=True),
        _litert("floor", "floor", "fp32"),
        _litert("floor", "floor", "dynamic_int8"),
        _litert("floor", "floor", "int8"),
        _litert("keras", "peer", "fp32"),
        _litert("keras", "peer", "dynamic_int8"),
        _litert("keras", "peer", "int8"),
        _litert("litert-torch", "peer", "fp32", **_LITERT_TORCH),
        _litert("litert-torch", "peer", "dynamic_int8", **_LITERT_TORCH),
        _onnxruntime("fp32"),
        _onnxruntime("dynamic_int8"),
        _torch("eager", throughput=False),
        _torch("compiled", throughput=True),
        Contestant(
            "saved_model", "peer", "fp32", "saved_model", "saved_model", "tensorflow",
            throughput=True,
        ),
    )
}  # fmt: skip


def has_floor(config):
    """Whether a network has a floor: where its mixers compute most of it, there is none."""
    return not {"sep_conv", "attention"} & set(config.token_mixers)


def choose(names, config, installed=True):
    """The contestants of these names; all of a network if there are none.

    Args:
        names: Names of contestants.
        config: Architecture of the network.
        installed: Whether to require the packages that build their files.

    Raises:
        InputError: A name is unknown, or the network has no such contestant.
        MissingExtraError: A peer's package is not installed.
    """
    existing = {
        name: contestant
        for name, contestant in CONTESTANTS.items()
        if contestant.kind != "floor" or has_floor(config)
    }
    for name in names:
        if name not in existing:
            mixers = "/".join(dict.fromkeys(config.token_mixers))
            raise InputError(
                f"`--only` must name some of {', '.join(existing)} for a network that mixes by "
                f"{mixers}. Received: {name!r}"
            )
    chosen = [one for one in existing.values() if not names or one.name in names]
    for contestant in chosen if installed else ():
        for module in contestant.needs:
            if importlib.util.find_spec(module) is None:
                raise MissingExtraError(module, "bench")
    return chosen

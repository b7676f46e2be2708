"""What an export must reach, as ratios within one run: checked wherever both were measured."""

from dataclasses import dataclass

from benchmarks import ratios


@dataclass(frozen=True)
class Target:
    """An upper bound on a ratio; met if the lower end of the ratio's interval is within it.

    Args:
        what: "latency", "throughput" (time an image, each at its best batch) or "bytes".
        contestant: Contestant to measure.
        reference: Contestant that it is divided by.
        bound: Upper bound of the ratio.
    """

    what: str
    contestant: str
    reference: str
    bound: float

    @property
    def text(self):
        """The target in words."""
        return f"{self.what}: {self.contestant} <= {self.bound:g} x {self.reference}"


# {variant: targets at 224 pixels}; the other variants have none.
TARGETS = {
    "poolformer_s12": (
        Target("latency", "ours-fp32", "floor-fp32", 1.03),
        Target("latency", "ours-fp32", "litert-torch-fp32", 0.96),
        Target("latency", "ours-dynamic_int8", "floor-dynamic_int8", 1.08),
        Target("latency", "ours-dynamic_int8", "litert-torch-fp32", 0.4),
        Target("latency", "ours-dynamic_int4", "ours-dynamic_int8", 1.0),
        Target("bytes", "ours-dynamic_int4", "ours-dynamic_int8", 0.57),
        Target("latency", "ours-int8", "floor-int8", 1.2),
        Target("latency", "ours-int8", "keras-int8", 0.5),
        Target("bytes", "ours-int8", "floor-int8", 1.02),
        Target("throughput", "ours-fp32", "onnxruntime-fp32", 0.9),
        Target("throughput", "ours-dynamic_int8", "onnxruntime-fp32", 0.4),
    ),
    "poolformerv2_s12": (
        Target("latency", "ours-fp32", "floor-fp32", 1.10),
        Target("latency", "ours-dynamic_int8", "floor-dynamic_int8", 1.15),
        Target("latency", "ours-int8", "floor-int8", 1.25),
    ),
    "convformer_s18": (
        Target("latency", "ours-fp32", "litert-torch-fp32", 0.75),
        Target("latency", "ours-dynamic_int8", "litert-torch-fp32", 0.45),
    ),
    "caformer_s18": (
        Target("latency", "ours-fp32", "litert-torch-fp32", 0.85),
        Target("latency", "ours-dynamic_int8", "litert-torch-fp32", 0.45),
    ),
}


def check_targets(measured, variant):
    """Checks every target of a variant.

    Args:
        measured: {what: {contestant: values of the rounds, or [bytes]}}.
        variant: Name of the variant that was measured.

    Returns:
        [{target, ratio, met, median_met}], the last three None where one of the two was not
        measured.
    """
    targets = TARGETS.get(variant, ())
    return [_check(target, measured.get(target.what, {})) for target in targets]


def _check(target, values):
    if not {target.contestant, target.reference} <= values.keys():
        return {"target": target.text, "ratio": None, "met": None, "median_met": None}
    pair = values[target.contestant], values[target.reference]
    if target.what == "bytes":
        exact = pair[0][0] / pair[1][0]
        quotient = ratios.Estimate(exact, exact, exact)
    else:
        quotient = ratios.ratio(*pair)
    return {
        "target": target.text,
        "ratio": quotient.to_dict(),
        "met": quotient.low <= target.bound,
        # Else a wide interval met it: noise, if the machine was not quiet.
        "median_met": quotient.value <= target.bound,
    }

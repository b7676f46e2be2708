"""`keras-poolformer summary`: the parts of an architecture and their costs, in a table."""

import argparse
import math
from typing import TYPE_CHECKING, Any

from keras_poolformer.commands.arguments import CommandGroup, add_command, add_source, positive
from keras_poolformer.config import MetaFormerConfig
from keras_poolformer.models.opening import load_model
from keras_poolformer.support.messages import json_text
from keras_poolformer.support.progress import Progress

if TYPE_CHECKING:
    from keras_poolformer.inspection.stats import RowStats, Stats

UNITS = {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3}
DIGITS = 3  # that are shown of a count


def add_parser(group: CommandGroup) -> None:
    """Adds the subcommand."""
    command = add_command(
        group,
        "summary",
        summary,
        "summary poolformer_s12 --size 384",
    )
    add_source(command)
    command.add_argument(
        "--size",
        type=positive,
        metavar="N",
        help="side of the image in pixels (default: the source's)",
    )
    command.add_argument("--json", action="store_true", help="print the report as JSON")


def summary(options: argparse.Namespace) -> None:
    """Prints an architecture, part by part."""
    progress = Progress([f"building {options.source}", "counting"])
    progress.start()
    model = load_model(options.source, load_weights=False, backbone=None)
    from keras_poolformer.inspection.stats import model_stats

    progress.start()
    transform = model.transform
    stats = model_stats(model, options.size or transform.output_shape or transform.size)
    progress.finish()
    if options.json:
        fields = stats.to_dict() | {"stages": _stages(stats, model.config)}
        fields |= {"config": model.config.to_dict(), "transform": transform.to_dict()}
        print(json_text(fields))
    else:
        print(_table(options.source, stats, model.config))


def _stages(stats: "Stats", config: MetaFormerConfig) -> list[dict[str, Any]]:
    """The stages, each with the convolution that opens it: the first with the stem."""
    rows = {row["name"]: row for row in stats.to_dict()["rows"]}
    stages = [
        {"stage": stage, "stride": math.prod(config.strides[:stage]), **rows[f"stage {stage}"]}
        for stage in range(1, len(config.depths) + 1)
    ]
    for count in ("params", "macs", "activations"):
        stages[0][count] += rows["stem"][count]
    return stages


def _table(source: str, stats: "Stats", config: MetaFormerConfig) -> str:
    height, width = stats.size
    head = "no head"
    if stats.rows[-1].name == "head":
        head = f"{config.num_classes} classes, head {config.head}"
    size = f"{height} pixels" if height == width else f"{height} x {width} pixels"
    lines = [
        f"{source}: {stats.params:,} parameters, {head}, {size}",
        _line("", "size", "width", "blocks", "parameters", "MACs", "activations"),
    ]
    for row in stats.rows:
        side = "x".join(map(str, row.resolution))
        lines.append(_line(row.name, side, row.width, row.blocks or "", *_readable(row)))
    return "\n".join([*lines, _line("all", "", "", "", *_readable(stats))])


def _line(name: str, size: str, width: object, blocks: object, *counts: str) -> str:
    start = f"{name:8} {size:>11} {width:>6} {blocks:>6}"
    return start + "".join(f" {count:>11}" for count in counts)


def _readable(costs: "Stats | RowStats") -> list[str]:
    return [_number(count) for count in (costs.params, costs.macs, costs.activations)]


def _number(count: int) -> str:
    """A count to three digits: 11.9 M."""
    for letter, unit in UNITS.items():
        if count >= unit:
            scaled = count / unit
            decimals = max(0, DIGITS - len(str(int(scaled))))
            return f"{scaled:.{decimals}f} {letter}"
    return f"{count}  "

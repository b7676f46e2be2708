"""`keras-poolformer summary`; heavy imports are inside, so that --help is instant."""

import math

from keras_poolformer.commands.arguments import add_command, add_source, positive
from keras_poolformer.models.opening import load_model
from keras_poolformer.support.messages import json_text
from keras_poolformer.support.progress import Progress


def add_parser(group):
    """Adds the subcommand."""
    command = add_command(
        group,
        "summary",
        summary,
        "show an architecture, and what it costs",
        "summary poolformer_s12 --size 384",
    )
    add_source(command)
    command.add_argument(
        "--size", type=positive, metavar="N", help="pixels of a side (the source's own)"
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def summary(options):
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


def _stages(stats, config):
    """The stages, each with the convolution that opens it: the first one with the stem."""
    rows = {row["name"]: row for row in stats.to_dict()["rows"]}
    stages = [
        {"stage": stage, "stride": math.prod(config.strides[:stage]), **rows[f"stage {stage}"]}
        for stage in range(1, len(config.depths) + 1)
    ]
    for count in ("params", "macs", "activations"):
        stages[0][count] += rows["stem"][count]
    return stages


def _table(source, stats, config):
    height, width = stats.size
    what = f"{config.num_classes} classes, head {config.head}"
    if stats.rows[-1].name != "head":
        what = "no head"
    size = f"{height} pixels" if height == width else f"{height} x {width} pixels"
    lines = [
        f"{source}: {stats.params:,} parameters, {what}, {size}",
        _line("", "size", "width", "blocks", "parameters", "MACs", "activations"),
    ]
    for row in stats.rows:
        side = "x".join(map(str, row.resolution))
        lines.append(_line(row.name, side, row.width, row.blocks or "", *_readable(row)))
    return "\n".join([*lines, _line("all", "", "", "", *_readable(stats))])


def _line(name, size, width, blocks, *counts):
    start = f"{name:8} {size:>11} {width:>6} {blocks:>6}"
    return start + "".join(f" {count:>11}" for count in counts)


def _readable(counted):
    return [_number(count) for count in (counted.params, counted.macs, counted.activations)]


def _number(count):
    """A count to three digits: 11.9 M."""
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            scaled = count / unit
            return f"{scaled:.{2 - (scaled >= 10) - (scaled >= 100)}f} {letter}"
    return f"{count}  "

"""`keras-poolformer summary`; heavy imports are inside, so that --help is instant."""

import json
import math

from keras_poolformer.commands.arguments import add_command, add_source
from keras_poolformer.commands.models import load_model
from keras_poolformer.progress import Progress


def add_parser(group):
    """Adds the subcommand."""
    command = add_command(
        group, "summary", summary, "show an architecture", "summary poolformer_s12"
    )
    add_source(command)
    command.add_argument("--json", action="store_true", help="print JSON")


def summary(options):
    """Prints an architecture, stage by stage."""
    progress = Progress([f"building {options.source}"])
    progress.start()
    model = load_model(options.source, load_weights=False)
    progress.finish()
    from keras_poolformer.loading import image_transform

    config, transform = model.config, image_transform(model)
    stages = [
        {
            "stage": stage + 1,
            "stride": math.prod(config.strides[: stage + 1]),
            "width": config.widths[stage],
            "blocks": depth,
            "params": sum(
                layer.count_params()
                for layer in model.backbone.layers
                if layer.name.startswith(f"stages_{stage}_")
            ),
        }
        for stage, depth in enumerate(config.depths)
    ]
    params = model.count_params()
    if options.json:
        fields = {"params": params, "stages": stages, "config": config.to_dict()}
        print(json.dumps(fields | {"transform": transform.to_dict()}, indent=2))
        return
    print(
        f"{options.source}: {params:,} parameters, {config.num_classes} classes, "
        f"head {config.head}, {_size(transform)} pixels"
    )
    print(f"{'stage':>5} {'stride':>6} {'width':>5} {'blocks':>6} {'parameters':>12}")
    for row in stages:
        counts = f"{row['width']:5} {row['blocks']:6} {row['params']:12,}"
        print(f"{row['stage']:5} {row['stride']:6} {counts}")
    head = params - sum(row["params"] for row in stages)
    print(f"{'head':>5} {'':6} {'':5} {'':6} {head:12,}")


def _size(transform):
    shape = transform.output_shape
    if shape is None:
        return "any"
    return str(shape[0]) if shape[0] == shape[1] else " x ".join(map(str, shape))

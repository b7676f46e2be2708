"""What each subcommand does; heavy imports are inside, so that --help is instant."""

import json
import math
import os
import sys
from pathlib import Path

from keras_poolformer import evaluation
from keras_poolformer import presets as preset_table
from keras_poolformer.data import folders
from keras_poolformer.data.folders import IMAGE_SUFFIXES
from keras_poolformer.errors import InputError
from keras_poolformer.files import refuse_existing, replacing
from keras_poolformer.progress import Progress
from keras_poolformer.ranking import softmax, top_classes
from keras_poolformer.scorers import open_scorer

SHOWN_BROKEN = 5
TOP_NAMES = {"top-1": "top1", "top-5": "top5"}


def presets(options):
    """Lists the presets."""
    descriptions = preset_table.list_presets()
    if options.json:
        print(json.dumps(descriptions, indent=2))
        return
    width = max(map(len, descriptions))
    for name, description in descriptions.items():
        print(f"{name:{width}}  {description}")


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
        f"head {config.head}, {transform.output_size} pixels"
    )
    print(f"{'stage':>5} {'stride':>6} {'width':>5} {'blocks':>6} {'parameters':>12}")
    for row in stages:
        counts = f"{row['width']:5} {row['blocks']:6} {row['params']:12,}"
        print(f"{row['stage']:5} {row['stride']:6} {counts}")
    head = params - sum(row["params"] for row in stages)
    print(f"{'head':>5} {'':6} {'':5} {'':6} {head:12,}")


def convert(options):
    """Turns a checkpoint into a .keras file."""
    if Path(options.output).suffix != ".keras":
        raise InputError(f"the output must end in .keras. Received: {options.output}")
    refuse_existing(options.output, options.overwrite)
    progress = Progress([f"reading {options.source}", f"writing {options.output}"])
    progress.start()
    model = load_model(options.source, progress=progress.advance, **checkpoint_arguments(options))
    from keras_poolformer.loading import provenance_json

    progress.start()
    with replacing(options.output, options.overwrite) as written:
        model.save(written)
    progress.finish()
    if options.json:
        print(provenance_json(model), end="")
        return
    print(_report(model.get_config()["provenance"] or {}))


def checkpoint_arguments(options):
    """Arguments of `load_preset` that say what a checkpoint does not."""
    names = ("head", "num_classes", "pool_size", "activation")
    given = {name: getattr(options, name) for name in names}
    return {
        "backbone": options.backbone,
        "overrides": {name: value for name, value in given.items() if value is not None},
        "layout": options.layout,
        "use_ema": not options.no_ema,
        "sha256": options.sha256,
    }


def _report(provenance):
    if "tensors" not in provenance:  # a .keras file of a model that was never loaded
        return "the file does not say where its weights are from"
    lines = [
        "{source}: {tensors} tensors, {parameters:,} parameters, {dtype}, layout {layout}, "
        "head {head}".format(**provenance),
        f"sha256 {provenance['sha256']}",
    ]
    if provenance["new_tensors"]:
        lines.append(f"new, not from the checkpoint: {', '.join(provenance['new_tensors'])}")
    return "\n".join(lines)


def predict(options):
    """Classifies image files."""
    images = _image_files(options.images)
    progress = Progress([f"loading {options.source}", f"classifying {len(images)} images"])
    progress.start()
    classify = _classifier(options.source, options.top_k)
    progress.start()
    results = {}
    for done, image in enumerate(images, start=1):
        results[str(image)] = classify(image)
        progress.advance(done, len(images))
    progress.finish()
    if options.json:
        rows = {
            image: [{"label": label, "probability": probability} for label, probability in top]
            for image, top in results.items()
        }
        print(json.dumps(rows, indent=2))
        return
    for image, top in results.items():
        print(image)
        for label, probability in top:
            print(f"  {probability:6.1%}  {label}")


def _classifier(source, top_k):
    """A function from an image file to [(label, probability), ...]."""
    if str(source).endswith(".tflite"):
        from keras_poolformer.runtime import TFLiteClassifier

        classifier = TFLiteClassifier(source)
        return lambda image: classifier.classify(image, top_k)

    model = load_model(source)
    from keras_poolformer.loading import image_transform

    transform = image_transform(model)

    def classify(image):
        logits = model.predict_on_batch(transform(image)[None])[0]
        return top_classes(softmax(logits), model.config.labels, top_k)

    return classify


def _image_files(paths):
    """The image files among paths and in folders, in order; none of them missing."""
    files = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
            if not inside:
                suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
                raise InputError(f"{path} holds no image files ({suffixes})")
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise InputError(f"{path} must be an image file or a folder. Received: no such file")
    return files


def evaluate(options):
    """Measures accuracy on a folder of class folders or a tfds data set."""
    open_data = _open_folder if Path(options.data).exists() else _open_tfds
    examples_for = open_data(options)
    progress = Progress([f"loading {options.source}", f"classifying the images of {options.data}"])
    progress.start()
    scorer = open_scorer(options.source, num_workers=os.cpu_count() or 1)
    examples, total, note = examples_for(scorer)
    broken = []
    batches = folders.read_batches(
        examples,
        scorer.prepare,
        options.batch_size if scorer.fixed_size else 1,
        on_broken=(lambda path, error: broken.append(path)) if options.skip_broken else None,
    )
    progress.start()
    accuracy = evaluation.evaluate(scorer.predict, _counted(batches, progress, total))
    progress.finish()
    if note:
        print(note, file=sys.stderr)
    if broken:
        names = ", ".join(map(str, broken[:SHOWN_BROKEN]))
        more = f" and {len(broken) - SHOWN_BROKEN} more" if len(broken) > SHOWN_BROKEN else ""
        print(f"skipped {len(broken)} broken images: {names}{more}", file=sys.stderr)
    result = accuracy.to_dict() | ({"skipped": len(broken)} if options.skip_broken else {})
    if options.json:
        print(json.dumps(result, indent=2))
        return
    shares = [f"{name} {result[key]:.2f} %" for name, key in TOP_NAMES.items() if key in result]
    print(f"{accuracy.images:,} images: {', '.join(shares)}")


def _open_folder(options):
    """A function from a scorer to ([(image, class index), ...], how many, a note or None)."""
    for option, value in (("--split", options.split), ("--data-dir", options.data_dir)):
        if value is not None:
            raise InputError(
                f"{option} goes with a tfds data set. Received: {options.data}, a path"
            )
    class_folders = folders.find_class_folders(options.data)

    def examples_for(scorer):
        labelled = folders.label_images(class_folders, scorer.labels, scorer.num_classes)
        examples = folders.spread(labelled, options.limit)
        return examples, len(examples), None

    return examples_for


def _open_tfds(options):
    """The same for a data set; the images are read as they are asked for."""
    from keras_poolformer.data.tfds_source import open_split

    split = open_split(options.data, options.split, options.data_dir)

    def examples_for(scorer):
        indices, by_number = split.class_indices(scorer.labels, scorer.num_classes)
        total = len(folders.spread(range(split.num_examples), options.limit))
        label = scorer.labels[0] if scorer.labels else 0
        note = (
            f"the classes of {options.data} are taken for the model's by number, not by name: "
            f"{split.class_names[0]!r} for {label!r}, and so on"
        )
        return split.examples(indices, options.limit), total, note if by_number else None

    return examples_for


def _counted(batches, progress, total):
    """The same batches; each one that was used up moves the progress on."""
    done = 0
    for images, classes in batches:
        yield images, classes
        done += len(classes)
        progress.advance(done, total)


def load_model(source, load_weights=True, backbone=False, **arguments):
    """The model of a source; what is missing is said before TensorFlow is imported."""
    source = preset_table.resolve(source)
    if load_weights:
        preset_table.require_weights(source)
    from keras_poolformer.loading import load_preset
    from keras_poolformer.model import PoolFormerBackbone, PoolFormerImageClassifier

    model_class = PoolFormerBackbone if backbone else PoolFormerImageClassifier
    return load_preset(model_class, source, load_weights, **arguments)

"""`keras-poolformer predict`."""

from keras_poolformer.commands.arguments import add_command, add_overrides, positive
from keras_poolformer.commands.images import BrokenImages, add_skip_broken, image_files
from keras_poolformer.models.opening import load_model
from keras_poolformer.models.overrides import override_tflite
from keras_poolformer.scores import score_name, score_text
from keras_poolformer.support.errors import ImageError
from keras_poolformer.support.messages import json_text, printable
from keras_poolformer.support.progress import Progress


def add_parser(group):
    """Adds the subcommand."""
    command = add_command(
        group,
        "predict",
        predict,
        "classify images",
        "predict poolformer_tiny_cifar10 photo.jpg holiday/",
    )
    command.add_argument("source", metavar="SOURCE", help="preset, checkpoint or .tflite file")
    command.add_argument("images", metavar="IMAGE", nargs="+", help="image files and folders")
    command.add_argument("--top-k", type=positive, default=5, help="classes to show (5)")
    add_skip_broken(command)
    add_overrides(command)
    command.add_argument("--json", action="store_true", help="print JSON")


def predict(options):
    """Classifies image files; returns the exit status."""
    images = image_files(options.images)
    progress = Progress([f"loading {options.source}", f"classifying {len(images)} images"])
    progress.start()
    classify, problem_type = _classifier(options)
    progress.start()
    results, broken = {}, BrokenImages(options.skip_broken)
    for done, image in enumerate(images, start=1):
        try:
            results[str(image)] = classify(image)
        except ImageError as error:
            broken.add(error)
        progress.advance(done, len(images))
    progress.finish()
    broken.check(len(images))
    _print(results, problem_type, options.json)
    return broken.report()


def _print(results, problem_type, as_json):
    if as_json:
        rows = {
            image: [{"label": label, score_name(problem_type): score} for label, score in top]
            for image, top in results.items()
        }
        print(json_text(rows))
        return
    for image, top in results.items():
        print(printable(str(image)))
        for label, score in top:
            print(f"  {score_text(score, problem_type):>6}  {label}")


def _classifier(options):
    """(A function from an image file to [(label, score), ...], the model's problem type)."""
    top_k = options.top_k
    if str(options.source).endswith(".tflite"):
        from keras_poolformer.runtime import TFLiteClassifier

        classifier = TFLiteClassifier(options.source)
        override_tflite(classifier, options.size, options.labels)
        problem_type = classifier.description.problem_type if classifier.description else None
        return lambda image: classifier.classify(image, top_k), problem_type

    model = load_model(options.source, size=options.size, labels=options.labels)
    return lambda image: model.classify(image, top_k), model.config.problem_type

"""`keras-poolformer predict`."""

from keras_poolformer.commands.arguments import add_command, add_overrides, positive
from keras_poolformer.commands.images import image_files
from keras_poolformer.commands.models import load_model
from keras_poolformer.messages import json_text, printable
from keras_poolformer.overrides import override_tflite
from keras_poolformer.progress import Progress
from keras_poolformer.ranking import score_name, score_text


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
    add_overrides(command)
    command.add_argument("--json", action="store_true", help="print JSON")


def predict(options):
    """Classifies image files."""
    images = image_files(options.images)
    progress = Progress([f"loading {options.source}", f"classifying {len(images)} images"])
    progress.start()
    classify, problem_type = _classifier(options)
    progress.start()
    results = {}
    for done, image in enumerate(images, start=1):
        results[str(image)] = classify(image)
        progress.advance(done, len(images))
    progress.finish()
    if options.json:
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

"""`keras-poolformer predict`."""

import json

from keras_poolformer.commands.arguments import add_command, positive
from keras_poolformer.commands.images import image_files
from keras_poolformer.commands.models import load_model
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
    command.add_argument("--json", action="store_true", help="print JSON")


def predict(options):
    """Classifies image files."""
    images = image_files(options.images)
    progress = Progress([f"loading {options.source}", f"classifying {len(images)} images"])
    progress.start()
    classify, problem_type = _classifier(options.source, options.top_k)
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
        print(json.dumps(rows, indent=2))
        return
    for image, top in results.items():
        print(image)
        for label, score in top:
            print(f"  {score_text(score, problem_type):>6}  {label}")


def _classifier(source, top_k):
    """(A function from an image file to [(label, score), ...], the model's problem type)."""
    if str(source).endswith(".tflite"):
        from keras_poolformer.runtime import TFLiteClassifier

        classifier = TFLiteClassifier(source)
        problem_type = classifier.description.problem_type if classifier.description else None
        return lambda image: classifier.classify(image, top_k), problem_type

    model = load_model(source)
    return lambda image: model.classify(image, top_k), model.config.problem_type

"""`keras-poolformer predict`."""

import json

from keras_poolformer.commands.arguments import add_command, add_overrides, positive
from keras_poolformer.commands.images import image_files
from keras_poolformer.commands.models import load_model
from keras_poolformer.overrides import override_tflite
from keras_poolformer.progress import Progress
from keras_poolformer.ranking import softmax, top_classes


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
    classify = _classifier(options)
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


def _classifier(options):
    """A function from an image file to [(label, probability), ...]."""
    top_k = options.top_k
    if str(options.source).endswith(".tflite"):
        from keras_poolformer.runtime import TFLiteClassifier

        classifier = TFLiteClassifier(options.source)
        override_tflite(classifier, options.size, options.labels)
        return lambda image: classifier.classify(image, top_k)

    model = load_model(options.source, size=options.size, labels=options.labels)
    from keras_poolformer.loading import image_transform

    transform = image_transform(model)

    def classify(image):
        logits = model.predict_on_batch(transform(image)[None])[0]
        return top_classes(softmax(logits), model.config.labels, top_k)

    return classify

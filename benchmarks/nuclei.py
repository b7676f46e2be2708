"""What each format costs the shipped segmenter in mIoU, on images that its training did not see.

    python -m benchmarks.nuclei --data nuclei/ [--publish]

The images are those that the recipe `poolformer_tiny_nuclei` holds out, each judged at its own
size. Files take 256 x 256 pixels, and work through larger pictures in tiles; the integer recipe is
calibrated on training images.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import readme
from benchmarks.formats import KERAS, MEASURED, file_of
from conversion.pack_nuclei import PRESET, held_out_images, measure, training_images
from keras_poolformer import PoolFormerSegmenter, export_tflite
from keras_poolformer.cli import one_line_errors
from keras_poolformer.data.folders import spread
from keras_poolformer.export.comparison import versions
from keras_poolformer.runtime import TFLiteSegmenter
from keras_poolformer.support.files import size_of
from keras_poolformer.support.progress import Progress

PAGE, RECORD = "docs/segmentation.md", "docs/nuclei.json"
CALIBRATION_IMAGES = 100
# Points of mIoU that a recipe may lose against the fp32 file.
BOUNDS = {"fp32": 0.0, "fp16": 0.3, "dynamic_int8": 0.3, "dynamic_int4": 0.5, "int8": 1.0}


def run(options):
    """Measures, prints the table, and publishes it if that is asked for."""
    progress = Progress([KERAS, *map(file_of, MEASURED)])
    model = PoolFormerSegmenter.from_preset(PRESET)
    images = held_out_images(options.data)
    calibration = [files.image for files in training_images(options.data)]
    formats = {KERAS: measure(model.predict_labels, images, progress).to_dict()}
    with tempfile.TemporaryDirectory() as folder:
        for recipe in MEASURED:
            path = Path(folder) / f"{recipe}.tflite"
            export_tflite(
                model, path, recipe, calibration=list(spread(calibration, CALIBRATION_IMAGES))
            )
            segmenter = TFLiteSegmenter(path, num_threads=2)

            def segment(image, segmenter=segmenter):
                return segmenter.segment(image, tiles=True)

            scores = measure(segment, images, progress).to_dict()
            formats[file_of(recipe)] = {"bytes": size_of(path), **scores}
    progress.finish()
    record = {
        "calibration_images": CALIBRATION_IMAGES,
        "versions": versions(),
        "formats": formats,
    }
    print(table(record))
    if options.publish:
        readme.write_record(RECORD, record)
        readme.insert(PAGE, "nuclei", table(record))


def table(record):
    """mIoU and size of each format, as Markdown.

    Args:
        record: What `run` recorded.
    """
    rows = []
    for name, row in record["formats"].items():
        size = f"{row['bytes'] / 1e6:.2f}" if "bytes" in row else ""
        figures = (row["mean_iou"], row["mean_accuracy"], row["pixel_accuracy"])
        rows.append([name, size, *(f"{figure:.2f} %" for figure in figures)])
    return readme.markdown_table(["format", "MB", "mIoU", "mAcc", "pixel accuracy"], rows)


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.nuclei",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, help="folder of images and masks")
    parser.add_argument("--publish", action="store_true",
                        help=f"write {RECORD} and the table of {PAGE}")  # fmt: skip
    return one_line_errors("nuclei", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

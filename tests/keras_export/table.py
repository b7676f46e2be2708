"""The table of docs/onnx.md: what Keras' own export makes of our networks.

    .venv-onnx/bin/python -m tests.keras_export.table [--publish]

It measures what test_formats.py asserts.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import readme
from benchmarks.machine import describe_machine
from keras_poolformer.cli import one_line_errors
from keras_poolformer.support.progress import Progress

DOCUMENT, RECORD = "docs/onnx.md", "docs/onnx.json"
LIBRARIES = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}
PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}


def run(options):
    """Measures, prints the table, and publishes it if that is asked for."""
    record = {"machine": describe_machine(), "networks": measure_networks()}
    print(table(record))
    if options.publish:
        readme.write_record(RECORD, record)
        readme.insert(DOCUMENT, "onnx", table(record))


def measure_networks():
    """{network: {format: {"error", "operators": {kind: how many}}}}, ready for JSON."""
    from tests.keras_export.formats import CASES, RELEASED, measure  # which .venv cannot import

    cases = CASES | RELEASED
    progress = Progress([f"exporting {len(cases)} networks"])
    progress.start()
    networks = {name: {} for name in cases}
    for done, (name, case) in enumerate(cases.items()):
        progress.advance(done, len(cases))
        for file_format in LIBRARIES:
            with tempfile.TemporaryDirectory() as folder:
                error, operators = measure(case, file_format, Path(folder))
            kinds = dict(sorted(operators.items()))
            networks[name][file_format] = {"error": float(error), "operators": kinds}
    progress.finish()
    return networks


def table(record):
    """Returns the table as Markdown."""
    versions = record["machine"]["packages"]
    header = [
        f"{library} {versions[PACKAGES[file_format]]}: error, operators"
        for file_format, library in LIBRARIES.items()
    ]
    rows = [
        [name, *(_cell(network[file_format]) for file_format in LIBRARIES)]
        for name, network in record["networks"].items()
    ]
    return readme.markdown_table(["network", *header], rows)


def _cell(measured):
    return f"{measured['error']:.1e}, {sum(measured['operators'].values())}".replace("e-0", "e-")


def main(arguments=None):
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.keras_export.table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--publish", action="store_true",
                        help=f"write {RECORD} and the table of {DOCUMENT}")  # fmt: skip
    return one_line_errors("table", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

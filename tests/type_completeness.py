"""Whether every public name of the package is annotated: `python -m tests.type_completeness`.

pyright does not follow the finder of an editable installation, so it gets the root in PYTHONPATH;
without it, it finds no symbol at all and is content.

Keras chooses base classes of `keras.Model` and `keras.layers.Layer` at run time, which no type
checker can follow: that such a class has an unknown base is not counted. Pillow's classes are
known in this mode through `import PIL.Image as Image`, and not through `from PIL import Image`.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.helpers import ROOT

PACKAGE = "keras_poolformer"
_OF_KERAS = re.compile(r"Type of (metaclass|base class( \S+)?) (unknown|is partially unknown)")


def main():
    """Prints the symbols whose type is not known; returns the exit status."""
    report = verify_types()["typeCompleteness"]
    exported = [symbol for symbol in report["symbols"] if symbol["isExported"]]
    keras_classes = [symbol["name"] for symbol in report["symbols"] if _is_of_keras(symbol)]
    names = re.compile(
        "|".join(rf"\b{name.rpartition('.')[2]}\b" for name in keras_classes) or "$^"
    )
    unknown = [
        symbol
        for symbol in exported
        if not symbol["isTypeKnown"]
        and symbol["name"] not in keras_classes
        and not all(names.search(message) for message in _messages(symbol))
    ]
    for symbol in unknown:
        print(symbol["name"], *_reasons(symbol), sep="\n    ")
    print(f"{len(exported) - len(unknown)} of {len(exported)} exported symbols have a known type")
    return 1 if unknown or not exported else 0


def verify_types():
    """pyright's report as it prints it in JSON."""
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("pyright"), "--pythonpath", sys.executable),
            *("--verifytypes", PACKAGE, "--ignoreexternal", "--outputjson"),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout)


def _is_of_keras(symbol):
    """Whether only the base classes of a class are unknown."""
    messages = _messages(symbol)
    return bool(messages) and all(_OF_KERAS.match(message) for message in messages)


def _messages(symbol):
    return [diagnostic["message"] for diagnostic in symbol.get("diagnostics", [])]


def _reasons(symbol):
    return [message.splitlines()[0] for message in _messages(symbol)]


if __name__ == "__main__":
    sys.exit(main())

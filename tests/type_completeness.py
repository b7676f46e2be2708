"""Whether every public name of the package is annotated: `python -m tests.type_completeness`.

pyright does not follow the finder of an editable installation, so it gets the root in PYTHONPATH;
without it, it finds no symbol at all and is content.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.helpers import ROOT

PACKAGE = "keras_poolformer"


def main():
    """Prints the symbols whose type is not known; returns the exit status."""
    report = verify_types()["typeCompleteness"]
    exported = [symbol for symbol in report["symbols"] if symbol["isExported"]]
    unknown = [symbol for symbol in exported if not symbol["isTypeKnown"]]
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


def _reasons(symbol):
    return [found["message"].splitlines()[0] for found in symbol.get("diagnostics", [])]


if __name__ == "__main__":
    sys.exit(main())

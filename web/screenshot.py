"""Takes docs/web.png, a screenshot: `python -m web.screenshot`, after `make web-build`."""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from keras_poolformer.cli import one_line_errors
from keras_poolformer.shipped import ASSETS
from keras_poolformer.support.files import replacing
from web.chromium import launched
from web.serve import BUILT, require_page, serving

PHOTOGRAPH = ASSETS / "photos" / "chelsea.jpg"
WINDOW = {"width": 1100, "height": 740}
ANSWERED = "(answers) => document.documentElement.dataset.results === answers"


def screenshot(path: Path) -> None:
    """Classifies a photograph on the page and saves a screenshot with few colors."""
    require_page(BUILT)
    with launched() as browser, serving(BUILT) as address:
        page = browser.new_page(viewport=WINDOW, color_scheme="light", reduced_motion="reduce")
        page.goto(address)
        for answers in range(1, 6):  # the first are slower: the caches are cold
            page.set_input_files("#file", PHOTOGRAPH)
            page.wait_for_function(ANSWERED, arg=str(answers))
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    few = picture.quantize(256, kmeans=5)
    with replacing(path, overwrite=True) as written:
        few.save(written, "PNG", optimize=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m web.screenshot", description=__doc__)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("docs/web.png"),
        metavar="FILE",
        help="PNG file to write (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    return one_line_errors("web", lambda options: screenshot(options.output), options)


if __name__ == "__main__":
    sys.exit(main())

"""How long the page takes from the model's arrival to its first answer."""

from pathlib import Path

import numpy as np

from keras_poolformer.errors import InputError
from keras_poolformer.presets import ASSETS
from web.chromium import launched
from web.serve import serving

BUILT = Path("build/web")
PHOTOGRAPH = ASSETS / "photos" / "chelsea.jpg"
VISITS = 7
MEASURED = "() => document.documentElement.dataset.firstResultMs"


def first_results():
    """Visits the built page with an image that waits for the model.

    Returns:
        {"median", "most"} in milliseconds, over visits without anything kept from the last.
    """
    if not (BUILT / "model.tflite").exists():
        raise InputError(f"{BUILT} holds no page: `make web-build` makes it")
    with launched() as browser, serving(BUILT) as address:
        taken = [_visit(browser, address) for _ in range(VISITS)]
    return {"median": float(np.median(taken)), "most": max(taken)}


def _visit(browser, address):
    page = browser.new_context().new_page()
    page.goto(address)
    page.set_input_files("#file", PHOTOGRAPH)
    page.wait_for_function(MEASURED)
    taken = float(page.evaluate(MEASURED))
    page.context.close()
    return taken

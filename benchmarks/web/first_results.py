"""How long the page takes from the model's arrival to its first answer."""

import numpy as np

from keras_poolformer.shipped import ASSETS
from web.chromium import launched
from web.serve import BUILT, require_page, serving

PHOTOGRAPH = ASSETS / "photos" / "chelsea.jpg"
VISITS = 7
MEASURED = "() => document.documentElement.dataset.firstResultMs"


def first_results():
    """Visits the built page with an image that waits for the model.

    Returns:
        {"median", "most"} in milliseconds, over visits without anything kept from the last.
    """
    require_page(BUILT)
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

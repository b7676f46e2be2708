"""The system's Chromium for Playwright, which would otherwise download a browser of its own."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

from keras_poolformer.support.errors import InputError, MissingExtraError

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextlib.contextmanager
def launched() -> Iterator[Any]:
    """Starts a headless Chromium; yields Playwright's browser.

    Raises:
        InputError: Chromium is not installed.
        MissingExtraError: Playwright is not installed.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as error:
        raise MissingExtraError("playwright", "web") from error
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise InputError(f"{' or '.join(NAMES)} is not on the PATH: `apt-get install chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()

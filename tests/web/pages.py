"""The page as a person meets it."""

import base64
import mimetypes
from pathlib import Path

import numpy as np

TRANSFER = """([name, type, content]) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, {type}));
    return transfer;
}"""
PIXELS = """() => {
    const canvas = document.getElementById("pixels");
    const {width, height} = canvas;
    const {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
    return [height, width, Array.from(data).filter((_, place) => place % 4 < 3)];
}"""


def run_first_in_worker(page, script):
    """Puts a script before the page's worker: an older browser, for all that it can tell."""

    def answer(route):
        response = route.fetch()
        route.fulfill(response=response, body=f"{script};{response.text()}")

    page.route("**/worker.js", answer)


SEGMENTS = """() => {
    const canvas = document.getElementById("segments");
    const {width, height} = canvas;
    const {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
    let text = "";
    for (const byte of data) text += String.fromCharCode(byte);
    return [height, width, btoa(text)];
}"""


class OpenPage:
    """The page in a window of its own, with what a person does there.

    Args:
        page: Playwright's.
    """

    def __init__(self, page):
        self.page = page
        self.errors = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._note)

    def _note(self, message):
        if message.type == "error":
            self.errors.append(message.text)

    @property
    def measured(self):
        """What the page says of itself, for whoever wants to know."""
        return self.page.evaluate("({...document.documentElement.dataset})")

    def wait_for(self, name, value=None):
        """Waits until the page says something of itself, or just this."""
        self.page.wait_for_function(
            "([name, value]) => value === null ? name in document.documentElement.dataset"
            " : document.documentElement.dataset[name] === value",
            arg=[name, value],
        )

    def answer_after(self, action):
        """Does something and returns what comes of it: {label: score}, the best first."""
        before = int(self.measured.get("results", 0))
        action()
        self.wait_for("results", str(before + 1))
        rows = self.page.locator("#classes li").all()
        return {
            row.locator("span").first.inner_text(): float(row.get_attribute("data-score"))
            for row in rows
        }

    def classify(self, path):
        """Chooses an image and returns the answer."""
        return self.answer_after(lambda: self.choose(path))

    def choose(self, path):
        """Takes a file in the file chooser."""
        self.page.set_input_files("#file", path)

    def take_example(self):
        """Presses the button of the cat."""
        self.page.get_by_role("button", name="Example: a cat").click()

    def drop(self, *paths):
        """Drops files on the page, one after the other at once."""
        self.page.evaluate(
            "(all) => { for (const dataTransfer of all) document.body.dispatchEvent("
            "new DragEvent('drop', {dataTransfer, bubbles: true, cancelable: true})) }",
            [self._transfer(path) for path in paths],
        )

    def paste(self, path):
        """Pastes a file."""
        self.page.evaluate(
            "(clipboardData) => document.body.dispatchEvent("
            "new ClipboardEvent('paste', {clipboardData, bubbles: true}))",
            self._transfer(path),
        )

    def _transfer(self, path):
        content = base64.b64encode(Path(path).read_bytes()).decode()
        kind = mimetypes.guess_type(path)[0] or ""
        return self.page.evaluate_handle(TRANSFER, [Path(path).name, kind, content])

    def problem(self):
        """Waits for the message that something is wrong, and returns it."""
        self.page.wait_for_selector("#problem:not([hidden])")
        return self.page.inner_text("#problem")

    def pixels(self):
        """What the page shows as given to the network: height, width, RGB in one list."""
        return self.page.evaluate(PIXELS)

    def segments(self):
        """What the page draws over the image: uint8 (H, W, 4), RGB and opacity."""
        height, width, values = self.page.evaluate(SEGMENTS)
        return np.frombuffer(base64.b64decode(values), np.uint8).reshape(height, width, 4)

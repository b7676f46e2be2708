"""Who is compared in the browser, and the workers that run them."""

import base64
from dataclasses import dataclass

import numpy as np

from keras_poolformer.support.errors import InputError

WARM_UPS = 3  # in each round: the caches hold what the contestant before left

# In the page: starts a worker of a name, asks it, waits for its answer.
START = """([name, address]) => new Promise((resolve) => {
    self.workers ??= {};
    const worker = self.workers[name] = new Worker(address);
    worker.onmessage = ({data}) => resolve(data);
    worker.onerror = ({message}) => resolve({error: message});
})"""
ASK = """([name, floats, calls]) => new Promise((resolve) => {
    const bytes = Uint8Array.from(atob(floats), (letter) => letter.charCodeAt(0));
    self.workers[name].onmessage = ({data}) => resolve(data);
    self.workers[name].postMessage({image: new Float32Array(bytes.buffer), calls});
})"""


@dataclass(frozen=True)
class Contestant:
    """One way to run the network in the browser.

    Args:
        engine: "litert" or "onnxruntime".
        arithmetic: "fp32" or "dynamic_int8".
        threads: Number of threads it may use.
    """

    engine: str
    arithmetic: str
    threads: int

    @property
    def name(self):
        """That tables show."""
        return f"{self.engine}-{self.arithmetic}-{self.threads}"

    @property
    def built(self):
        """Name of its file among `benchmarks.contestants`."""
        prefix = "ours" if self.engine == "litert" else self.engine
        return f"{prefix}-{self.arithmetic}"

    @property
    def file(self):
        """In the job's folder."""
        return f"{self.built}.{'tflite' if self.engine == 'litert' else 'onnx'}"


THREADS = (1, 2)
CONTESTANTS = [
    Contestant(engine, arithmetic, threads)
    for threads in THREADS
    for engine in ("litert", "onnxruntime")
    for arithmetic in ("fp32", "dynamic_int8")
]
# Ours and the peer: the same arithmetic, and what a developer would choose between.
PAIRS = [
    (Contestant("litert", ours, threads), Contestant("onnxruntime", peer, threads))
    for threads in THREADS
    for ours, peer in (
        ("fp32", "fp32"),
        ("dynamic_int8", "dynamic_int8"),
        ("dynamic_int8", "fp32"),
    )
]


class BrowserWorker:
    """A contestant in a worker of the page.

    Args:
        page: Playwright's.
        job: Job whose files are used; its folder is served under its own name.
        contestant: Contestant to start.

    Raises:
        InputError: The contestant cannot be started.
    """

    def __init__(self, page, job, contestant):
        self.name = contestant.name
        self._page = page
        images = job.images("normalized")
        if contestant.engine == "onnxruntime":
            images = images.transpose(0, 3, 1, 2)
        self._images = [base64.b64encode(np.ascontiguousarray(i)).decode() for i in images]
        address = (
            f"{contestant.engine}_worker.js?file={job.folder.name}/{contestant.file}"
            f"&threads={contestant.threads}&size={job.size}"
        )
        started = page.evaluate(START, [self.name, address])
        if "error" in started:
            raise InputError(f"{self.name} failed: {started['error']}")

    def check(self):
        """Returns its logits for the job's images: (N, num_classes)."""
        return np.array([self._ask(image, 1)["logits"] for image in self._images])

    def time(self, _, calls):
        """Returns the median seconds that one image took, over some calls."""
        milliseconds = self._ask(self._images[0], WARM_UPS + calls)["milliseconds"]
        return float(np.median(milliseconds[WARM_UPS:])) / 1000

    def _ask(self, image, calls):
        return self._page.evaluate(ASK, [self.name, image, calls])

"""One contestant in a process of its own: `python -m benchmarks.worker FOLDER NAME THREADS`.

Answers commands, one JSON object a line:

- {"check": true}: {"logits": [[...], ...]} of the job's checked images.
- {"batch": B, "calls": K}: {"seconds": [...]}, what each of K calls with B images took.
- {"start": true}: {"seconds": S}, what loading the file and the first image took.
- {"clients": C, "calls": K}: {"seconds": S, "cpu_seconds": S}, what C threads took that each called
  K times with one image.
"""

import importlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.contestants import CONTESTANTS
from benchmarks.engines import ENGINES, PACKAGES
from benchmarks.job import Job

WARM_UPS = 2  # in each round: the caches hold what the contestant before left


def main(folder, name, threads):
    """Loads the contestant and answers until stdin ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is not a reply
    job, contestant = Job.read(folder), CONTESTANTS[name]
    images = job.images(contestant.feed)
    for module in PACKAGES.get(contestant.engine, ()):
        importlib.import_module(module)
    start = time.perf_counter()
    prepare, predict = ENGINES[contestant.engine](job, job.folder / contestant.file, int(threads))
    predict(prepare(images[:1]))
    started = time.perf_counter() - start
    for line in sys.stdin:
        command = json.loads(line)
        if "check" in command:
            logits = [predict(prepare(image[None]))[0].tolist() for image in images]
            reply = {"logits": logits}
        elif "start" in command:
            reply = {"seconds": started}
        elif "clients" in command:
            reply = _serve(predict, prepare(images[:1]), command["clients"], command["calls"])
        else:
            batch = prepare(np.resize(images, (command["batch"], *images.shape[1:])))
            reply = {"seconds": _time(predict, batch, command["calls"])}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _time(predict, batch, calls):
    for _ in range(WARM_UPS):
        predict(batch)
    seconds = []
    for _ in range(calls):
        start = time.perf_counter()
        predict(batch)
        seconds.append(time.perf_counter() - start)
    return seconds


def _serve(predict, image, clients, calls):
    def call(_):
        for _ in range(calls):
            predict(image)

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(call, range(clients)))  # the caches are filled, and the workers loaded
        start, cpu_start = time.perf_counter(), time.process_time()
        list(pool.map(call, range(clients)))
        return {
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - cpu_start,
        }


if __name__ == "__main__":
    main(*sys.argv[1:])

"""One contestant in a process of its own: `python -m benchmarks.worker FOLDER NAME THREADS`.

Answers commands, one JSON object a line:

- {"check": true}: {"logits": [[...], ...]} of the job's checked images.
- {"batch": B, "calls": K}: {"seconds": [...]}, what each of K calls with B images took.
"""

import json
import os
import sys
import time

import numpy as np

from benchmarks.contestants import CONTESTANTS
from benchmarks.engines import ENGINES
from benchmarks.job import Job

WARM_UPS = 2  # in each round: the caches hold what the contestant before left


def main(folder, name, threads):
    """Loads the contestant and answers until stdin ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is not a reply
    job, contestant = Job.read(folder), CONTESTANTS[name]
    engine = ENGINES[contestant.engine]
    prepare, predict = engine(job, job.folder / contestant.file, int(threads))
    images = job.images(contestant.feed)
    for line in sys.stdin:
        command = json.loads(line)
        if "check" in command:
            logits = [predict(prepare(image[None]))[0].tolist() for image in images]
            reply = {"logits": logits}
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


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Classifiers that several threads and processes use: forked, spawned, pickled."""

import copy
import multiprocessing
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from keras_poolformer import PoolFormerConfig, PoolFormerImageClassifier, export_tflite
from keras_poolformer.runtime import TFLiteBackbone, TFLiteClassifier
from keras_poolformer.support.errors import InputError
from tests.helpers import run_python

CONFIG = PoolFormerConfig(depths=(1,), widths=(8,), num_classes=4, initializer_range=0.5)
IMAGES = np.random.default_rng(0).standard_normal((6, 224, 224, 3)).astype("float32")
SECONDS = 30  # of waiting; all that is tested here either takes less than one or never ends
# Forks after the pool was used, while other threads use it. In the child: the same answers, from
# several threads at once, then an end that frees everything.
FORKED = """
import os, signal, sys, threading, warnings
import numpy as np
from keras_poolformer.runtime import TFLiteClassifier
warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: threads and forks
path, num_threads, num_workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
classifier = TFLiteClassifier(path, num_threads, num_workers)
images = np.random.default_rng(0).standard_normal((6, 224, 224, 3)).astype("float32")
expected = classifier.predict(images)
busy = threading.Thread(target=lambda: [classifier.predict(images) for _ in range(20)])
busy.start()
child = os.fork()
if not child:
    signal.alarm(30)
    answers = []
    def answer():
        classifier.warm_up()
        answers.append(classifier.predict(images))
    threads = [threading.Thread(target=answer) for _ in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    grandchild = os.fork()
    if grandchild:
        assert os.waitpid(grandchild, 0)[1] == 0
    answers.append(classifier.predict(images))
    assert len(answers) == 4 and all(np.array_equal(one, expected) for one in answers)
    del classifier
    sys.exit(0)
busy.join()
assert np.array_equal(classifier.predict(images), expected)
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("tflite") / "m.tflite"
    export_tflite(PoolFormerImageClassifier(CONFIG), path)
    return path


@pytest.mark.first(2)
@pytest.mark.parametrize(("num_threads", "num_workers"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_a_forked_process_answers_the_same(path, num_threads, num_workers):
    done = run_python("-c", FORKED, path, num_threads, num_workers)
    assert done.returncode == 0, done.stderr


def test_threads_that_warm_up_and_predict_at_once_all_end(path):
    classifier = TFLiteClassifier(path, num_workers=3)
    expected = classifier.predict(IMAGES)
    with ThreadPoolExecutor(6) as threads:
        warm_ups = [threads.submit(classifier.warm_up) for _ in range(12)]
        predictions = [threads.submit(classifier.predict, IMAGES) for _ in range(12)]
        for future in warm_ups:
            assert future.result(timeout=SECONDS) is None
        for future in predictions:
            assert np.array_equal(future.result(timeout=SECONDS), expected)


def test_a_failing_warm_up_releases_all_workers(path, monkeypatch):
    classifier = TFLiteClassifier(path, num_workers=3)

    def fail(_):
        raise RuntimeError("no more memory")

    with monkeypatch.context() as patch:
        patch.setattr(classifier, "_run_one", fail)
        with pytest.raises(RuntimeError, match="no more memory"):
            classifier.warm_up()
    assert np.array_equal(classifier.predict(IMAGES), TFLiteClassifier(path).predict(IMAGES))


def test_spawned_processes_open_the_file_again(path):
    classifier = TFLiteClassifier(path, num_workers=2)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        received = pool.apply_async(classifier.predict, (IMAGES,)).get(timeout=60)
    assert np.array_equal(received, classifier.predict(IMAGES))


def test_a_copy_opens_the_same_file(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    classifier = TFLiteClassifier("m.tflite", num_threads=2, num_workers=3)
    monkeypatch.chdir("/")
    for duplicate in (pickle.loads(pickle.dumps(classifier)), copy.deepcopy(classifier)):
        assert type(duplicate) is TFLiteClassifier and duplicate.path == path
        assert (duplicate._num_threads, duplicate._num_workers) == (2, 3)
        assert np.array_equal(duplicate.predict(IMAGES), classifier.predict(IMAGES))


def test_a_copy_of_a_file_that_is_gone_is_one_line(path, tmp_path):
    (tmp_path / "m.tflite").write_bytes(path.read_bytes())
    pickled = pickle.dumps(TFLiteClassifier(tmp_path / "m.tflite"))
    (tmp_path / "m.tflite").unlink()
    with pytest.raises(InputError, match="no such file"):
        pickle.loads(pickled)


def test_short_lived_threads_leave_no_interpreters(path):
    from keras_poolformer.runtime import workers

    classifier = TFLiteClassifier(path)
    before = len(workers._interpreters)
    for _ in range(5):
        thread = threading.Thread(target=classifier.predict, args=(IMAGES[:1],))
        thread.start()
        thread.join()
    assert len(workers._interpreters) <= before


@pytest.mark.parametrize("count", [0, -1, 1025, 1.0, True, "2", None])
@pytest.mark.parametrize("name", ["num_threads", "num_workers"])
def test_numbers_of_threads_are_checked(path, name, count):
    with pytest.raises(InputError, match=f"`{name}` must be a whole number from 1 to 1024"):
        TFLiteClassifier(path, **{name: count})


def test_no_images_give_no_answers(path, tmp_path):
    for num_workers in (1, 2):
        scores = TFLiteClassifier(path, num_workers=num_workers).predict(IMAGES[:0])
        assert scores.shape == (0, 4) and scores.dtype == np.float32
    export_tflite(PoolFormerImageClassifier(CONFIG), tmp_path / "p.tflite", outputs="pyramid")
    maps = TFLiteBackbone(tmp_path / "p.tflite").predict(IMAGES[:0])
    assert {name: array.shape for name, array in maps.items()} == {"P2": (0, 56, 56, 8)}

"""When Python's garbage collector rests."""

import gc

import pytest

from keras_poolformer.support.garbage import collection_paused
from tests.helpers import run_python


def test_the_collector_rests_and_works_again():
    assert gc.isenabled()
    with pytest.raises(KeyError), collection_paused():
        with collection_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with collection_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_end_of_the_program_searches_for_no_cycles():
    """Python calls in reverse order what was registered, and then collects what is not frozen."""
    code = (
        "import atexit, gc\n"
        "from keras_poolformer.cli import main\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"
        "main(['presets', '--json'])\n"
    )
    done = run_python("-c", code)
    assert done.stdout.splitlines()[-1] == "True", done.stderr

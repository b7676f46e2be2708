"""Mistakes that somebody could make in a document are found, each with its line."""

import pytest

from tests.docs.reading import WrongDocument, read
from tests.docs.test_documents import assert_works


@pytest.fixture
def mistakes(reader_files, capfd):
    """What is said of a document that must be refused."""

    def mistakes(text):
        with pytest.raises((pytest.fail.Exception, WrongDocument)) as refusal:
            assert_works("x.md", text, reader_files, capfd)
        return str(refusal.value)

    return mistakes


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("keras-poolformer presets --jsn", "unrecognized arguments: --jsn"),
        ("keras-poolformer predikt photo.jpg", "invalid choice: 'predikt'"),
        ("keras-poolformer predict tinny.tflite photo.jpg", "tinny.tflite"),
        ("keras-poolformer predict x.tflite foto.jpg", "foto.jpg must be an image file"),
        ("keras-poolformer predict hf://a/b photo.jpg", "huggingface.co is asked for"),
        ("keras-poolformer convert x.pth -o  # not run here: no file", "argument -o/--output"),
        ("X=1 keras-poolformer train --recipe x  # not run here: slow", "required: --workdir"),
        ("python -m conversion verifi my.pth.tar", "invalid choice: 'verifi'"),
        ("python -m conversion.nothing", "there is no module conversion.nothing"),
        ("python -m benchmarks.accuracy --dta x  # not run here: slow", "required: --data"),
        ("make bench", ".ci/run does not reach `make bench`"),
        ("make benches  # not run here: slow", "the Makefile has no target benches"),
        ("pip install 'keras-poolformer[runtimes]'", "setup.cfg has no extra runtimes"),
        ("pip install tensorflow-lite", "no extra in setup.cfg asks for tensorflow-lite"),
        ("pytest tests/test_nothing.py -rP", "there is no tests/test_nothing.py"),
        ("adb push x.tflite /data", "no test knows the program 'adb'"),
        ("make check && rm x", "no test knows the program 'rm'"),
        ("keras-poolformer predict 'x", "the command does not end"),
        ("adb push x.tflite  # not run here", "must say why"),
    ],
)
def test_in_a_command(command, said, mistakes):
    place, *why = mistakes(f"# Title\n\n    make check  # fine\n    {command}\n").splitlines()
    assert place.startswith(("x.md:4: ", "line 4: "))
    assert said in "".join(why or place)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("```fortran\nend\n```", "line 4: no test knows what to do with a block of 'fortran'"),
        ("```kotlin\nval x = 1\n```", "line 4: a block of kotlin must say `not run here: REASON`"),
        ("<!-- tested by tests/test_x.py::y -->\n```c\n;\n```", "there is no tests/test_x.py"),
        ("<!-- tested by tests/conftest.py::y -->\n```c\n;\n```", "tests/conftest.py has no y"),
        ("```python\nimport os\n\nprint(oz)\n```", "x.md:6: print(oz)\n    NameError"),
        ("```python\n# not run here: slow\nimport\n```", "SyntaxError"),
        ("See `keras-poolformer convert --two hf`.", "unknown: --two"),
        ("See `keras-poolformer covert`.", "unknown: covert"),
        ("See `make benches`.", "the Makefile has no target benches"),
        ("See `pytest tests/test_parity.py::test_x`.", "tests/test_parity.py has no test_x"),
    ],
)
def test_in_a_block_or_sentence(block, said, mistakes):
    assert said in mistakes(f"# Title\n\n{block}\n")


def test_what_is_right_passes(reader_files, capfd):
    text = """
    make test  # the tests
    pip install 'keras-poolformer[keras,tensorflow]' torch
    # not run here: no phone
    adb push a \\
        b && adb shell 'two
        words'

```python
x = 1
```

`make bench`, `it's`, `pip install '.[...]'`,
`keras-poolformer COMMAND` and `python -m conversion cifar10-folders -o DIR`

<!-- not run here: no phone -->
```kotlin
val x = 1
```

```python
assert x == 1
```
"""
    assert_works("x.md", text, reader_files, capfd)
    steps = list(read(text))
    assert [step.line for step in steps if step.kind == "command"] == [2, 3, 5]
    assert steps[2].text == "adb push a b && adb shell 'two words'"
    assert steps[2].not_run == "no phone" and not steps[0].not_run

"""Streams that are closed, full, or read by nobody; signals; text that is not printable."""

import os
import signal
import subprocess
import sys

import pytest

from keras_poolformer.cli import one_line_errors
from keras_poolformer.support.progress import Progress
from tests.helpers import ROOT, run_python

# A command that says what it does, writes argument 1, and prints its result.
PROGRAM = """
import sys
from keras_poolformer.cli import one_line_errors
from keras_poolformer.support.files import replacing
from keras_poolformer.support.progress import Progress

def work(path):
    progress = Progress(["reading", "writing"])
    progress.start()
    print("a remark", file=sys.stderr)
    progress.start()
    with replacing(path, overwrite=False) as written:
        written.write_text("whole")
    progress.finish()
    print("result")

sys.exit(one_line_errors("program", work, sys.argv[1]))
"""
# One that is stopped while it writes.
STOPPED = """
import contextlib, os, signal, sys
from keras_poolformer.cli import one_line_errors
from keras_poolformer.support.files import replacing

# Background jobs of a shell are started to ignore Ctrl-C, and so may be these tests.
signal.signal(signal.SIGINT, signal.default_int_handler)

def work(options):
    path, number, swallowed = options
    with replacing(path, overwrite=False) as written:
        written.write_text("half")
        with contextlib.suppress(KeyboardInterrupt if swallowed == "swallowed" else ()):
            os.kill(os.getpid(), int(number))

sys.exit(one_line_errors("program", work, sys.argv[1:]))
"""
# `keras-poolformer presets`, also where this test is run in the background.
PRESETS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from keras_poolformer.cli import main
sys.exit(main(["presets"]))
"""


def shell(line, *arguments, **options):
    return subprocess.run(
        ["sh", "-c", line, "sh", sys.executable, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def names(folder):
    return [file.name for file in folder.iterdir()]


@pytest.mark.parametrize(
    "redirection",
    ["2>&-", ">&-", "<&- >&- 2>&-", "2>/dev/full", "2>&1 | head -0", "2>&1 >/dev/null | head -0"],
)
def test_the_work_is_done_whoever_listens(redirection, tmp_path):
    line = f'{{ "$1" -c "$2" "$3"; echo $? > "$3.status"; }} {redirection}'
    done = shell(line, PROGRAM, tmp_path / "out")
    assert (tmp_path / "out").read_text(encoding="utf-8") == "whole"
    assert (tmp_path / "out.status").read_text(encoding="utf-8") == "0\n"
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_a_closed_descriptor_is_not_the_outputs(tmp_path):
    shell('"$1" -c "$2" "$3" >&- 2>&-', PROGRAM, tmp_path / "out")
    assert (tmp_path / "out").read_text(encoding="utf-8") == "whole"  # without progress in it


@pytest.mark.first(1)
@pytest.mark.parametrize("arguments", [("presets",), ("--help",), ("export", "--help")])
def test_a_result_that_is_lost_is_an_error(arguments):
    done = shell('"$1" -m keras_poolformer "$@" >/dev/full'.replace('"$@"', " ".join(arguments)))
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert "error: standard output cannot be written: No space left on device" in line


def test_programs_without_a_console(monkeypatch, tmp_path):
    """As pythonw starts them."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)

    def work(path):
        Progress(["writing"]).start()
        print("result")
        path.write_text("whole", encoding="utf-8", newline="\n")

    assert one_line_errors("program", work, tmp_path / "out") == 0
    assert (
        one_line_errors("program", lambda _: (tmp_path / "none").read_text(encoding="utf-8"), None)
        == 2
    )
    assert sys.stdout is None and sys.stderr is None
    assert (tmp_path / "out").read_text(encoding="utf-8") == "whole"
    Progress(["a step"]).start()


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8:strict", "猫é"), ("cp1252:strict", "\\u732bé"), ("ascii:strict", "\\u732b\\xe9")],
)
def test_any_text_can_be_printed(encoding, shown):
    code = (
        "from keras_poolformer.cli import one_line_errors\n"
        "one_line_errors('program', lambda text: print(text), '猫é\\x1b[31m\\udce9\\t\\x9b\\nnext')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )
    printed = done.stdout.decode(encoding.partition(":")[0])
    assert printed == f"{shown}\\x1b[31m\\udce9\t\\x9b\nnext\n"


def test_steps_are_printable(capsys):
    Progress(["reading \x1b[31mred\nline"]).start()
    assert capsys.readouterr().err == "[1/1] reading \\x1b[31mred\\nline\n"


# ---------------------------------------------------------------------------------------
# Signals


@pytest.mark.parametrize("swallowed", ["raised", "swallowed"])
@pytest.mark.parametrize(
    ("number", "ending"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "terminated"),
        (signal.SIGHUP, "terminated"),
    ],
)
def test_a_stopped_command_leaves_nothing(number, ending, swallowed, tmp_path):
    done = run_python("-c", STOPPED, tmp_path / "out", int(number), swallowed)
    assert (done.returncode, done.stderr) == (128 + number, f"program: {ending}\n")
    assert names(tmp_path) == []


def test_ctrl_c_while_modules_are_imported(tmp_path):
    """Code that is interrupted may also turn it into another error."""
    for ending in ("", "\nraise ImportError('numpy: failed')"):
        stop = "import contextlib, os, signal\nwith contextlib.suppress(KeyboardInterrupt):\n"
        if not ending:
            stop = "import os, signal\nif True:\n"
        code = f"{stop}    os.kill(os.getpid(), signal.SIGINT){ending}"
        (tmp_path / "numpy.py").write_text(code, encoding="utf-8", newline="\n")
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
        done = run_python("-c", PRESETS, env=environment)
        assert (done.returncode, done.stderr) == (130, "keras-poolformer: interrupted\n")


def test_signals_that_are_ignored_stay_ignored(tmp_path):
    done = shell('trap "" HUP; "$1" -c "$2" "$3" 1 raised', STOPPED, tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "") and names(tmp_path) == ["out"]


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert one_line_errors("program", lambda _: None, None) == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

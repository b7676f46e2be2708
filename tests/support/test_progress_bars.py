"""Progress where a line can be rewritten, and one line a step elsewhere."""

import io

import pytest

from keras_poolformer.support import progress_bars
from keras_poolformer.support.progress import Progress
from keras_poolformer.support.progress_bars import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "shown", "expected"),
    [(Terminal(), True, True), (Terminal(), False, False), (io.StringIO(), True, False)],
)
def test_a_bar_is_for_terminals(stream, shown, expected, monkeypatch):
    monkeypatch.setattr("sys.stderr", stream)
    bar = progress_bar("training", 2, 8, "step", shown)
    bar.update(2)
    bar.write("a line", file=stream)
    bar.close()
    assert ("training:" in stream.getvalue()) == expected
    assert "a line\n" in stream.getvalue()
    if expected:
        assert " 4/8 " in stream.getvalue()


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (Terminal(), "\r[1/2] reading\r[1/2] reading  50%\n\r[2/2] writing\n"),
        (io.StringIO(), "[1/2] reading\n[2/2] writing\n"),
    ],
)
def test_a_log_has_a_line_a_step(stream, expected):
    """A terminal's line is rewritten in plain text: NO_COLOR has nothing to switch off."""
    progress = Progress(["reading", "writing"], stream)
    progress.start()
    progress.advance(1, 2)
    progress.advance(1, 2)  # within a tenth of a second
    progress.start()
    progress.finish()
    assert stream.getvalue() == expected


def test_a_notebook_gets_a_widget(monkeypatch, capsys):
    pytest.importorskip("ipywidgets")
    from tqdm import notebook

    assert not progress_bars.in_notebook()
    monkeypatch.setattr(progress_bars, "in_notebook", lambda: True)
    bar = progress_bar("training", 0, 8, "step")
    assert isinstance(bar, notebook.tqdm) and not bar.disable
    bar.close()
    monkeypatch.setattr(notebook, "IProgress", None)  # as without ipywidgets
    assert progress_bar("training", 0, 8, "step").disable

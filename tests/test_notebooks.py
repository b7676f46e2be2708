"""Notebooks: as git keeps them, and what `make notebooks` makes of one that complains."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from notebooks.__main__ import FOLDER, main
from notebooks.running import complaints
from notebooks.stripping import METADATA, read_notebook, strip
from tests.helpers import run_python

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LINK = re.compile(r"\]\(([^):#]+)\)")  # to a file
OUTPUT = re.compile(r'"(outputs|execution_count)": (?!\[\]|null)')


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_they_are_numbered():
    assert [path.name[:3] for path in NOTEBOOKS] == [f"0{number}_" for number in range(1, 8)]


def test_without_kerashub_its_notebook_is_left_out(tmp_path, monkeypatch, capsys):
    executed = []
    monkeypatch.setattr("notebooks.__main__._execute_all", lambda paths, _: executed.extend(paths))
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    assert main(["--output", str(tmp_path)]) == 0
    assert executed == NOTEBOOKS[:-1]
    assert "07_detect_with_keras_hub.ipynb: skipped" in capsys.readouterr().out


def test_stripped(path):
    text = path.read_text(encoding="utf-8")
    assert not OUTPUT.search(text)
    assert json.loads(text)["metadata"] == METADATA
    assert strip(read_notebook(path)) == text, "run `python -m notebooks --strip`"


def test_ids_are_there_and_unique(path):
    ids = [cell["id"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    assert len(set(ids)) == len(ids)


def test_links_lead_somewhere(path):
    cells = read_notebook(path).cells
    links = [one for cell in cells for one in LINK.findall(cell.source)]
    assert links
    assert [link for link in links if not (FOLDER / link).exists()] == []


def test_strip_takes_out_all_but_what_was_written():
    cell = new_code_cell("1 + 1", id="sum", execution_count=3, metadata={"scrolled": True})
    cell.outputs = [new_output("stream", name="stdout", text="/home/somebody")]
    notebook = new_notebook(cells=[cell], metadata={"interpreter": "/home/somebody"})
    stripped = json.loads(strip(notebook))
    assert stripped["metadata"] == METADATA
    assert stripped["cells"] == [
        {"cell_type": "code", "execution_count": None, "id": "sum", "metadata": {}, "outputs": [],
         "source": ["1 + 1"]}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training:  50%|###   | 18/36 [00:33<00:33]\rtraining: 100%|######| 36/36\n", []),
        ("epoch 1/5, step 12/60, loss 2.1, accuracy 30.0%\n", []),
        ("E0000 00:00:17.4 19 util.cc:131] oneDNN supports DT_INT32 only on platforms\n", []),
        ("a.py:3: FutureWarning: old\n", ["one: a.py:3: FutureWarning: old"]),
        ("training: 9%|#  | 1/11\rW0000 cpu.cc:1] slow\n", ["one: W0000 cpu.cc:1] slow"]),
    ],
)
def test_only_progress_may_be_on_stderr(text, expected):
    cell = new_code_cell("", id="one", outputs=[new_output("stream", name="stderr", text=text)])
    assert complaints(new_notebook(cells=[cell])) == expected


@pytest.mark.slow
def test_a_notebook_that_fails_is_shown_as_far_as_it_came(tmp_path):
    cells = [
        new_code_cell("print('here')", id="good"),
        new_code_cell("import warnings\nwarnings.warn('old')\n1 / 0", id="bad"),
        new_code_cell("print('never')", id="after"),
    ]
    notebook = tmp_path / "failing.ipynb"
    nbformat.write(new_notebook(cells=cells), notebook)
    done = run_python("-m", "notebooks", notebook, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert re.fullmatch(r"\[1/1\] failing.ipynb: FAILED in \d+ s\n", done.stdout)
    assert "bad: ZeroDivisionError: division by zero" in done.stderr
    assert "UserWarning: old" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("Failed: failing.ipynb")
    executed = nbformat.read(tmp_path / "out" / "failing.ipynb", 4)
    assert [len(cell.outputs) for cell in executed.cells] == [1, 2, 0]
    assert "ZeroDivisionError" in (tmp_path / "out" / "failing.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "must be a file"), ("{}", "must be a valid notebook"), ("no", "valid notebook")],
)
def test_what_is_no_notebook_is_refused_in_one_line(tmp_path, capfd, content, expected):
    notebook = tmp_path / "broken.ipynb"
    if content is not None:
        notebook.write_text(content, encoding="utf-8", newline="\n")
    assert main([str(notebook), "--output", str(tmp_path / "out")]) == 2
    err = capfd.readouterr().err
    assert expected in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_the_readme_lists_them():
    readme = Path(FOLDER / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in NOTEBOOKS if f"]({path.name})" not in readme] == []

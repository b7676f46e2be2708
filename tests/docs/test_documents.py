"""README.md, CONTRIBUTING.md and docs/: every command and every Python block works.

Each document is worked through from above, in a folder that holds what its reader is assumed to
have (conftest.py); what one command writes serves the next. What cannot be run in seconds says so,
`# not run here: REASON`, and only has to be understood by its program. `pytest tests/docs -rP`
prints the CPU time of each step.
"""

import re
import time
import traceback

import pytest

from tests.docs import programs
from tests.docs.reading import WrongDocument, read, split
from tests.helpers import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
WRITTEN = re.compile(r"(?:-o|--output|--workdir|save_to_preset\(|\.save\()[ =]*[\"']?([\w.-]+)")


@pytest.mark.docs
@pytest.mark.parametrize("name", NAMES)
def test_every_command_works(name, reader_files, capfd):
    assert_works(name, (ROOT / name).read_text(encoding="utf-8"), reader_files, capfd)


def assert_works(name, text, reader_files, capfd):
    """Works through a document; shows all that failed, each with its line and one line more."""
    steps = list(read(text))
    reader_files(_used(steps))
    namespace, failures, durations = {}, [], []
    for step in steps:
        capfd.readouterr()
        start = time.process_time()
        try:
            _do(step, name, namespace)
        except Exception as error:
            failures.append(f"{_place(step, name, error)}\n    {_why(error, capfd)}")
        durations.append((time.process_time() - start, step))
    capfd.readouterr()
    for seconds, step in durations:
        if seconds > 0.1:
            print(f"{seconds:6.1f} s  {name}:{step.line}: {step.text.splitlines()[0]}")
    print(f"{sum(seconds for seconds, _ in durations):6.1f} s  {name}")
    if failures:
        pytest.fail("\n".join(failures), pytrace=False)


def _do(step, name, namespace):
    if step.test:
        programs.check_test(step.test)
    if step.kind == "python":
        # With the line numbers of the document.
        program = compile("\n" * (step.line - 1) + step.text, name, "exec")
        if step.runs:
            exec(program, namespace)
    elif step.kind == "mention":
        for words in split(step.text):
            programs.check(words, mention=True)
    elif step.kind == "command":
        for words in split(step.text):
            if not programs.check(words) and step.runs:
                raise WrongDocument(f"no test knows the program {words[0]!r}")
            if step.runs:
                programs.run(words)


def _place(step, name, error):
    """Document, line and what stands there."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
             if frame.filename == name]  # fmt: skip
    line = (lines[-1] if lines else None) or step.line
    return f"{name}:{line}: {step.text.splitlines()[line - step.line if lines else 0]}"


def _why(error, capfd):
    """What the program said last, or the exception."""
    said = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
    return said[-1] if said and isinstance(error, programs.Failed) else repr(error)


def _used(steps):
    """The names of files that readers bring along: mentioned, and not made on the way."""
    text = "\n".join(step.text for step in steps if step.runs)
    mentioned = {word.partition("/")[0] for word in re.split(r"[\s\"'=,()]+", text)}
    return mentioned - set(WRITTEN.findall(text))


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    """Those within the repository."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (ROOT / name).parent.joinpath(target).exists(), f"{name}: {target}"

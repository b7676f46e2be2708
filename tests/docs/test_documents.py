"""README.md, CONTRIBUTING.md and docs/: every command and every Python block works.

Each document is worked through from above, in a folder that holds what its reader is assumed to
have (conftest.py); what one command writes serves the next. What cannot be run in seconds says so,
`# not run here: REASON`, and only has to be understood by its program. `pytest tests/docs -rP`
prints how long each step takes.
"""

import contextlib
import re
import time

import pytest

from tests.docs import programs
from tests.docs.reading import WrongDocument, read, split

ROOT = programs.ROOT
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
WRITTEN = re.compile(r"(?:-o|--output|--workdir|save_to_preset\(|\.save\()[ =]*[\"']?([\w.-]+)")


@pytest.mark.parametrize("name", NAMES)
def test_every_command_works(name, belongings, capfd):
    assert_works(name, (ROOT / name).read_text(encoding="utf-8"), belongings, capfd)


def assert_works(name, text, belongings, capfd):
    """Works through a document; shows all that failed, each in one line."""
    steps = list(read(text))
    belongings(_used(steps))
    namespace, failures, durations = {}, [], []
    for step in steps:
        capfd.readouterr()
        start = time.process_time()
        try:
            _do(step, f"{name}:{step.line}", namespace)
        except Exception as error:
            said = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
            why = said[-1] if said and isinstance(error, WrongDocument) else repr(error)
            failures.append(f"{name}:{step.line}: {step.text.splitlines()[0]}\n    {why}")
        durations.append((time.process_time() - start, step))
    capfd.readouterr()
    for seconds, step in durations:
        if seconds > 0.1:
            print(f"{seconds:6.1f} s  {name}:{step.line}: {step.text.splitlines()[0]}")
    print(f"{sum(seconds for seconds, _ in durations):6.1f} s  {name}")
    assert not failures, "\n".join(["", *failures])


def _do(step, place, namespace):
    if step.test:
        programs.check_test(step.test)
    if step.kind == "python":
        program = compile(step.text, place, "exec")
        if not (step.not_run or step.test):
            exec(program, namespace)
    elif step.kind == "mention":
        with contextlib.suppress(ValueError):  # `it's`: nothing to type
            for words in split(step.text):
                programs.check(words, mention=True)
    elif step.kind == "command":
        for words in split(step.text):
            known = programs.check(words)
            if not known and not step.not_run:
                raise WrongDocument(f"no test knows the program {words[0]!r}")
            if not step.not_run:
                programs.run(words)


def _used(steps):
    """The names of files that readers bring along: mentioned, and not made on the way."""
    kinds = ("command", "python")
    text = "\n".join(step.text for step in steps if step.kind in kinds and not step.not_run)
    mentioned = {word.partition("/")[0] for word in re.split(r"[\s\"'=,()]+", text)}
    return mentioned - set(WRITTEN.findall(text))


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    """Those within the repository."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert (ROOT / name).parent.joinpath(target).exists(), f"{name}: {target}"

"""What a Markdown document tells its reader to type: commands, Python blocks, other listings."""

import re
import shlex
from dataclasses import dataclass

from markdown_it import MarkdownIt

SHELL = ("", "sh", "bash", "shell")  # an indented block has no language
PYTHON = ("python", "py")
# Their blocks say why they are not run here, or which test covers them.
LISTINGS = {
    "bibtex", "c", "cmake", "cpp", "css", "dockerfile", "gradle", "groovy", "html", "java",
    "javascript", "js", "json", "kotlin", "objc", "ruby", "swift", "text", "toml", "ts",
    "typescript", "xml", "yaml",
}  # fmt: skip
NOT_RUN = re.compile(r"not run here(?:: *(?P<reason>[^\n]*\w))?")
TESTED = re.compile(r"<!-- *tested by +(?P<test>\S+) *-->")


class WrongDocument(ValueError):
    """What a document says cannot be understood, or is not so."""


@dataclass(frozen=True)
class Step:
    """Something in a document that can be run or checked.

    Args:
        line: of the document, from 1.
        kind: "command" in a block, "mention" of a command in a sentence, "python", "listing".
        text: a command line in one piece, a program, or the listing's language.
        not_run: why it is not run here, or None.
        test: that covers it in its own way, path::name, or None.
    """

    line: int
    kind: str
    text: str
    not_run: str | None = None
    test: str | None = None

    @property
    def runs(self):
        """Whether it is to be run, not only checked."""
        return self.kind in ("command", "python") and not (self.not_run or self.test)


def read(text):
    """Yields the steps of a document in order; what cannot be understood is a WrongDocument."""
    comment = ""
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "fence":
            yield from _block(token.content, line + 1, token.info.split(" ")[0], comment)
        elif token.type == "code_block":
            yield from _block(token.content, line, "", comment)
        elif token.type == "inline":
            spans = (child.content for child in token.children if child.type == "code_inline")
            spans = (" ".join(span.split()) for span in spans)
            yield from (Step(line, "mention", span) for span in spans if _is_whole(span))
        comment = token.content if token.type == "html_block" else ""


def _block(content, line, language, comment):
    tested = TESTED.search(comment)
    test = tested["test"] if tested else None
    reason = _reason(comment, line)
    if language in SHELL:
        yield from _commands(content, line, reason, test)
        return
    if language not in (*PYTHON, *LISTINGS):
        raise WrongDocument(f"line {line}: no test knows what to do with a block of {language!r}")
    reason = reason or _reason(content, line)
    if language in PYTHON:
        yield Step(line, "python", content, reason, test)
    elif reason or test:
        yield Step(line, "listing", language, reason, test)
    else:
        raise WrongDocument(
            f"line {line}: a block of {language} must say `not run here: REASON`, in it or in an "
            "HTML comment before it, or <!-- tested by tests/FILE.py::test_name -->"
        )


def _commands(content, line, reason, test):
    """The command lines of a block; a comment on a line of its own is about those below it."""
    pending, first = "", line
    for number, text in enumerate(content.splitlines(), start=line):
        first = first if pending else number
        pending = f"{pending}{text.strip()}"
        if pending.startswith("#"):
            reason, pending = _reason(pending, number) or reason, ""
        if pending.endswith("\\"):
            pending = f"{pending[:-1].rstrip()} "
        elif pending and _is_whole(pending):
            yield Step(first, "command", pending, _reason(pending, first) or reason, test)
            pending = ""
        elif pending:
            pending += " "
    if pending:
        raise WrongDocument(f"line {first}: the command does not end: {pending}")


def _is_whole(command):
    try:
        shlex.split(command, comments=True)
    except ValueError:  # an open quotation
        return False
    return True


def _reason(text, line):
    found = NOT_RUN.search(text)
    if found and not found["reason"]:
        raise WrongDocument(f"line {line}: `not run here` must say why: `not run here: REASON`")
    return found["reason"] if found else None


def split(command):
    """The words of each of the commands that `&&` joins, without comments."""
    commands = [[]]
    for word in shlex.split(command, comments=True):
        if word == "&&":
            commands.append([])
        else:
            commands[-1].append(word)
    return commands

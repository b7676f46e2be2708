"""Puts a command's tables into a document, between the comments that carry the table's name."""

import json
from pathlib import Path
from typing import NamedTuple

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import replacing


class Block(NamedTuple):
    """Where a command's results go.

    Attributes:
        record: JSON file of what was measured.
        document: Markdown file with the tables.
        name: Name of the block of the document.
    """

    record: str
    document: str
    name: str


def markdown_table(header, rows):
    """Returns a Markdown table of a header and rows of strings."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def insert(path, name, text):
    """Replaces what stands between `<!-- NAME -->` and `<!-- /NAME -->`.

    Args:
        path: Markdown file.
        name: Name of the block.
        text: New content of the block.

    Raises:
        InputError: The file has no such block.
    """
    document = Path(path).read_text(encoding="utf-8")
    before, opening, rest = document.partition(f"<!-- {name} -->\n")
    _, closing, after = rest.partition(f"<!-- /{name} -->\n")
    if not (opening and closing):
        raise InputError(f"{path} must have the lines <!-- {name} --> and <!-- /{name} -->")
    with replacing(path, overwrite=True) as written:
        written.write_text(
            f"{before}{opening}{text}{closing}{after}", encoding="utf-8", newline="\n"
        )


def write_record(path, record):
    """Writes what was measured as JSON, whole or not at all."""
    with replacing(path, overwrite=True) as written:
        written.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8", newline="\n")


def report(results, tables, targets, block=None):
    """Prints what was measured while `busy_cores` says how quiet the machine was.

    Args:
        results: What was measured, ready for JSON, with "busy_cores".
        tables: The same as Markdown.
        targets: [(what was promised, whether it holds), ...].
        block: `Block` to write the results and the tables to; None to write nothing.
    """
    print(tables)
    for promise, holds in targets:
        print(f"{promise}: {'met' if holds else 'not met'}")
    print(f"other programs kept {results['busy_cores']:.2f} cores busy")
    if block:
        write_record(block.record, results)
        insert(block.document, block.name, tables)

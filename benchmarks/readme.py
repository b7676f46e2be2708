"""Puts a command's tables into a document, between the comments that carry the table's name."""

import json
from pathlib import Path

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.files import replacing


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

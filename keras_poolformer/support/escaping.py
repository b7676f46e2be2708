"""Texts from outside inside Markdown and Python, where they stay texts."""

import json
import re

from keras_poolformer.support.messages import printable

# What begins markup in GitHub's Markdown, also in the middle of a line; `_` only at a word's edge.
_MARKUP = re.compile(r"[\\`*\[\]<>|~&$#]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
_LONGEST = 500  # characters of a text in Markdown


def markdown_text(text: str) -> str:
    """Returns a text as one line of Markdown that shows it as it is: no HTML, links or headings."""
    line = printable(" ".join(text.split()))[:_LONGEST]
    return _MARKUP.sub(lambda match: "\\" + match.group(), line)


def python_string(text: str) -> str:
    """Returns a text as a string literal of Python, in one line."""
    return json.dumps(printable(text), ensure_ascii=False)

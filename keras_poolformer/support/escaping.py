"""Escapes text from outside for Markdown and Python, so that it stays text."""

import json
import re

from keras_poolformer.support.messages import printable

# Starts of markup in GitHub's Markdown, also in the middle of a line; `_` only at a word's edge.
_MARKUP = re.compile(r"[\\`*\[\]<>|~&$#]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
_MAX_LENGTH = 500  # characters of a text in Markdown


def markdown_text(text: str) -> str:
    """Returns a text as one line of Markdown that shows it literally, without HTML or links."""
    line = printable(" ".join(text.split()))[:_MAX_LENGTH]
    return _MARKUP.sub(lambda match: "\\" + match.group(), line)


def python_string(text: str) -> str:
    """Returns a text as a Python string literal on one line."""
    return json.dumps(printable(text), ensure_ascii=False)

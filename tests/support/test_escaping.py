import ast
import itertools
import random

import pytest
from markdown_it import MarkdownIt

from keras_poolformer.support.escaping import markdown_text, python_string
from keras_poolformer.support.messages import printable

WORDS = (
    "2024", "yes", "no", "on", "null", "~", "1e3", ".5", "-1", "0x1F", "1_000", "2024-01-01",
    "true", ".inf", "a: b", "#1", "- a", "[a]", "{a: b}", "'", '"', "\\", "&a", "*a", "!tag", "%",
    "@", "`", "", " a ", "a\nb", "---", "a #b", "é", "猫", "😀", "\ufeff", "\u2028",
    "\x7f", "\x9b", "\udce9",
    "<script>alert(1)</script>", "![x](http://a/b)", "[x](javascript:alert(1))", "<!-- a", "a | b",
    "**a**", "_a_", "__a__", "poolformer_s12_fp32.tflite", "~~a~~", "`a`", "&lt;b&gt;", "# a",
    "a\n# b", "a #",
    "\n\n# heading\n", "```\ncode", "$$a$$", "<b>", "\\<b\\>", "a\\", "1. a", "+ a", "> a",
)  # fmt: skip
CODES = itertools.chain(range(0x250), range(0xFFF0, 0x10000), [0x1F600])
CHARACTERS = [chr(code) for code in CODES]


def texts():
    draw = random.Random(0)
    return [*WORDS, *("".join(draw.choices(CHARACTERS, k=8)) for _ in range(500))]


def test_python_reads_every_text_back():
    for text in texts():
        assert ast.literal_eval(python_string(text)) == printable(text)


@pytest.mark.parametrize("start", ["- Weights: ", "Trained on ", "# "])
def test_markdown_shows_every_text_as_it_is(start):
    parser = MarkdownIt("commonmark", {"html": True}).enable(["strikethrough", "table"])
    for text in filter(str.strip, texts()):
        tokens = parser.parse(f"{start}{markdown_text(text)} end")
        (inline,) = [token for token in tokens if token.type == "inline"]
        assert {token.type for token in inline.children} <= {"text", "text_special"}, text
        shown = "".join(token.content for token in inline.children)
        assert shown == f"{start.lstrip('-# ')}{printable(' '.join(text.split()))[:500]} end"
        assert len(tokens) == (7 if start.startswith("-") else 3)


def test_names_of_files_stay_readable():
    assert markdown_text("poolformer_s12_fp32.tflite") == "poolformer_s12_fp32.tflite"

"""Errors of bounded length on one printable line, whatever they were made from."""

import pytest

from keras_poolformer.support.errors import InputError
from keras_poolformer.support.messages import did_you_mean, one_line, printable, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\r\n c", "a b c"),
        ("\x1b[2Jcleared", r"\x1b[2Jcleared"),
        ("a\u2028b", "a b"),  # a separator for str.split too
        ("caf\udce9.jpg", r"caf\udce9.jpg"),
        ("猫 \u3000 é", "猫 é"),
        ("a\u202ebc\xad", r"a\u202ebc\xad"),  # the first one shows what follows backwards
    ],
)
def test_an_error_is_one_printable_line(text, expected):
    assert str(InputError(text)) == expected


def test_an_error_is_of_bounded_length():
    assert len(str(InputError("x" * 33_000_000))) == 2000
    assert len(one_line("y" * 10_000, limit=50)) == 50


def test_an_error_without_words_is_named_by_its_type():
    assert str(InputError(EOFError())) == "EOFError"


def test_printable_leaves_what_a_terminal_can_show():
    assert printable("猫\u3000é 👩‍🔬") == "猫\u3000é 👩‍🔬"
    assert printable("a\x85b") == r"a\x85b"


def test_shown_values_are_short():
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown(list(range(1000)))) == 80
    assert shown(10**5000) == "a int too long to print"


def test_did_you_mean():
    assert did_you_mean("poolformer_s13", ["poolformer_s12"]) == " Did you mean 'poolformer_s12'?"
    assert did_you_mean("dims", ["widths"], {"dims": "widths"}) == " Did you mean 'widths'?"
    assert did_you_mean("dims", ["widths"]) == ""


def test_of_equally_similar_names_the_one_that_begins_alike():
    names = ["poolformer_s36", "poolformer_s12", "poolformer_s24"]
    assert did_you_mean("poolformer_s13", names) == " Did you mean 'poolformer_s12'?"


def test_a_value_that_is_nested_too_deeply():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    assert shown(nested) == "a list nested too deeply to print"

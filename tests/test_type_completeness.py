"""The count of annotated names cannot pass without having seen any."""

import pytest

from tests import type_completeness

KNOWN = {"name": "a.b", "isExported": True, "isTypeKnown": True}
UNKNOWN = {
    "name": "a.c",
    "isExported": True,
    "isTypeKnown": False,
    "diagnostics": [{"message": "Return type annotation is missing\nmore"}],
}
OF_KERAS = {
    "name": "a.Model",
    "isExported": True,
    "isTypeKnown": False,
    "diagnostics": [
        {"message": "Type of metaclass unknown"},
        {"message": "Type of base class unknown"},
    ],
}
TAKES_IT = {
    "name": "a.load",
    "isExported": True,
    "isTypeKnown": False,
    "diagnostics": [{"message": 'Type of parameter "m" is partially unknown\n  "Model | None"'}],
}
PRIVATE = {"name": "a._d", "isExported": False, "isTypeKnown": False}


@pytest.mark.parametrize(
    ("symbols", "status"),
    [
        ([], 1),
        ([PRIVATE], 1),
        ([KNOWN, PRIVATE], 0),
        ([KNOWN, UNKNOWN], 1),
        ([KNOWN, OF_KERAS, TAKES_IT], 0),
        ([TAKES_IT], 1),
    ],
)
def test_status(symbols, status, monkeypatch, capsys):
    report = {"typeCompleteness": {"symbols": symbols}}
    monkeypatch.setattr(type_completeness, "verify_types", lambda: report)
    assert type_completeness.main() == status
    printed = capsys.readouterr().out
    assert ("a.c\n    Return type annotation is missing\n" in printed) == (UNKNOWN in symbols)
    assert "_d" not in printed

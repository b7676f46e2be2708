"""What is public is in `__all__` of five packages, and documents use nothing else."""

import ast
import importlib
import json
import re
from pathlib import Path

import pytest

from tests.helpers import ROOT

PACKAGES = (
    "keras_poolformer",
    "keras_poolformer.data",
    "keras_poolformer.runtime",
    "keras_poolformer.runtime.benchmark",
    "keras_poolformer.training",
)
OPTIONAL = "hub"  # public too, but needs KerasHub: tests/hub
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
]
IMPORT = re.compile(
    r"^ *from (keras_poolformer[\w.]*) import ((?:\([^)]*\))|[^\n#(]+)", re.MULTILINE
)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there(package):
    module = importlib.import_module(package)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


@pytest.mark.parametrize("package", PACKAGES)
def test_a_type_checker_sees_the_same_names(package):
    """What is imported lazily is imported under TYPE_CHECKING too, from the same module."""
    module = importlib.import_module(package)
    imported = {
        alias.name: statement.module
        for statement in ast.walk(ast.parse(_source(module)))
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    for name in set(module.__all__) - {"RECIPE_SUMMARIES", "STRATEGIES"}:
        home = importlib.import_module(imported[name])
        assert getattr(home, name) is getattr(module, name)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_import_public_names(document):
    for module, names in IMPORT.findall(_code(document)):
        assert module in PACKAGES
        used = {name.strip() for name in names.strip("() \n").split(",")} - {"", OPTIONAL}
        assert used <= set(importlib.import_module(module).__all__)


def _source(module):
    return Path(module.__file__).read_text("utf-8")


def _code(document):
    text = document.read_text("utf-8")
    if document.suffix != ".ipynb":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])

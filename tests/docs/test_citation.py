"""CITATION.cff: whole by the rules of CFF 1.2, true, and the same as README.md's BibTeX."""

import re

import pytest
import yaml

from keras_poolformer.support.version import __version__
from tests.docs.programs import ROOT

REQUIRED = {"cff-version", "message", "title", "authors"}
KNOWN = REQUIRED | {"abstract", "type", "version", "license", "keywords", "references"}


@pytest.fixture(scope="module")
def citation():
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def paper(citation):
    (reference,) = citation["references"]
    return reference


def test_its_keys_are_those_of_the_standard(citation):
    assert set(citation) <= KNOWN and set(citation) >= REQUIRED
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert all(isinstance(word, str) for word in citation["keywords"])


def test_it_names_this_version(citation):
    assert citation["version"] == __version__
    assert citation["license"] == "Apache-2.0"
    assert citation["authors"] == [{"name": "The keras-poolformer developers"}]


def test_readme_cites_the_same_paper(paper):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    bibtex = re.search(r"```bibtex\n(.*?)```", readme, flags=re.DOTALL)
    assert bibtex
    fields = dict(re.findall(r"(\w+)=\{(.*)\}", bibtex[1]))
    authors = [f"{one['family-names']}, {one['given-names']}" for one in paper["authors"]]
    assert fields["author"] == " and ".join(authors)
    assert fields["title"].lower() == paper["title"].lower()
    assert fields["booktitle"] == paper["collection-title"]
    assert fields["pages"] == f"{paper['start']}--{paper['end']}"
    assert int(fields["year"]) == paper["year"]

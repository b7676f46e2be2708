"""The documentation as a site: a dead link fails its build, and what is public is there.

MkDocs checks links within the site, hooks.py the form of those to other sites.
"""

import ast
import re
import shutil
import zlib

import nbformat
import pytest

from tests.helpers import ROOT
from tests.test_public_names import PACKAGES

pytest.importorskip("mkdocs")

from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

SITE = ROOT / "build" / "site"
API = ROOT / "docs" / "site" / "pages" / "api"
README = "# Home\n\n[guide](docs/guide.md), [part](docs/guide.md#a-part-of-it), "
README += "[notebook](notebooks/1.ipynb#in-a-notebook), [![picture](docs/x.png)](CITATION.cff)\n"
NAVIGATION = ["README.md", "docs/guide.md", "notebooks/1.ipynb"]
GUIDE = "# Guide\n\n## A part of it\n\n[home](../README.md), [code](#a-part-of-it)\n"


@pytest.fixture
def build_site(tmp_path):
    """build_site(text): a repository with our settings, and `text` at the end of its README."""

    def build_site(text="", executed=None):
        folder = tmp_path / "docs" / "site"
        shutil.copytree(ROOT / "docs" / "site", folder, ignore=shutil.ignore_patterns("api"))
        (tmp_path / "README.md").write_text(README + text, encoding="utf-8", newline="\n")
        (tmp_path / "docs" / "guide.md").write_text(GUIDE, encoding="utf-8", newline="\n")
        (tmp_path / "docs" / "x.png").touch()
        (tmp_path / "CITATION.cff").touch()
        _write_notebook(tmp_path / "notebooks" / "1.ipynb")
        if executed:
            _write_notebook(tmp_path / "build" / "notebooks" / "1.ipynb", **executed)
        build(load_config(str(folder / "mkdocs.yml"), nav=NAVIGATION, plugins=[]))
        return tmp_path / "build" / "site"

    return build_site


def _write_notebook(path, source="print(6 * 7)", output=None):
    path.parent.mkdir(parents=True)
    outputs = [nbformat.v4.new_output("stream", text=output)] if output else []
    heading = nbformat.v4.new_markdown_cell(
        "# One\n\n## In a notebook\n\n[guide](../docs/guide.md)"
    )
    code = nbformat.v4.new_code_cell(source, outputs=outputs)
    nbformat.write(nbformat.v4.new_notebook(cells=[heading, code]), path)


def test_links_that_lead_somewhere(build_site):
    site = build_site("\n[a](https://keras.io/api/), [b](http://127.0.0.1:8000), `[c](d.md)`\n")
    home = (site / "index.html").read_text(encoding="utf-8")
    for address in ("docs/guide/#a-part-of-it", "notebooks/1/#in-a-notebook", "CITATION.cff"):
        assert f'href="{address}"' in home
        assert (site / address.partition("#")[0]).exists()
    assert 'href="../.."' in (site / "docs" / "guide" / "index.html").read_text(encoding="utf-8")


DEAD_LINKS = {
    "docs/gide.md": "link 'docs/gide.md', but the target is not found",
    "docs/guide.md#a-part": "does not contain an anchor '#a-part'",
    "#nowhere": "there is no such anchor on this page",
    "notebooks/1.ipynb#in-a-book": "does not contain an anchor '#in-a-book'",
    "docs": "unrecognized relative link 'docs'",
    "/docs/guide.md": "absolute link '/docs/guide.md'",
    "https:/keras.io": "'https:/keras.io': no address",
    "htps://keras.io": "'htps://keras.io': no address",
    "https://kerasio": "'https://kerasio': no address",
}


def test_each_dead_link_fails_the_build(build_site, caplog):
    links = "".join(f"\n[planted]({link})\n" for link in DEAD_LINKS)
    with pytest.raises(Abort, match=f"Aborted with {len(DEAD_LINKS)} warnings in strict mode"):
        build_site(links)
    for said in DEAD_LINKS.values():
        assert said in caplog.text


def test_a_page_outside_the_navigation_fails_the_build(build_site, tmp_path, caplog):
    (tmp_path / "NEW.md").write_text("# New\n", encoding="utf-8", newline="\n")
    with pytest.raises(Abort, match="Aborted with 1 warnings in strict mode"):
        build_site()
    assert 'not included in the "nav" configuration:\n  - NEW.md' in caplog.text


@pytest.mark.parametrize(
    ("executed", "shown"),
    [
        ({"output": "it is 42"}, True),
        ({"output": "it is 42", "source": "print(6 * 8)"}, False),  # an older notebook's
    ],
)
def test_a_notebook_has_the_outputs_of_its_own_run(executed, shown, build_site):
    page = (build_site(executed=executed) / "notebooks" / "1" / "index.html").read_text(
        encoding="utf-8"
    )
    assert 'href="../../docs/guide/"' in page
    assert ("it is 42" in page) == shown


@pytest.mark.docs
def test_every_public_name_is_in_the_reference():
    """Of the site that `make docs` built first."""
    inventory = zlib.decompress((SITE / "objects.inv").read_bytes().split(b"\n", 4)[4])
    entries = {line.split()[0] for line in inventory.decode().splitlines()}
    directives = [page.read_text(encoding="utf-8").split() for page in sorted(API.glob("*.md"))]
    packages = {package for _, package in directives}
    assert packages >= set(PACKAGES)
    for package in packages:
        described = {name for name in entries if re.fullmatch(rf"{package}\.\w+", name)}
        assert described - packages == {f"{package}.{name}" for name in _public_names(package)}


def _public_names(package):
    """Its `__all__`, read and not imported: a package may need what is not installed."""
    source = ROOT.joinpath(*package.split("."), "__init__.py").read_text(encoding="utf-8")
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and statement.targets[0].id == "__all__":
            return ast.literal_eval(statement.value)
    raise AssertionError(f"{package} has no __all__")


@pytest.mark.docs
def test_the_site_loads_nothing_from_elsewhere():
    pages = sorted(SITE.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        loaded = re.findall(
            r"<(?:script|img|iframe)\s[^>]*src=\"([^\"]*)|<link\s[^>]*href=\"([^\"]*)",
            page.read_text(encoding="utf-8"),
        )
        for address in map("".join, loaded):
            assert not re.match(r"(https?:)?//", address), f"{page}: {address}"

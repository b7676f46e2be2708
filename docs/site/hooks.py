"""The repository's documents as pages of the site, each under the path that it has here.

So a relative link means the same on GitHub, in an editor and in the site.
"""

import logging
import re
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[2]
# Documents, and the files that they link to.
PATTERNS = (
    "*.md", "CITATION.cff", "docs/*", "docs/training_*/*", "notebooks/*.ipynb", "notebooks/*.md",
)  # fmt: skip
LINK = re.compile(r'<(?:a|img)\s[^>]*(?:href|src)="([^"]*)"')
HOST = re.compile(r"(?:[\w-]+\.)+[\w-]+(?::\d+)?")

log = logging.getLogger("mkdocs.hooks.links")


class Notebook(File):
    """A notebook as a page: with its outputs where `make notebooks` has executed it as it is."""

    def is_documentation_page(self) -> bool:
        """Whether it becomes a page; a plain File decides by its suffix."""
        return True

    @cached_property
    def content_string(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The notebook in Markdown, with its pictures inside."""
        notebook = nbformat.read(ROOT / self.src_uri, as_version=4)
        path = ROOT / "build" / self.src_uri
        if path.exists():
            executed = nbformat.read(path, as_version=4)
            if _sources(executed) == _sources(notebook):
                notebook = executed
        inside = Config({"ExtractOutputPreprocessor": {"enabled": False}})
        return MarkdownExporter(config=inside).from_notebook_node(notebook)[0]


def _sources(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the repository's documents to those in pages/."""
    for path in sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern)):
        if path.is_file():
            file_class = Notebook if path.suffix == ".ipynb" else File
            uri = path.relative_to(ROOT).as_posix()
            files.append(file_class(uri, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_content(html: str, page: Page, **_: object) -> None:
    """Warns of links to other sites that cannot be addresses; nothing is fetched."""
    for address in LINK.findall(html):
        scheme, host = urlsplit(address)[:2]
        if scheme in ("", "data"):  # within the site, which MkDocs checks; a notebook's picture
            continue
        if scheme not in ("http", "https") or not HOST.fullmatch(host):
            log.warning(f"Doc file '{page.file.src_uri}' contains a link '{address}': no address")

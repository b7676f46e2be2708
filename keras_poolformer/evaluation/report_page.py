"""The page of a report: its figures, pictures and tables in one HTML file next to them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

PAGE = "index.html"
_STYLE = """\
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
img { max-width: 100%; border-radius: 6px }
table { border-collapse: collapse }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #8884 }
"""


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Args:
        title: Title above it.
        file: CSV file with all its rows.
        header: Names of the columns.
        rows: Values of each line, of which the page may show fewer than the file.
    """

    title: str
    file: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


def write_page(
    folder: Path, summary: str, pictures: Iterable[tuple[str, str]], tables: Iterable[Table]
) -> None:
    """Writes index.html, which needs nothing but the files next to it.

    Args:
        folder: Folder of the report.
        summary: Figures of all classes together, as one line.
        pictures: (title, PNG file in the folder) pairs.
        tables: Tables below the pictures.
    """
    parts = [
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{escape(summary)}</title>",
        f"<style>\n{_STYLE}</style>",
        f"<h1>Evaluation</h1>\n<p>{escape(summary)}</p>",
    ]
    for title, file in pictures:
        parts.append(f'<h2>{escape(title)}</h2>\n<img src="{escape(file)}" alt="{escape(title)}">')
    parts += [_table(table) for table in tables]
    (folder / PAGE).write_text("\n".join([*parts, "</html>", ""]), encoding="utf-8", newline="\n")


def _table(table: Table) -> str:
    head = _row("th", table.header)
    body = "\n".join(_row("td", values) for values in table.rows)
    link = f'<p><a href="{escape(table.file)}">{escape(table.file)}</a></p>'
    title = f"<h2>{escape(table.title)}</h2>"
    return f"{title}\n{link}\n<table>\n{head}\n{body}\n</table>"


def _row(kind: str, values: Iterable[Any]) -> str:
    cells = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in values)
    return f"<tr>{''.join(f'<{kind}>{escape(cell)}</{kind}>' for cell in cells)}</tr>"

"""Progress bars on stderr: of a terminal, or of a notebook."""

import importlib
import sys
from typing import Any

_SECONDS = 0.5  # between two updates


def progress_bar(purpose: str, done: int, total: int, unit: str, shown: bool = True) -> Any:
    """Returns a bar of tqdm, a widget where a notebook has widgets.

    It is disabled, and only its `write` prints, where nothing can rewrite a line: in a log, in a
    pipe, and in notebooks without ipywidgets.

    Args:
        purpose: What is in progress, to stand before the bar.
        done: Number of units that are done already.
        total: Number of units.
        unit: Name of the unit.
        shown: Whether the bar is shown at all.
    """
    from tqdm import tqdm

    bar: Any = tqdm
    can_show = sys.stderr is not None and sys.stderr.isatty()
    if in_notebook():
        notebook: Any = importlib.import_module("tqdm.notebook")
        can_show = notebook.IProgress is not None  # it has ipywidgets
        bar = notebook.tqdm if can_show else tqdm
    return bar(
        total=total,
        initial=done,
        desc=purpose,
        unit=unit,
        disable=not (shown and can_show),
        file=sys.stderr,
        mininterval=_SECONDS,
        dynamic_ncols=True,
    )


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config

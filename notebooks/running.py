"""Executes a notebook as a reader would, and looks at what it says."""

import re
import subprocess

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter

CELL_TIMEOUT = 300  # seconds
# What may be there: numbered steps, training's first lines, tqdm's bar, epochs; and a line about
# integers that oneDNN prints on CPUs with AVX-512, whatever the network.
PROGRESS = re.compile(
    r"\s*((\[\d+/\d+\] |keras-poolformer train: (?!warning)|training:\s+\d+%\|"
    r"|epoch \d+/\d+, step |E\d+ .*\boneDNN supports DT_\w+ only ).*)?"
)
COLOUR = re.compile(r"\x1b\[[\d;]*m")


def execute(notebook, folder, environment):
    """Executes all cells in a kernel of their own, up to the first error.

    Args:
        notebook: an nbformat notebook, which gets the outputs.
        folder: the kernel's working directory.
        environment: the kernel's environment variables.

    Returns:
        The same notebook.
    """
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_TIMEOUT,
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
    )
    try:
        # What reaches the notebook need not appear in the terminal as well.
        client.execute(env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except CellExecutionError:
        pass  # its outputs tell
    except (CellTimeoutError, DeadKernelError) as error:
        cell = next(one for one in reversed(notebook.cells) if one.get("execution_count"))
        cell.outputs.append(
            nbformat.v4.new_output("error", ename=type(error).__name__, evalue=str(error))
        )
    return notebook


def complaints(notebook):
    """Returns a text for each thing that a reader would frown at.

    Args:
        notebook: an executed one.
    """
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                lines = [f"{output.ename}: {output.evalue}", *output.get("traceback", [])]
                found.append(f"{cell.id}: " + COLOUR.sub("", "\n".join(lines)))
            elif output.get("name") == "stderr":
                lines = re.split(r"[\r\n]", output.text)
                found += [f"{cell.id}: {one}" for one in lines if not PROGRESS.fullmatch(one)]
    return found


def write_pages(notebook, path):
    """Writes an executed notebook, and the same as an HTML page beside it.

    Args:
        notebook: the executed one.
        path: of the .ipynb file to write.
    """
    nbformat.write(notebook, path)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    path.with_suffix(".html").write_text(page, "utf-8", newline="\n")

"""Notebooks as git keeps them: what a person wrote, and nothing of where it was run."""

import nbformat

from keras_poolformer.support.errors import InputError

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def read_notebook(path):
    """Reads a notebook.

    Args:
        path: of the .ipynb file.

    Raises:
        InputError: it is no valid notebook.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (ValueError, nbformat.ValidationError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{path} must be a valid notebook. Received: {reason}") from None
    return notebook


def strip(notebook):
    """Returns the text of a notebook without outputs, counts, and metadata of a machine.

    Cells keep their ids, so that a change of one cell is a change of its lines alone.

    Args:
        notebook: an nbformat notebook, which is changed.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(notebook) + "\n"

"""Folders that tests fill once, however many processes run them."""

import os
import shutil

from filelock import FileLock


def shared_folder(tmp_path_factory, name, fill):
    """A folder of this session of pytest, which the first process that asks for it fills.

    Args:
        tmp_path_factory: The fixture of pytest.
        name: Name of the folder.
        fill: Function that writes into an empty folder.
    """
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder, filled = root / name, root / f"{name}.filled"
    with FileLock(root / f"{name}.lock"):
        if not filled.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
            folder.mkdir()
            fill(folder)
            filled.touch()
    return folder

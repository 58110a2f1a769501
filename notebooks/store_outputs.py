"""Run the notebooks with profile smoke and store the outputs that nbval compares, and no others.

python notebooks/store_outputs.py [NOTEBOOK ...]
"""

import os
import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat


def store(path: Path) -> None:
    """Run one notebook and write it back with the outputs of its cells tagged `nbval-check-output`."""
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": path.parent}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        # nbval wants a compared cell to have a count; the others are stored as if they never ran.
        if cell.cell_type == "code" and "nbval-check-output" not in cell.metadata.get("tags", []):
            cell.execution_count, cell.outputs = None, []
    notebook.metadata.get("language_info", {}).clear()
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)
    print(f"stored {path}")


if __name__ == "__main__":
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"VITAE_PROFILE": "smoke", "VITAE_HOME": home}
        os.environ.pop("VITAE_DATA", None)
        for name in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(here.glob("*.ipynb")):
            store(name)

"""Execute a notebook with papermill and remove everything from it that differs between two runs.

python book/execute.py notebooks/mnist.ipynb book/notebooks/mnist.ipynb --profile quick

papermill stores dates, durations and random identifiers; without them an unchanged notebook gives an unchanged file.
The target is written only after the whole notebook has run.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import nbformat
import papermill

from vitae.support.files import write_text


def without_run_metadata(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove metadata that changes from run to run, hide the injected parameters, and number the cells' ids."""
    parameters = notebook.metadata.pop("papermill", {}).get("parameters", {})
    notebook.metadata.pop("widgets", None)
    notebook.metadata.setdefault("vitae", {})["parameters"] = parameters
    for number, cell in enumerate(notebook.cells):
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        cell["id"] = f"cell-{number}"
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"].append("remove-cell")
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--profile", required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            papermill.execute_notebook(
                arguments.source,
                Path(folder) / "executed.ipynb",
                {"profile": arguments.profile},
                progress_bar=False,
                kernel_name="python3",
            )
        except papermill.PapermillExecutionError as error:
            sys.exit(f"{arguments.source} failed in cell {error.cell_index}: {error.ename}: {error.evalue}")
        executed = without_run_metadata(nbformat.read(Path(folder) / "executed.ipynb", as_version=4))
    write_text(arguments.target, nbformat.writes(executed) + "\n")


if __name__ == "__main__":
    main()

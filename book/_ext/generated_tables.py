"""Tables that pages need not type: `{status}`, how each notebook ran, and `{budgets}`, how long profile full trains."""

import csv
import json
import platform
import re
from importlib.metadata import version
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from vitae import configure
from vitae.experiments.declaration import EXPERIMENTS
from vitae.experiments.records import read_record
from vitae.support import paths
from vitae.support.provenance import commit

# Where Snakemake's `benchmark` writes, relative to the folder of the book.
_SECONDS = Path("../build/seconds")
_PACKAGES = ("torch", "numpy", "scikit-learn", "numba", "matplotlib", "papermill")


class Status(SphinxDirective):
    """A table of notebooks with profile, seconds and memory, then versions, platform and commit."""

    def run(self) -> list[nodes.Node]:
        folder = Path(self.env.srcdir)
        rows = [["notebook", "profile", "seconds", "memory, MB"]]
        for path in sorted((folder / "notebooks").glob("*.ipynb")):
            metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
            profile = metadata.get("vitae", {}).get("parameters", {}).get("profile", "")
            measured = folder / _SECONDS / profile / f"run notebook {path.stem}"
            seconds = memory = "not measured"
            if measured.exists():
                with measured.open() as lines:
                    row = next(csv.DictReader(lines, delimiter="\t"))
                seconds = f"{float(row['s']):.0f}"
                # Snakemake samples memory every few seconds and writes NA for shorter runs.
                memory = f"{float(row['max_rss']):.0f}" if re.fullmatch(r"[\d.]+", row["max_rss"]) else "not measured"
            rows.append([path.stem, profile, seconds, memory])
        versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
        machine = (
            f"Python {platform.python_version()} on {platform.system()} ({platform.machine()}), {versions}; commit "
        )
        return [table_of(rows), nodes.paragraph("", f"{machine}{commit()}.")]


class Budgets(SphinxDirective):
    """Epochs, batch and steps of each experiment of the pipeline in profile full."""

    def run(self) -> list[nodes.Node]:
        rows = [["dataset", "epochs", "batch", "steps"]]
        for name, each in EXPERIMENTS.items():
            if each.pipeline:
                configuration = configure(name, (each.rows or each.sisters)[0], "full")
                schedule = configuration.schedule
                images = configuration.train_size
                if images is None:
                    # All that there are: those of the committed run.
                    folder = paths.committed_records() / "full" / name
                    images = read_record(folder / f"{configuration.run}.json")["data"]["train"]
                steps = images // schedule.batch * schedule.epochs
                rows.append([each.title, str(schedule.epochs), str(schedule.batch), f"{steps:,}"])
        return [table_of(rows)]


def table_of(rows: list[list[str]]) -> nodes.table:
    """A table, heading first."""

    def row_of(cells):
        return nodes.row("", *(nodes.entry("", nodes.paragraph("", cell)) for cell in cells))

    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in rows[0]), cols=len(rows[0]))
    group += [nodes.thead("", row_of(rows[0])), nodes.tbody("", *map(row_of, rows[1:]))]
    return nodes.table("", group, classes=["table-scroll"])


def _outdated(app, env, added, changed, removed) -> list[str]:
    # The page depends on the executed notebooks' times, which Sphinx does not track.
    return ["status"] if "status" in env.found_docs else []


def setup(app):
    app.add_directive("status", Status)
    app.add_directive("budgets", Budgets)
    app.connect("env-get-outdated", _outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

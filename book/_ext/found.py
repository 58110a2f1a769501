"""What was found, in pages that are no notebooks: `{verdicts}`, from the committed records, and `{status}`, how each
notebook ran."""

import csv
import json
import platform
import re
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.util.docutils import SphinxDirective

from vitae.report import claims
from vitae.support.provenance import commit

# Where Snakemake's `benchmark` writes, seen from the folder of the book.
_SECONDS = Path("../build/seconds")
# How a verdict is said of one claim, and of several.
_VERBS = {
    "holds": ("holds", "hold"),
    "holds in part": ("holds in part", "hold in part"),
    "does not hold": ("does not hold", "do not hold"),
    "undecided": ("is undecided", "are undecided"),
    "not measured": ("is not measured", "are not measured"),
}
_SHOWN_VERSIONS = ("torch", "numpy", "scikit-learn", "numba", "matplotlib", "papermill")


class Verdicts(SphinxDirective):
    """Each claim of the poster with its verdict and a link, and how many there are of which."""

    def run(self) -> list[nodes.Node]:
        found = claims.claims(claims.read())
        counts = Counter(claim.verdict for claim in found)
        said = ", ".join(f"{count} {_VERBS[verdict][count > 1]}" for verdict, count in counts.most_common())
        entries = nodes.bullet_list(classes=["verdicts"])
        for claim in found:
            page = pending_xref(
                "", refdomain="std", reftype="doc", reftarget=f"/notebooks/{claim.page}", refexplicit=True
            )
            page["refdoc"] = self.env.docname
            page += nodes.inline("", claim.sentence)
            badge = nodes.inline("", claim.verdict, classes=["verdict", re.sub(r"\W+", "-", claim.verdict)])
            entries += nodes.list_item("", nodes.paragraph("", "", badge, nodes.Text(" "), page))
        return [nodes.paragraph("", f"Of {len(found)} sentences of the poster that can be tested: {said}."), entries]


class Status(SphinxDirective):
    """A table of notebooks: profile, seconds, memory; then the versions that the book was built with."""

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
                # Snakemake samples memory every few seconds, and writes NA for what is faster.
                memory = f"{float(row['max_rss']):.0f}" if re.fullmatch(r"[\d.]+", row["max_rss"]) else "not measured"
            rows.append([path.stem, profile, seconds, memory])
        versions = ", ".join(f"{name} {version(name)}" for name in _SHOWN_VERSIONS)
        machine = (
            f"Python {platform.python_version()} on {platform.system()} ({platform.machine()}), {versions}; commit "
        )
        return [_table(rows), nodes.paragraph("", f"{machine}{commit()}.")]


def _table(rows: list[list[str]]) -> nodes.table:
    def row_of(cells):
        return nodes.row("", *(nodes.entry("", nodes.paragraph("", cell)) for cell in cells))

    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in rows[0]), cols=len(rows[0]))
    group += [nodes.thead("", row_of(rows[0])), nodes.tbody("", *map(row_of, rows[1:]))]
    return nodes.table("", group, classes=["table-scroll"])


def _outdated(app, env, added, changed, removed) -> list[str]:
    """Pages of which Sphinx cannot see what they are made of."""
    return [name for name in ("index", "status") if name in env.found_docs]


def setup(app):
    app.add_directive("verdicts", Verdicts)
    app.add_directive("status", Status)
    app.connect("env-get-outdated", _outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

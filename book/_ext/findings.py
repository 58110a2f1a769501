"""The directive `{findings}`: what was found so far, from the committed records."""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from vitae.report.findings import findings


class Findings(SphinxDirective):
    """A list of sentences with numbers, each with the runs that it rests on."""

    def run(self) -> list[nodes.Node]:
        entries = nodes.bullet_list(classes=["findings"])
        for finding in findings():
            rests_on = nodes.inline("", f" ({finding.basis})", classes=["basis"])
            entries += nodes.list_item("", nodes.paragraph("", "", nodes.Text(finding.sentence), rests_on))
        return [entries]


def setup(app):
    # The page is read again with that of the verdicts.
    app.add_directive("findings", Findings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

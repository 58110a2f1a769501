"""The directive `{verdicts}`: the poster's claims with the verdicts that follow from the committed records."""

import re
from collections import Counter

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.util.docutils import SphinxDirective

from vitae.report import claims

# Verdict -> the words for one claim and for several.
_VERBS = {
    "holds": ("holds", "hold"),
    "holds in part": ("holds in part", "hold in part"),
    "does not hold": ("does not hold", "do not hold"),
    "undecided": ("is undecided", "are undecided"),
    "no difference that matters": ("shows no difference that matters", "show no difference that matters"),
    "the score cannot tell": ("is beyond what the score can tell", "are beyond what the score can tell"),
    "not trained long enough": ("waits for longer trainings", "wait for longer trainings"),
    "not measured": ("is not measured", "are not measured"),
}


class Verdicts(SphinxDirective):
    """How many claims have which verdict, then each claim with its verdict and a link to its page."""

    def run(self) -> list[nodes.Node]:
        judged = claims.claims(claims.read())
        counts = Counter(claim.verdict for claim in judged)
        summary = ", ".join(f"{count} {_VERBS[verdict][count > 1]}" for verdict, count in counts.most_common())
        entries = nodes.bullet_list(classes=["verdicts"])
        for claim in judged:
            page = pending_xref(
                "", refdomain="std", reftype="doc", reftarget=f"/notebooks/{claim.page}", refexplicit=True
            )
            page["refdoc"] = self.env.docname
            page += nodes.inline("", claim.sentence)
            badge = nodes.inline("", claim.verdict, classes=["verdict", re.sub(r"\W+", "-", claim.verdict)])
            entries += nodes.list_item("", nodes.paragraph("", "", badge, nodes.Text(" "), page))
        return [nodes.paragraph("", f"Of {len(judged)} testable sentences of the poster: {summary}."), entries]


def _outdated(app, env, added, changed, removed) -> list[str]:
    # The page depends on records, which Sphinx does not track.
    return ["index"] if "index" in env.found_docs else []


def setup(app):
    app.add_directive("verdicts", Verdicts)
    app.connect("env-get-outdated", _outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""The reference page: `{modules}` documents every module of a package, `{scores}` lists the registered scores."""

import importlib
import pkgutil

from docutils import nodes
from docutils.statemachine import StringList
from generated_tables import table_of
from sphinx.util.docutils import SphinxDirective

from vitae.evaluation.score import SCORES

# These need a compiler or a GPU to be imported, and have no public names.
_SKIPPED = ("vitae.transforms.kernels.cpu", "vitae.transforms.kernels.gpu")


class Modules(SphinxDirective):
    """The documentation of a package and of every module in it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        package = importlib.import_module(self.arguments[0])
        lines = [f".. automodule:: {package.__name__}", ""]
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name not in _SKIPPED:
                # What a package imports is documented where it is defined.
                lines += [
                    f".. rubric:: {module.name}",
                    "",
                    f".. automodule:: {module.name}",
                    *["   :members:"] * (not module.ispkg),
                    "",
                ]
        container = nodes.section()
        container.document = self.state.document
        self.state.nested_parse(StringList(lines, source=__file__), self.content_offset, container, match_titles=True)
        return container.children


class Scores(SphinxDirective):
    """A table of the registered scores: name, columns, what each column asks, version."""

    def run(self) -> list[nodes.Node]:
        rows = [["score", "column", "what it asks", "version"]]
        for name, score in SCORES.items():
            rows += [[name, column.heading, column.asks, str(score.version)] for column in score.columns]
        return [table_of(rows)]


def setup(app):
    app.add_directive("modules", Modules)
    app.add_directive("scores", Scores)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""The demonstrations: their scripts and data into the book, and onto the pages that have some.

Not through `_static`, of which Jupyter Book puts every script on every page.
"""

from pathlib import Path

from sphinx.util.fileutil import copy_asset

_SCRIPTS = ("transform", "network", "stage", "pads", "digit", "field", "sheets")
# What book/play.py wrote, seen from the folder of the book.
_DATA = Path("../build/play")


def _copy(app, error) -> None:
    if error is None and app.builder.format == "html":
        source, target = Path(app.srcdir), Path(app.outdir) / "_static" / "play"
        copy_asset(str(source / "_play"), str(target))
        copy_asset(str(source / _DATA), str(target / "data"))


def _add(app, pagename, templatename, context, doctree) -> None:
    if "data-demo=" in context.get("body", ""):
        app.add_css_file("play/play.css")
        for name in _SCRIPTS:
            app.add_js_file(f"play/{name}.js", loading_method="defer")


def setup(app):
    app.connect("build-finished", _copy)
    app.connect("html-page-context", _add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

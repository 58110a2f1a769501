"""Interactive demonstrations: copy their scripts and data into the book, and load the scripts on pages that have any.

The scripts are not in `_static`, because Jupyter Book loads every script there on every page.
"""

from pathlib import Path

from sphinx.util.fileutil import copy_asset

_SCRIPTS = ("transform", "network", "stage", "pads", "digit", "field", "sheets")
# The output of book/play.py, relative to the folder of the book.
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

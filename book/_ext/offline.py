"""Make the book readable without a network: MathJax from the book itself, and no script from elsewhere.

Three things load from a CDN by default: MathJax, the widget scripts (switched off in `_config.yml`) and thebe, whose
launch buttons this book does not have.
"""

from importlib import util
from pathlib import Path

from sphinx.util.fileutil import copy_asset

# The wheel holds all of MathJax, 24 MB; a page needs what reads and sets formulas, half of the one that has all.
_SCRIPT = "startup.js"
_EXTENSIONS = tuple(f"input/tex/extensions/{name}" for name in ("ams", "newcommand", "configmacros"))
_PARTS = ("core", "input/tex-base", *_EXTENSIONS, "output/chtml")
_FONTS = "output/chtml/fonts"


def _mathjax() -> Path:
    # The wheel's folder is called sphinx-mathjax-offline, which no import statement can name.
    found = util.find_spec("sphinx-mathjax-offline")
    if found is None:
        raise RuntimeError("MathJax comes with the package sphinx-mathjax-offline: install requirements.lock.")
    return Path(found.submodule_search_locations[0]) / "static" / "mathjax"


def _copy(app, error) -> None:
    if error is None and app.builder.format == "html":
        target = Path(app.outdir) / "_static" / "mathjax"
        for name in (_SCRIPT, *(f"{part}.js" for part in _PARTS)):
            copy_asset(str(_mathjax() / name), str((target / name).parent))
        copy_asset(str(_mathjax() / _FONTS), str(target / _FONTS))


def _without_thebe(app, pagename, templatename, context, doctree) -> None:
    # thebe's configuration script is added twice, and the second throws on every page.
    def is_thebe(script) -> bool:
        return "thebe" in str(getattr(script, "filename", None)) or "THEBE" in str(getattr(script, "attributes", ""))

    context["script_files"] = [script for script in context.get("script_files", []) if not is_thebe(script)]


def setup(app):
    app.config.mathjax_path = f"mathjax/{_SCRIPT}"
    app.connect("build-finished", _copy)
    app.connect("html-page-context", _without_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

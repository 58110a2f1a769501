"""Make the book readable without a network: MathJax is served from the book itself, and thebe is removed.

By default three things load from a CDN: MathJax, widget scripts (switched off in `_config.yml`) and thebe, which runs
code in the browser and which this book does not use.
"""

from importlib import util
from pathlib import Path

from sphinx.util.fileutil import copy_asset

# The wheel holds all of MathJax, 24 MB. These parts suffice for TeX, and have half the size of the combined script.
_SCRIPT = "startup.js"
_EXTENSIONS = tuple(f"input/tex/extensions/{name}" for name in ("ams", "newcommand", "configmacros"))
_PARTS = ("core", "input/tex-base", *_EXTENSIONS, "output/chtml")
_FONTS = "output/chtml/fonts"


def _mathjax() -> Path:
    # An import statement cannot name the package's folder, sphinx-mathjax-offline.
    spec = util.find_spec("sphinx-mathjax-offline")
    if spec is None:
        raise RuntimeError("the book needs the package sphinx-mathjax-offline: install requirements.lock.")
    return Path(spec.submodule_search_locations[0]) / "static" / "mathjax"


def _copy(app, error) -> None:
    if error is None and app.builder.format == "html":
        target = Path(app.outdir) / "_static" / "mathjax"
        for name in (_SCRIPT, *(f"{part}.js" for part in _PARTS)):
            copy_asset(str(_mathjax() / name), str((target / name).parent))
        copy_asset(str(_mathjax() / _FONTS), str(target / _FONTS))


def _without_thebe(app, pagename, templatename, context, doctree) -> None:
    # thebe's configuration script is added twice, and the second one raises an error on every page.
    def is_thebe(script) -> bool:
        return "thebe" in str(getattr(script, "filename", None)) or "THEBE" in str(getattr(script, "attributes", ""))

    context["script_files"] = [script for script in context.get("script_files", []) if not is_thebe(script)]


def setup(app):
    app.config.mathjax_path = f"mathjax/{_SCRIPT}"
    app.connect("build-finished", _copy)
    app.connect("html-page-context", _without_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

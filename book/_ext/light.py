"""Leave out of each page what it does not need: scripts of formulas where there are none, the search's index where
nothing is searched, and the icons that the theme brings and nobody sees, a megabyte and a half of them.
"""

import re
from pathlib import Path

# The theme has every icon twice, as a script and as a font; the font is enough, and so are the names that are used.
_ICONS_SCRIPT = re.compile(r"\s*<script[^>]*scripts/fontawesome\.js[^>]*></script>")
_ICON = re.compile(r"((?:\.fa-[a-z0-9-]+:before,?)+)\{content:[^}]*\}")
_SEARCH = re.compile(r'\s*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js"></script>')
# A role that browsers dropped; these entries stand in lists.
_ENTRY = ('role="doc-biblioentry"', 'role="listitem"')


def _without_formulas(app, pagename, templatename, context, doctree) -> None:
    def of_formulas(script) -> bool:
        stated = f"{getattr(script, 'filename', '')} {getattr(script, 'attributes', '')}"
        return "mathjax" in stated.lower()

    if 'class="math' not in context.get("body", ""):
        context["script_files"] = [one for one in context.get("script_files", []) if not of_formulas(one)]


def _rewrite(path: Path, text: str, lighter: str) -> None:
    if lighter != text:
        path.write_text(lighter, encoding="utf-8")


def _trim(app, error) -> None:
    if error is not None or app.builder.format != "html":
        return
    root, used = Path(app.outdir), set()
    for path in root.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        used |= set(re.findall(r"\bfa-[a-z0-9-]+", page))
        lighter = _ICONS_SCRIPT.sub("", page).replace(*_ENTRY)
        _rewrite(path, page, lighter if path.stem == "search" else _SEARCH.sub("", lighter))
    for path in (root / "_static/scripts").glob("*.js"):
        if path.stem != "fontawesome":
            used |= set(re.findall(r"\bfa-[a-z0-9-]+", path.read_text(encoding="utf-8")))
    for path in (root / "_static/styles").glob("*.css"):
        style = path.read_text(encoding="utf-8")
        kept = _ICON.sub(lambda rule: rule[0] if used & set(re.findall(r"fa-[a-z0-9-]+", rule[1])) else "", style)
        _rewrite(path, style, kept)


def setup(app):
    # After Sphinx has decided about MathJax.
    app.connect("html-page-context", _without_formulas, priority=950)
    app.connect("build-finished", _trim)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

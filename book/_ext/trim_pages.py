"""Make pages smaller: remove MathJax from pages without formulas, the search index from all but the search page, and
the theme's unused icons, 1.5 MB.
"""

import re
from pathlib import Path

# The theme has every icon twice, as a script and as a font. The font suffices, with the rules of the icons in use.
_ICONS_SCRIPT = re.compile(r"\s*<script[^>]*scripts/fontawesome\.js[^>]*></script>")
_ICON = re.compile(r"((?:\.fa-[a-z0-9-]+:before,?)+)\{content:[^}]*\}")
_SEARCH = re.compile(r'\s*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js"></script>')
# Browsers no longer support the first role; bibliography entries are list items.
_ENTRY = ('role="doc-biblioentry"', 'role="listitem"')


def _without_formulas(app, pagename, templatename, context, doctree) -> None:
    def is_mathjax(script) -> bool:
        description = f"{getattr(script, 'filename', '')} {getattr(script, 'attributes', '')}"
        return "mathjax" in description.lower()

    if 'class="math' not in context.get("body", ""):
        context["script_files"] = [each for each in context.get("script_files", []) if not is_mathjax(each)]


def _replace(path: Path, old: str, new: str) -> None:
    if new != old:
        path.write_text(new, encoding="utf-8")


def _trim(app, error) -> None:
    if error is not None or app.builder.format != "html":
        return
    root, used = Path(app.outdir), set()
    for path in root.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        used |= set(re.findall(r"\bfa-[a-z0-9-]+", page))
        trimmed = _ICONS_SCRIPT.sub("", page).replace(*_ENTRY)
        _replace(path, page, trimmed if path.stem == "search" else _SEARCH.sub("", trimmed))
    for path in (root / "_static/scripts").glob("*.js"):
        if path.stem != "fontawesome":
            used |= set(re.findall(r"\bfa-[a-z0-9-]+", path.read_text(encoding="utf-8")))
    for path in (root / "_static/styles").glob("*.css"):
        style = path.read_text(encoding="utf-8")
        trimmed = _ICON.sub(lambda rule: rule[0] if used & set(re.findall(r"fa-[a-z0-9-]+", rule[1])) else "", style)
        _replace(path, style, trimmed)


def setup(app):
    # After Sphinx has added MathJax.
    app.connect("html-page-context", _without_formulas, priority=950)
    app.connect("build-finished", _trim)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

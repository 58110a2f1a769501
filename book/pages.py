"""The pages of the book, as `_toc.yml` names them, and a check that a built book has them all.

`python book/pages.py PROFILE` checks the built book: every page, every figure and its manifest, and no address from
which a page would load something. It prints what is missing and exits with 1 if anything is.
"""

import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
# Drawn from records of profile full whatever the profile of the book; the second kind, by papermill with another seed.
_FULL_ONLY = re.compile(r"quantitative-|.*-seed\d+[.]json$")
# A directive that was printed instead of being run.
_UNRENDERED = re.compile(r"<p>(\.\. [\w:-]+::|\{[\w-]+\})")
_LOADS = re.compile(r"<script[^>]+src=\"https?://|<link[^>]+(stylesheet|preload)[^>]+href=\"https?://")


def pages(entries: dict | None = None) -> list[str]:
    """Every page below some entries of the table of contents, by default all of it, as paths without extension."""
    if entries is None:
        entries = yaml.safe_load((ROOT / "book/_toc.yml").read_text(encoding="utf-8"))
    found = [entries[key] for key in ("root", "file") if key in entries]
    for key in ("parts", "chapters", "sections"):
        for entry in entries.get(key, []):
            found += pages(entry)
    return found


def figures(profile: str) -> set[str]:
    """The manifests of the figures that a book of a profile must have: those it drew, and those of profile full."""
    drawn, full = ({path.name for path in (ROOT / "figures" / name).glob("*.json")} for name in (profile, "full"))
    return drawn | {name for name in full if not _FULL_ONLY.match(name)}


def problems(profile: str) -> list[str]:
    """What a built book lacks, a line each."""
    html, folder, found = ROOT / "book/_build/html", ROOT / "figures" / profile, []
    for page in pages():
        if not (html / f"{page}.html").is_file():
            found.append(f"missing page: {page}")
        notebook = ROOT / "book" / f"{page}.ipynb"
        draws = notebook.is_file() and "maker.show(" in notebook.read_text(encoding="utf-8")
        if draws and not [*folder.glob(f"{notebook.stem}-*.json"), *(ROOT / "figures/full").glob(f"{notebook.stem}-*")]:
            found.append(f"no figure of page: {page}")
    for manifest in sorted(figures(profile)):
        pictures = [path for path in folder.glob(f"{manifest.removesuffix('json')}*") if path.suffix != ".json"]
        if not (folder / manifest).is_file() or not any(path.stat().st_size for path in pictures):
            found.append(f"missing figure: figures/{profile}/{manifest.removesuffix('.json')}")
    for path in sorted(html.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        for pattern, problem in ((_LOADS, "loads something from elsewhere"), (_UNRENDERED, "prints a directive")):
            if pattern.search(text):
                found.append(f"{problem}: {path.relative_to(ROOT)}")
    return found


if __name__ == "__main__":
    lines = problems(sys.argv[1])
    print("\n".join(lines), file=sys.stderr)
    sys.exit(bool(lines))

"""Print the bytes that each page of the built book loads, and warn about pages over their budget.

python book/page_weights.py

A page's weight is that of the HTML file with its scripts, style sheets and pictures; fonts, and what scripts load later
on, are not counted. Weights depend on the book's profile, so no test checks them: run this before a release.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

HTML = Path(__file__).resolve().parent / "_build" / "html"
# Bytes. The first page must be light, for visitors with a slow connection.
BUDGET, BUDGETS = 3_000_000, {"index.html": 1_500_000}
# Of the scripts that the page `play` loads when a reader comes near a demonstration.
SCRIPT_BUDGETS = {"*-decoders.js": 800_000, "*-encoders.js": 1_600_000}


class _Resources(HTMLParser):
    """The addresses of the scripts, style sheets and pictures of a page."""

    def __init__(self):
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attributes):
        stated = dict(attributes)
        if tag in ("script", "img") and stated.get("src"):
            self.addresses.append(stated["src"])
        elif tag == "link" and "stylesheet" in (stated.get("rel") or "") and stated.get("href"):
            self.addresses.append(stated["href"])


def weight(page: Path) -> int:
    """Bytes of a page with the local files that it refers to, each counted once."""
    resources = _Resources()
    resources.feed(page.read_text(encoding="utf-8"))
    parts = [urlsplit(address) for address in resources.addresses]
    files = {(page.parent / unquote(part.path)).resolve() for part in parts if not part.scheme and not part.netloc}
    return page.stat().st_size + sum(file.stat().st_size for file in files if file.is_file())


def weights(html: Path) -> list[tuple[str, int, int]]:
    """(Page or script, bytes, budget) of a built book, the heaviest first."""
    pages = {page.relative_to(html) for page in html.rglob("*.html")}
    found = [
        (str(page), weight(html / page), BUDGETS.get(str(page), BUDGET)) for page in pages if page.parts[0][0] != "_"
    ]
    for pattern, budget in SCRIPT_BUDGETS.items():
        for script in (html / "_static/play/data").glob(pattern):
            found.append((str(script.relative_to(html)), script.stat().st_size, budget))
    return sorted(found, key=lambda row: -row[1])


def main() -> None:
    if not HTML.exists():
        sys.exit(f"there is no book at {HTML}: run `make book` first.")
    for name, size, budget in weights(HTML):
        warning = f"  warning: over its budget of {budget / 1e6:.1f} MB" if size > budget else ""
        print(f"{size / 1e6:6.2f} MB  {name}{warning}")


if __name__ == "__main__":
    main()

"""Print an HTML page as a PDF by a browser: `make pdf` does so with the whole book on one page.

python book/pdf.py build/single/_build/singlehtml/index.html book/_build/vitae.pdf

`$CHROMIUM` names another browser than /usr/bin/chromium.
"""

import argparse
import os
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from vitae.support.files import write_bytes

_MARGINS = {"top": "16mm", "bottom": "18mm", "left": "15mm", "right": "15mm"}
_FOOT = '<div style="font-size: 8px; width: 100%; text-align: center"><span class="pageNumber"></span></div>'


def printed(page: Path) -> bytes:
    """A PDF, A4 with page numbers and an outline, of a page of HTML once its formulas are set.

    Raises:
        SystemExit: there is no browser, or no such page.
    """
    chromium = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
    if not chromium.exists():
        sys.exit(f"there is no browser at {chromium}: install Debian's chromium, or name one by $CHROMIUM.")
    if not page.exists():
        sys.exit(f"there is no {page}: build the book first, or let `make pdf` do both.")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.set_default_timeout(300_000)  # the whole book is many formulas
        opened.goto(page.resolve().as_uri())
        if opened.locator("script[src*=mathjax]").count():
            opened.wait_for_function("window.MathJax?.startup?.promise")
            opened.evaluate("MathJax.startup.promise")
        opened.emulate_media(media="print", color_scheme="light")
        paper = opened.pdf(
            format="A4",
            scale=0.85,
            margin=_MARGINS,
            print_background=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=_FOOT,
            outline=True,
            tagged=True,
        )
        browser.close()
    return paper


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("pdf", type=Path)
    arguments = parser.parse_args()
    write_bytes(arguments.pdf, printed(arguments.page))

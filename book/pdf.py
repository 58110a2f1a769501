"""Print an HTML page as a PDF with Chromium; `make pdf` does so with the whole book on one page.

python book/pdf.py build/single/_build/singlehtml/index.html book/_build/vitae.pdf

`$CHROMIUM` is the browser, by default /usr/bin/chromium.
"""

import argparse
import os
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from vitae.support.files import write_bytes

_MARGINS = {"top": "16mm", "bottom": "18mm", "left": "15mm", "right": "15mm"}
_FOOTER = '<div style="font-size: 8px; width: 100%; text-align: center"><span class="pageNumber"></span></div>'


def printed(page: Path) -> bytes:
    """An HTML page as a PDF: A4, with page numbers, an outline and typeset formulas.

    Raises:
        SystemExit: the browser or the page does not exist.
    """
    chromium = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
    if not chromium.exists():
        sys.exit(f"there is no browser at {chromium}: install Debian's chromium, or set $CHROMIUM.")
    if not page.exists():
        sys.exit(f"there is no page {page}: build the book first, or run `make pdf`.")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.set_default_timeout(300_000)  # the whole book has many formulas
        tab.goto(page.resolve().as_uri())
        if tab.locator("script[src*=mathjax]").count():
            tab.wait_for_function("window.MathJax?.startup?.promise")
            tab.evaluate("MathJax.startup.promise")
        tab.emulate_media(media="print", color_scheme="light")
        paper = tab.pdf(
            format="A4",
            scale=0.85,
            margin=_MARGINS,
            print_background=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=_FOOTER,
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

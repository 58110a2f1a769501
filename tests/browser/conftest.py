"""Tests of the built book in the system's Chromium, driven by playwright; nothing is downloaded.

    make book PROFILE=smoke && .venv/bin/python -m pytest tests/browser

`$CHROMIUM` is the browser, by default /usr/bin/chromium. Without a browser or a built book these tests are skipped;
with `VITAE_BROWSER=required`, as in CI, that is an error.
"""

import functools
import http.server
import os
import threading
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "book/_build/html"
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync")
_FILES = (path.relative_to(HTML) for path in HTML.rglob("*.html"))
PAGES = sorted(str(path) for path in _FILES if not path.parts[0].startswith("_"))


def pytest_collection_modifyitems(items):
    missing = None
    if not CHROMIUM.exists():
        missing = f"there is no browser at {CHROMIUM}: install Debian's chromium, or set $CHROMIUM"
    elif not PAGES:
        missing = "the book is not built: run make book"
    if missing and os.environ.get("VITAE_BROWSER") == "required":
        raise pytest.UsageError(f"$VITAE_BROWSER is required, and {missing}.")
    for item in items:
        if missing and Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.skip(reason=missing))


# A guard against hanging, not a measure of speed, in milliseconds.
TIMEOUT = 300_000


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def address():
    """The address at which the book is served."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=HTML)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, address):
    """A function that opens a page; `page.complaints` collects errors, warnings and requests to other sites."""
    contexts = []

    def open_page(name: str, *, width: int = 1300, from_folder: bool = False, **settings):
        context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
        context.set_default_timeout(TIMEOUT)
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        base = HTML.as_uri() if from_folder else address

        def requested(request):
            if not request.url.startswith((base, "data:", "blob:")):
                page.complaints.append(f"request to another site: {request.url}")

        page.on("request", requested)
        page.on("requestfailed", lambda request: page.complaints.append(f"failed: {request.url}"))

        def responded(response):
            if response.status >= 400:
                page.complaints.append(f"{response.status}: {response.url}")

        def logged(message):
            if message.type in ("error", "warning"):
                page.complaints.append(f"console: {message.text}")

        page.on("response", responded)
        page.on("console", logged)
        page.on("pageerror", lambda error: page.complaints.append(f"error: {error}"))
        page.goto(f"{base}/{name}")
        return page

    yield open_page
    for context in contexts:
        context.close()

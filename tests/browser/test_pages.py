"""Every page loads from the book alone, without errors, with typeset formulas, valid links and described pictures, and
is accessible by axe's rules."""

import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

from .conftest import HTML, PAGES, ROOT, TIMEOUT

STATE = r"""() => {
  const images = (isWrong) => [...document.images].filter(isWrong).map((image) => image.src.slice(0, 80));
  return {
    formulas: document.querySelectorAll('.math').length,
    typeset: document.querySelectorAll('mjx-container').length,
    errors: document.querySelectorAll('mjx-merror').length,
    raw: document.querySelector('main').innerText.match(/\\mathcal|\\begin\{|\$[a-z]_/g),
    overflow: document.documentElement.scrollWidth - innerWidth,
    warned: [...document.querySelectorAll('.output.stderr')].map((output) => output.innerText),
    undescribed: images((image) => !image.hasAttribute('alt')),
    broken: images((image) => image.complete && !image.naturalWidth),
  };
}"""


# In a page: sums up layout shifts, and remembers when the largest content was painted.
OBSERVE_LAYOUT = """
  window.observed = { largest: 0, shift: 0 };
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => { observed.largest = entry.startTime; }))
    .observe({ type: 'largest-contentful-paint', buffered: true });
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => { observed.shift += entry.value; }))
    .observe({ type: 'layout-shift', buffered: true });
"""
# Ten megabits per second and 40 ms latency, an average connection at home: content arrives in pieces.
CONNECTION = {"offline": False, "latency": 40, "downloadThroughput": 10e6 / 8, "uploadThroughput": 10e6 / 8}


def wait_for_formulas(page):
    if page.locator("script[src*=mathjax]").count():
        page.wait_for_function("window.MathJax?.startup?.promise")
        page.evaluate("MathJax.startup.promise")


def assert_complete(page):
    wait_for_formulas(page)
    assert page.complaints == []
    state = page.evaluate(STATE)
    assert state["typeset"] >= state["formulas"]
    assert state["errors"] == 0
    assert state["raw"] is None
    assert state["overflow"] <= 0
    assert state["warned"] == []  # warnings of libraries are not for readers
    assert state["undescribed"] == []
    assert state["broken"] == []


def violations(page):
    """Violated accessibility rule -> the first three elements, by axe."""
    broken = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}).response["violations"]
    return {rule["id"]: [node["html"][:160] for node in rule["nodes"]][:3] for rule in broken}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_complete_and_accessible_on_a_desktop_in_light_and_dark_mode(visit, name):
    page = visit(name)
    assert_complete(page)
    assert violations(page) == {}
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-theme=dark]")
    # Colours fade into those of the other mode: jump to the end.
    page.evaluate(
        "document.getAnimations().filter((each) => each instanceof CSSTransition).forEach((each) => each.finish())"
    )
    assert violations(page) == {}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_complete_on_a_phone(visit, name):
    assert_complete(visit(name, width=390))


@pytest.mark.parametrize("name", ["index.html", "notebooks/play.html", "notebooks/mnist.html"])
def test_content_does_not_move_while_a_page_loads(browser, address, name):
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.set_default_timeout(TIMEOUT)
    page.add_init_script(OBSERVE_LAYOUT)
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", CONNECTION)
    page.goto(f"{address}/{name}")
    page.wait_for_function("observed.largest > 0")
    wait_for_formulas(page)
    page.wait_for_timeout(500)
    shift = page.evaluate("observed.shift")
    page.context.close()
    # Typeset formulas move the lines around them a little; figures and demonstrations have their space reserved.
    assert shift < 0.1


def test_figures_replace_demonstrations_in_print(visit):
    page = visit("notebooks/play.html")
    page.emulate_media(media="print")
    stills = page.locator(".demo .still img")
    assert stills.count() == page.locator("[data-demo]").count() > 0
    for still in stills.all():
        assert still.bounding_box()["width"] > 300
    assert not page.locator(".demo .live").first.is_visible()


def test_a_printed_page_has_its_text_and_an_outline(tmp_path):
    """One page stands for the book, which `make pdf` prints in the same way in a minute."""
    subprocess.run([sys.executable, ROOT / "book/pdf.py", HTML / "model.html", tmp_path / "model.pdf"], check=True)
    paper = (tmp_path / "model.pdf").read_bytes()
    assert paper.startswith(b"%PDF")
    assert 2 <= paper.count(b"/Type /Page\n") < 20
    assert b"(The generative story)" in paper


def test_folded_code_is_not_printed(visit):
    page = visit("notebooks/mnist.html")
    cells = page.locator("details.above-input")
    assert cells.count() > 0
    assert all(cell.is_visible() for cell in cells.all())
    page.emulate_media(media="print")
    assert not any(cell.is_visible() for cell in cells.all())


class _Anchors(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.names = [], set()

    def handle_starttag(self, tag, attributes):
        stated = dict(attributes)
        self.names |= {stated[key] for key in ("id", "name") if stated.get(key)}
        self.links += [stated[key] for key in ("href", "src") if stated.get(key)]


@pytest.fixture(scope="session")
def anchors():
    by_page = {}
    for name in PAGES:
        by_page[name] = _Anchors()
        by_page[name].feed((HTML / name).read_text(encoding="utf-8"))
    return by_page


@pytest.mark.parametrize("name", PAGES)
def test_links_within_the_book_lead_somewhere(anchors, name):
    dead = []
    for link in anchors[name].links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = ((HTML / name).parent / unquote(parts.path)).resolve() if parts.path else HTML / name
        if not target.exists():
            dead.append(link)
        elif parts.fragment and target.suffix == ".html":
            page = str(target.relative_to(HTML))
            if page in anchors and unquote(parts.fragment) not in anchors[page].names:
                dead.append(link)
    assert dead == []


def test_the_search_works_from_a_folder(visit):
    page = visit("search.html?q=diffeomorphic", from_folder=True)
    page.wait_for_selector("#search-results li a")
    assert page.complaints == []


@pytest.mark.parametrize("name", ["index.html", "notebooks/play.html"])
def test_a_page_opens_from_a_folder(visit, name):
    page = visit(name, from_folder=True)
    wait_for_formulas(page)
    page.wait_for_load_state("networkidle")
    assert page.complaints == []

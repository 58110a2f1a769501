"""Every page: nothing from elsewhere, no error, formulas set, links alive, pictures described, light, accessible."""

import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

from .conftest import HTML, PAGES, ROOT

LARGEST, LARGEST_FIRST = 3_000_000, 1_500_000
SEEN = r"""() => {
  const images = (wrong) => [...document.images].filter(wrong).map((image) => image.src.slice(0, 80));
  return {
    formulas: document.querySelectorAll('.math').length,
    set: document.querySelectorAll('mjx-container').length,
    errors: document.querySelectorAll('mjx-merror').length,
    raw: document.querySelector('main').innerText.match(/\\mathcal|\\begin\{|\$[a-z]_/g),
    overflow: document.documentElement.scrollWidth - innerWidth,
    warned: [...document.querySelectorAll('.output.stderr')].map((output) => output.innerText),
    undescribed: images((image) => !image.hasAttribute('alt')),
    broken: images((image) => image.complete && !image.naturalWidth),
  };
}"""


def settle(page):
    """Wait until formulas are set."""
    if page.locator("script[src*=mathjax]").count():
        page.wait_for_function("window.MathJax?.startup?.promise")
        page.evaluate("MathJax.startup.promise")


def assert_whole(page):
    settle(page)
    assert page.complaints == []
    found = page.evaluate(SEEN)
    assert found["set"] >= found["formulas"]
    assert found["errors"] == 0
    assert found["raw"] is None
    assert found["overflow"] <= 0
    assert found["warned"] == []  # what a library has to say to the programmer is not for readers
    assert found["undescribed"] == []
    assert found["broken"] == []


def violations(page):
    """What axe has to say, by rule, with the first three elements."""
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}).response["violations"]
    return {one["id"]: [node["html"][:160] for node in one["nodes"]][:3] for one in found}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_at_a_desk_by_day_and_night(visit, name):
    page = visit(name)
    assert_whole(page)
    weights = {loaded: (HTML / unquote(loaded)).stat().st_size for loaded in page.loaded}
    heaviest = sorted(weights, key=weights.get)[-3:]
    limit = LARGEST_FIRST if name == "index.html" else LARGEST
    assert sum(weights.values()) < limit, {loaded: weights[loaded] for loaded in heaviest}
    assert violations(page) == {}
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-theme=dark]")
    page.wait_for_timeout(400)  # colours change over a fraction of a second
    assert violations(page) == {}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_on_a_phone(visit, name):
    assert_whole(visit(name, width=390))


def test_on_paper_figures_stand_for_demonstrations(visit):
    page = visit("notebooks/play.html")
    page.emulate_media(media="print")
    stills = page.locator(".demo .still img")
    assert stills.count() == page.locator("[data-demo]").count() > 0
    for still in stills.all():
        assert still.bounding_box()["width"] > 300
    assert not page.locator(".demo .live").first.is_visible()


def test_a_page_as_a_pdf_has_its_text_and_its_outline(tmp_path):
    """The whole book takes a minute, and `make pdf` prints it in the same way."""
    subprocess.run([sys.executable, ROOT / "book/pdf.py", HTML / "model.html", tmp_path / "model.pdf"], check=True)
    paper = (tmp_path / "model.pdf").read_bytes()
    assert paper.startswith(b"%PDF")
    assert 2 <= paper.count(b"/Type /Page\n") < 20
    assert b"(The generative story)" in paper


def test_paper_shows_no_folded_code(visit):
    page = visit("notebooks/mnist.html")
    folded = page.locator("details.above-input")
    assert folded.count() > 0
    assert all(one.is_visible() for one in folded.all())
    page.emulate_media(media="print")
    assert not any(one.is_visible() for one in folded.all())


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
    found = {}
    for name in PAGES:
        found[name] = _Anchors()
        found[name].feed((HTML / name).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", PAGES)
def test_no_link_is_dead(anchors, name):
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
    settle(page)
    page.wait_for_load_state("networkidle")
    assert page.complaints == []

"""Users' text on pages: whatever a name is, the book's renderer makes text of it and no element."""

import ast
import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from docutils.core import publish_parts
from example_record import example_record
from IPython.display import Markdown
from myst_parser.docutils_ import Parser
from PIL import Image

from vitae.report import tables
from vitae.support.markup import Markup, escaped, markdown_table

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "a | b || c",
    "a\\| b \\",
    "{download}`x</etc/passwd>`",
    "{raw} html",
    "`code` ``more``",
    "[link](javascript:alert(1)) ![image](x) [^1]",
    "**bold** __bold__ *i* _i_ ~~gone~~",
    "$x$ $$y$$ \\begin{equation}",
    "&lt;b&gt; &amp;",
    "first\n\n# heading\n\n```{raw} html\n<b>x</b>\n```",
    "line\r\n- item\x00\x1b[31m",
    "<!-- comment",
    "{{ name }} %{x}",
    "http://example.org <http://example.org>",
]


class _Shape(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, attributes))

    def handle_comment(self, data):
        self.elements.append(("comment", data))

    def handle_data(self, data):
        self.text += data


def rendered(markdown):
    """A Markdown output as the book shows it: MyST with the book's extensions and raw HTML."""
    settings = {
        "myst_enable_extensions": ["amsmath", "colon_fence", "dollarmath", "deflist", "tasklist"],
        "raw_enabled": True,
        "report_level": 5,
        "smart_quotes": False,
    }
    return _Shape(publish_parts(markdown, parser=Parser(), writer_name="html5", settings_overrides=settings)["body"])


def seen(text):
    """What a reader sees of a text: in one line."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text).split())


PLACES = {
    "cell": lambda text: markdown_table([["factor", "kind"], [text, "class"], ["y", text]]),
    "heading of a column": lambda text: markdown_table([[text, text], ["1", "2"]]),
    "sentence": lambda text: f"**Made of** images ({escaped(text)}), and {escaped(text)}.",
    "bold": lambda text: f"Of **{escaped(text)}**: x",
    "table and caption": lambda text: tables.as_markdown([["model", text], ["VAE", "0.5 ± 0.1"]], f"From {text}."),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", HOSTILE)
def test_no_element_is_made_of_a_users_text(text, place):
    plain, hostile = rendered(PLACES[place]("name")), rendered(PLACES[place](text))
    assert hostile.elements == plain.elements
    assert seen(text) in seen(hostile.text)


def test_the_renderer_of_this_test_would_make_elements():
    made = [tag for tag, _ in rendered("x <script>alert(1)</script> *x*").elements]
    assert {"script", "em"} <= set(made)


def test_markdown_of_our_own_stays():
    assert escaped(Markup("**0.5**")) == "**0.5**"
    assert escaped("z_A, 95%: -271.1 (x)") == r"z\_A, 95%: -271.1 (x)"
    assert ("strong", []) in rendered(tables.as_markdown([["model", "D"], ["VAE", Markup("**0.5**")]])).elements


def test_a_table_of_records_shows_a_hostile_place_as_text():
    record = example_record()
    record["data"]["location"] = f"3 images of your own, {HOSTILE[0]}"
    page = rendered(tables.as_markdown(tables.table([record]), tables.caption([record])))
    assert HOSTILE[0] in page.text
    assert "script" not in {tag for tag, _ in page.elements}


def test_a_hostile_table_of_factors_is_shown_as_text_by_the_notebook_of_ones_own_pictures(tmp_path, monkeypatch):
    """Cells are run as they are; what they display goes through the book's renderer."""
    monkeypatch.setenv("VITAE_HOME", str(tmp_path / "home"))
    folder = tmp_path / "<script>alert(2)<script>"
    folder.mkdir()
    # A table with control characters is refused.
    labels = [text for text in HOSTILE if text.isprintable()]
    with (folder / "factors.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", HOSTILE[0], "a | b"])
        for number in range(20):
            Image.new("L", (8, 8), 10 * number).save(folder / f"{number}.png")
            writer.writerow([f"{number}.png", labels[number % len(labels)], number])
    shown = displayed("pictures", data_root=str(folder))
    assert len(shown) == 1
    page = rendered(shown[0])
    assert {tag for tag, _ in page.elements} <= {"table", "colgroup", "col", "thead", "tbody", "tr", "th", "td", "p"}
    assert HOSTILE[0] in page.text
    assert page.text.count("a | b") >= 1


def displayed(notebook, **given):
    """The Markdown that the cells of a notebook end with, run one after the other with some parameters."""
    namespace, found = {}, []
    for cell in nbformat.read(ROOT / f"notebooks/{notebook}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            *before, last = ast.parse(cell.source).body
            exec(compile(ast.Module(before, []), notebook, "exec"), namespace)
            if isinstance(last, ast.Expr):
                found.append(eval(compile(ast.Expression(last.value), notebook, "eval"), namespace))
            else:
                exec(compile(ast.Module([last], []), notebook, "exec"), namespace)
            if "parameters" in cell.metadata.get("tags", []):
                namespace |= given
    return [each.data for each in found if isinstance(each, Markdown)]

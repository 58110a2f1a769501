"""The book's own Sphinx extensions."""

import importlib.util
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils import nodes

from vitae import configure
from vitae.experiments.declaration import EXPERIMENTS
from vitae.report import claims

ROOT = Path(__file__).resolve().parents[2]


def extension(name):
    specification = importlib.util.spec_from_file_location(name, ROOT / f"book/_ext/{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("address", ["", "https://example.org/someone/vitae", "https://github.com/someone/vitae"])
def test_repository_buttons_exist_only_with_an_address(tmp_path, address):
    (tmp_path / "book").mkdir()
    (tmp_path / "CITATION.cff").write_text("title: x\n" + f"repository-code: {address}\n" * bool(address))
    config = SimpleNamespace(html_theme_options={"navbar_start": []})
    extension("repository_buttons")._buttons(SimpleNamespace(srcdir=tmp_path / "book"), config)
    assert config.html_theme_options["navbar_start"] == []
    assert config.html_theme_options.get("repository_url", "") == address
    assert config.html_theme_options.get("use_issues_button", False) == bool(address)
    assert ("launch_buttons" in config.html_theme_options) == bool(address)
    assert ("colab_url" in config.html_theme_options.get("launch_buttons", {})) == ("github" in address)
    assert (ROOT / config.html_theme_options.get("path_to_docs", "") / "notebooks/mnist.ipynb").exists()


def test_pages_lose_unused_scripts_and_icons_only(tmp_path):
    search = '<script src="_static/searchtools.js"></script>\n<script src="searchindex.js"></script>'
    icons = '<script defer src="_static/scripts/fontawesome.js?digest=1"></script>'
    body = '<i class="fa-solid fa-sun"></i><p role="doc-biblioentry">x</p><script src="_static/book.js"></script>'
    for name in ("index", "search"):
        (tmp_path / f"{name}.html").write_text(f"{search}{icons}{body}")
    for folder in ("scripts", "styles"):
        (tmp_path / "_static" / folder).mkdir(parents=True)
    (tmp_path / "_static/scripts/theme.js").write_text('icon.className = "fa-solid fa-xmark"')
    rules = (
        '.fa-sun:before{content:"1"}.fa-moon:before{content:"2"}.fa-close:before,.fa-xmark:before{content:"3"}.x{top:0}'
    )
    (tmp_path / "_static/styles/theme.css").write_text(rules)
    extension("trim_pages")._trim(SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path), None)
    trimmed = body.replace("doc-biblioentry", "listitem")
    assert (tmp_path / "index.html").read_text().strip() == trimmed
    assert (tmp_path / "search.html").read_text() == search + trimmed
    assert (tmp_path / "_static/styles/theme.css").read_text() == rules.replace('.fa-moon:before{content:"2"}', "")


def test_the_table_of_budgets_has_the_steps_that_a_training_takes():
    (table,) = object.__new__(extension("generated_tables").Budgets).run()
    rows = [[cell.astext() for cell in row] for row in table.findall(nodes.row)]
    # 60,000 digits in batches of 256 are 234 whole ones.
    epochs = configure("mnist", "vae", "full").schedule.epochs
    assert ["MNIST", str(epochs), "256", f"{234 * epochs:,}"] in rows
    # Faces take all images that there are, 9,000 in the committed run.
    faces = configure("celeba", "vae", "full").schedule
    assert f"{9_000 // faces.batch * faces.epochs:,}" in [row[-1] for row in rows]
    assert len(rows) == 1 + sum(each.pipeline for each in EXPERIMENTS.values())


def test_the_first_page_lists_every_claim_with_its_verdict(monkeypatch):
    monkeypatch.setenv("VITAE_HOME", str(ROOT))
    directive = object.__new__(extension("verdicts").Verdicts)
    directive.state = SimpleNamespace(
        document=SimpleNamespace(settings=SimpleNamespace(env=SimpleNamespace(docname="index")))
    )
    summary, entries = directive.run()
    judged = claims.claims(claims.read())
    assert len({claim.verdict for claim in judged}) > 1
    assert [entry[0][0].astext() for entry in entries] == [claim.verdict for claim in judged]
    assert [entry[0][2].astext() for entry in entries] == [claim.sentence for claim in judged]
    assert all(isinstance(entry, nodes.list_item) for entry in entries)
    counts = re.findall(r"(\d+) ([a-z ]+)", summary.astext().split(":")[1])
    singular = {
        "hold": "holds",
        "hold in part": "holds in part",
        "do not hold": "does not hold",
        "is undecided": "undecided",
        "are undecided": "undecided",
        "waits for longer trainings": "not trained long enough",
        "wait for longer trainings": "not trained long enough",
        "is not measured": "not measured",
        "are not measured": "not measured",
    }
    assert {singular.get(verb, verb): int(count) for count, verb in counts} == Counter(
        claim.verdict for claim in judged
    )

"""Saved figures: their files, provenance, captions and sizes."""

import base64
import html
import io
import json
import re
from urllib.parse import unquote
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from vitae import InputError
from vitae.report import figures
from vitae.support import paths


def test_a_figure_is_saved_under_its_notebooks_name_with_its_provenance(images):
    maker = figures.Maker("mnist", "smoke", 3)
    record = {"run": "vae-seed3", "seconds": {"train": 10.0, "evaluate": 2.5}}
    shown = maker.show(figures.contact_sheet(images, columns=3), "sheet", 'three "digits"', [record])
    path = paths.figures("smoke") / "mnist-sheet.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    provenance = json.loads(path.with_suffix(".json").read_text())
    assert provenance["notebook"] == "notebooks/mnist.ipynb"
    assert (provenance["profile"], provenance["seed"], provenance["seconds"]) == ("smoke", 3, 12.5)
    assert provenance["runs"] == ["vae-seed3"]
    for text in (
        '<a href="../_sources/notebooks/mnist.ipynb" download>notebooks/mnist.ipynb</a>',
        " · profile smoke · seed 3 · commit",
        'data-command="papermill notebooks/mnist.ipynb out.ipynb -p profile smoke -p seed 3"',
        "12 s of training",
        "three &quot;digits&quot;",
    ):
        assert text in shown.data


def test_the_command_names_only_the_models_of_the_figure(images):
    records = [
        {"run": f"{model}-seed0", "seconds": {"training": 1.0}, "configuration": {"model": model}}
        for model in ("vae", "c-vitae", "vae")
    ]
    for takes_models, models in ((True, " -p models 'vae c-vitae'"), (False, "")):
        maker = figures.Maker("mnist", "smoke", 0, takes_models=takes_models)
        shown = maker.show(figures.contact_sheet(images), "sheet", "digits", records)
        command = html.unescape(re.search(r'data-command="([^"]*)"', shown.data)[1])
        assert command == f"papermill notebooks/mnist.ipynb out.ipynb -p profile smoke -p seed 0{models}"
    assert "-p models" not in html.unescape(maker.show(figures.contact_sheet(images), "sheet", "digits", []).data)


def shown_picture(shown):
    """Type and bytes of the picture of a figure on a page, and the stated width and height."""
    match = re.search(r'src="data:image/([a-z+]+)(;base64)?,([^"]+)" width="(\d+)" height="(\d+)"', shown.data)
    picture = base64.b64decode(match[3]) if match[2] else unquote(match[3]).encode()
    return match[1], picture, (int(match[4]), int(match[5]))


def test_small_pictures_are_shown_without_loss_and_large_ones_nearly_so(tmp_path):
    generator = np.random.default_rng(0)
    small = generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    ys, xs = np.mgrid[0:800, 0:800]
    smooth = 127 + 60 * np.sin(xs / 40)[..., None] * np.cos(ys / 50)[..., None] * [1.0, 0.5, -1.0]
    large = (smooth + generator.normal(0, 3, smooth.shape)).clip(0, 255).astype(np.uint8)
    for name, picture in (("small", small), ("large", large)):
        path = tmp_path / f"{name}.png"
        Image.fromarray(picture).save(path)
        saved = {
            "notebook": "notebooks/mnist.ipynb",
            "profile": "smoke",
            "seed": 0,
            "commit": "",
            "runs": [],
            "alt": "",
        }
        path.with_suffix(".json").write_text(json.dumps(saved | {"seconds": 0}))
        kind, packed, size = shown_picture(figures.saved_figure(path))
        assert kind == "webp"
        assert size == (picture.shape[1], picture.shape[0])
        decoded = np.asarray(Image.open(io.BytesIO(packed)).convert("RGB")).astype(int)
        if name == "small":
            np.testing.assert_array_equal(decoded, picture)
        else:
            assert len(packed) < path.stat().st_size / 4
            assert np.abs(decoded - picture).mean() < 4


def test_a_vector_figure_states_its_size_in_pixels(images):
    figure = figures.latent_spaces({"z_A": np.arange(8.0).reshape(4, 2)}, np.array([0, 1, 0, 1]))
    shown = figures.Maker("mnist", "smoke", 0).show(figure, "spaces", "two digits", [], vector=True)
    kind, packed, (width, height) = shown_picture(shown)
    assert kind == "svg+xml"
    inches = [float(side) / 72 for side in re.findall(rb"(?:width|height)='([\d.]+)pt'", packed)[:2]]
    assert (width, height) == pytest.approx([96 * side for side in inches], abs=0.6)
    # The same drawing without metadata and superfluous digits.
    saved = ElementTree.parse(paths.figures("smoke") / "mnist-spaces.svg").getroot()
    on_page = ElementTree.fromstring(packed)
    assert len(on_page.findall(".//{*}path")) == len(saved.findall(".//{*}path")) > 10
    assert len(on_page.findall(".//{*}use")) == len(saved.findall(".//{*}use")) > 10
    # Glyphs are scaled by small factors, which must not be rounded.
    factors = [re.findall(r"scale\(([^)]*)\)", ElementTree.tostring(root).decode()) for root in (on_page, saved)]
    assert factors[0] == factors[1] != []
    assert len(packed) < 0.9 * (paths.figures("smoke") / "mnist-spaces.svg").stat().st_size
    assert 'class="vector"' in shown.data


def test_equal_figures_give_equal_files_and_are_closed(images, tmp_path):
    codes = {"z_A": np.arange(8.0).reshape(4, 2), "z_P": np.arange(12.0).reshape(4, 3) ** 2}
    for number in (1, 2):
        figures.write_figure(figures.latent_spaces(codes, np.array([0, 1, 0, 1])), tmp_path / f"{number}.svg")
        figures.write_figure(figures.contact_sheet(images, columns=3), tmp_path / f"{number}.png")
    assert (tmp_path / "1.svg").read_bytes() == (tmp_path / "2.svg").read_bytes()
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()
    assert plt.get_fignums() == []


def test_other_formats_and_missing_figures_are_errors(images, tmp_path):
    with pytest.raises(InputError, match=r"name a \.png or \.svg file"):
        figures.write_figure(figures.contact_sheet(images, columns=3), tmp_path / "x.jpeg")
    with pytest.raises(InputError, match="run the notebook that draws this figure first"):
        figures.saved_figure(tmp_path / "none.png")


@pytest.mark.parametrize("seed", ["abc", 1.5, -1])
def test_an_invalid_seed_is_an_error_before_anything_is_drawn(seed):
    with pytest.raises(InputError, match=f"seed must be a whole number of 0 or more, got {seed}"):
        figures.Maker("mnist", "smoke", seed)


def test_figures_at_full_size_are_the_users_own_or_the_committed_ones(images, monkeypatch, tmp_path):
    def alts(*names):
        return [re.search(r'alt="([^"]*)"', figure.data)[1] for figure in figures.at_full_size("mnist", *names)]

    committed = json.loads((paths.committed_figures() / "mnist-before-and-after.json").read_text())["alt"]
    monkeypatch.setenv("VITAE_HOME", str(tmp_path))
    assert alts("before-and-after") == [committed]
    figures.Maker("mnist", "full", 0).show(figures.contact_sheet(images), "before-and-after", "my own", [])
    assert alts("before-and-after", "manipulation-c*") == ["my own", alts("manipulation-c-vitae")[0]]
    assert len(alts("manipulation-*")) == len([*paths.committed_figures().glob("mnist-manipulation-*.png")]) > 1
    with pytest.raises(InputError, match="no figure mnist-none of profile full: run the notebook"):
        alts("none")

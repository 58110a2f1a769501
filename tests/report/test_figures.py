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
import torch
from PIL import Image

from vitae import CPAB, Affine, InputError, build, configure
from vitae.metrics import report
from vitae.report import figures, statistics
from vitae.support import paths


@pytest.fixture
def model():
    return build(configure("mnist", "c-vitae", "smoke"), (1, 28, 28)).eval()


@pytest.fixture
def images(generator):
    return torch.randint(0, 256, (3, 1, 28, 28), generator=generator, dtype=torch.uint8)


def drawn_images(figure):
    return [image.get_array().data for axes in figure.axes for image in axes.images]


def test_a_figure_is_named_by_its_maker_and_has_its_provenance_beside_it(images):
    maker = figures.Maker("mnist", "smoke", 3)
    record = {"run": "vae-seed3", "seconds": {"train": 10.0, "evaluate": 2.5}}
    shown = maker.show(figures.contact_sheet(images, columns=3), "sheet", 'three "digits"', [record])
    path = paths.figures("smoke") / "mnist-sheet.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    provenance = json.loads(path.with_suffix(".json").read_text())
    assert provenance["notebook"] == "notebooks/mnist.ipynb"
    assert (provenance["profile"], provenance["seed"], provenance["seconds"]) == ("smoke", 3, 12.5)
    assert provenance["runs"] == ["vae-seed3"]
    for said in (
        '<a href="../_sources/notebooks/mnist.ipynb" download>notebooks/mnist.ipynb</a>',
        " · profile smoke · seed 3 · commit",
        'data-command="papermill notebooks/mnist.ipynb out.ipynb -p profile smoke -p seed 3"',
        "12 s of training",
        "three &quot;digits&quot;",
    ):
        assert said in shown.data


def test_the_command_trains_only_what_the_figure_shows(images):
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
    """The bytes of a figure on a page, and the width and height that are kept free for it."""
    found = re.search(r'src="data:image/([a-z+]+)(;base64)?,([^"]+)" width="(\d+)" height="(\d+)"', shown.data)
    picture = base64.b64decode(found[3]) if found[2] else unquote(found[3]).encode()
    return found[1], picture, (int(found[4]), int(found[5]))


def test_a_small_picture_is_on_the_page_to_the_last_bit_and_a_large_one_nearly(tmp_path):
    generator = np.random.default_rng(0)
    small = generator.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    ys, xs = np.mgrid[0:800, 0:800]
    smooth = 127 + 60 * np.sin(xs / 40)[..., None] * np.cos(ys / 50)[..., None] * [1.0, 0.5, -1.0]
    large = (smooth + generator.normal(0, 3, smooth.shape)).clip(0, 255).astype(np.uint8)
    for name, picture in (("small", small), ("large", large)):
        path = tmp_path / f"{name}.png"
        Image.fromarray(picture).save(path)
        stated = {
            "notebook": "notebooks/mnist.ipynb",
            "profile": "smoke",
            "seed": 0,
            "commit": "",
            "runs": [],
            "alt": "",
        }
        path.with_suffix(".json").write_text(json.dumps(stated | {"seconds": 0}))
        kind, packed, size = shown_picture(figures.saved_figure(path))
        assert kind == "webp"
        assert size == (picture.shape[1], picture.shape[0])
        found = np.asarray(Image.open(io.BytesIO(packed)).convert("RGB")).astype(int)
        if name == "small":
            np.testing.assert_array_equal(found, picture)
        else:
            assert len(packed) < path.stat().st_size / 4
            assert np.abs(found - picture).mean() < 4


def test_a_vector_figure_keeps_its_size_free_in_pixels(images):
    figure = figures.latent_spaces({"z_A": np.arange(8.0).reshape(4, 2)}, np.array([0, 1, 0, 1]))
    shown = figures.Maker("mnist", "smoke", 0).show(figure, "spaces", "two digits", [], vector=True)
    kind, packed, (width, height) = shown_picture(shown)
    assert kind == "svg+xml"
    inches = [float(side) / 72 for side in re.findall(rb"(?:width|height)='([\d.]+)pt'", packed)[:2]]
    assert (width, height) == pytest.approx([96 * side for side in inches], abs=0.6)
    # The same drawing, but for what nobody sees.
    there = ElementTree.parse(paths.figures("smoke") / "mnist-spaces.svg").getroot()
    here = ElementTree.fromstring(packed)
    assert len(here.findall(".//{*}path")) == len(there.findall(".//{*}path")) > 10
    assert len(here.findall(".//{*}use")) == len(there.findall(".//{*}use")) > 10
    # Glyphs are drawn by small factors, which must not be rounded.
    factors = [re.findall(r"scale\(([^)]*)\)", ElementTree.tostring(root).decode()) for root in (here, there)]
    assert factors[0] == factors[1] != []
    assert len(packed) < 0.9 * (paths.figures("smoke") / "mnist-spaces.svg").stat().st_size
    assert 'class="vector"' in shown.data


def test_equal_figures_are_equal_files_and_nothing_stays_open(images, tmp_path):
    codes = {"z_A": np.arange(8.0).reshape(4, 2), "z_P": np.arange(12.0).reshape(4, 3) ** 2}
    for number in (1, 2):
        figures.write_figure(figures.latent_spaces(codes, np.array([0, 1, 0, 1])), tmp_path / f"{number}.svg")
        figures.write_figure(figures.contact_sheet(images, columns=3), tmp_path / f"{number}.png")
    assert (tmp_path / "1.svg").read_bytes() == (tmp_path / "2.svg").read_bytes()
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()
    assert plt.get_fignums() == []


def test_reconstructions_show_the_input_above_each_models_mean_image(model, images):
    found = drawn_images(figures.reconstructions({"a model": model}, images))
    x = images.float() / 255
    with torch.no_grad():
        expected = [*x[:, 0], *model(x, None).mean[:, 0]]
    assert len(found) == 6
    for image, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(image, wanted.numpy(), atol=1e-6)


def test_traversals_pass_through_the_images_own_code(model, images):
    """Each strip moves one latent; where it crosses the posterior mean the picture is the reconstruction."""
    with torch.no_grad():
        z = model.infer(images[:1].float() / 255, None).samples
        reach = float(z["z_A"][0, 0].abs())
        expected = model.decode(z)[0, 0].numpy()
    found = drawn_images(figures.traversals(model, images[0], "", steps=2, reach=reach))
    assert len(found) == 2 * 6
    end = int(z["z_A"][0, 0] > 0)
    np.testing.assert_allclose(found[end], expected, atol=1e-5)
    assert np.abs(found[1 - end] - expected).max() > 0


def test_a_warped_image_is_the_image_itself_where_its_own_perspective_is(model, images):
    with torch.no_grad():
        model.decoder_P.motions.weight.mul_(3)
    smooth = torch.nn.functional.avg_pool2d(images[:1].float(), 9, 1, 4)[0].round().to(torch.uint8)
    row = figures.warped_by(model, smooth, "z_P2", steps=3)
    assert row.shape == (3, 1, 28, 28)
    middle = row[1, :, 5:-5, 5:-5]
    # Read twice between pixels, so nearly.
    np.testing.assert_allclose(middle.numpy(), smooth[:, 5:-5, 5:-5].numpy() / 255, atol=0.02)
    assert (row[0] - row[1]).abs().max() > 0.02
    assert figures.latent_label("z_P2") == "$z_{P,2}$"
    assert figures.latent_label("z10") == "$z_{10}$"


def test_intervals_stand_beside_the_posters_numbers_model_by_model():
    names = {"vae": "VAE", "c-vitae": "C-VITAE"}
    ours = {"c-vitae": statistics.Interval(0.8, 0.1, 5), "vae": statistics.Interval(0.4, float("nan"), 1)}
    (axes,) = figures.beside_the_poster([("D", ours, {"vae": 0.579})], names).axes
    (points,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert list(zip(points.get_xdata(), points.get_ydata(), strict=True)) == [(0.4, 0), (0.8, 1)]
    crosses = axes.collections[-1].get_offsets()
    np.testing.assert_allclose(crosses, [[0.579, 0]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["VAE", "C-VITAE"]


def test_the_drawn_frame_is_where_the_appearance_encoder_looks(model, images):
    with torch.no_grad():
        model.decoder_P.motions.bias.copy_(torch.tensor([0.0, 0, 0, 0, -2 / 28 * 3, 0]))
        model.decoder_P.motions.weight.zero_()
    figure = figures.before_and_after(model, images)
    # T_-gamma looks three pixels to the right of each output pixel.
    outline = figure.axes[0].lines[0].get_xdata()
    assert (float(outline.min()), float(outline.max())) == pytest.approx((2.5, 30.5), abs=1e-4)
    np.testing.assert_allclose(
        figure.axes[3].images[0].get_array()[:, :-3], images[0, 0, :, 3:].numpy() / 255, atol=1e-5
    )


def test_other_formats_and_missing_figures_are_named(images, tmp_path):
    with pytest.raises(InputError, match=r"name a \.png or \.svg file"):
        figures.write_figure(figures.contact_sheet(images, columns=3), tmp_path / "x.jpeg")
    with pytest.raises(InputError, match="run the notebook that makes it first"):
        figures.saved_figure(tmp_path / "none.png")


@pytest.mark.parametrize("seed", ["abc", 1.5, -1])
def test_a_seed_that_is_none_is_named_before_anything_is_drawn(seed):
    with pytest.raises(InputError, match=f"seed must be a whole number of 0 or more, got {seed}"):
        figures.Maker("mnist", "smoke", seed)


def test_figures_at_full_size_are_the_reader_s_own_or_the_clone_s(images, monkeypatch, tmp_path):
    def alts(*names):
        return [re.search(r'alt="([^"]*)"', figure.data)[1] for figure in figures.at_full_size("mnist", *names)]

    committed = json.loads((paths.committed_figures() / "mnist-before-and-after.json").read_text())["alt"]
    monkeypatch.setenv("VITAE_HOME", str(tmp_path))
    assert alts("before-and-after") == [committed]
    figures.Maker("mnist", "full", 0).show(figures.contact_sheet(images), "before-and-after", "my own", [])
    assert alts("before-and-after", "manipulation-c*") == ["my own", alts("manipulation-c-vitae")[0]]
    assert len(alts("manipulation-*")) == 3
    with pytest.raises(InputError, match="no figure mnist-none of profile full: run the notebook"):
        alts("none")


def test_a_cpab_field_is_drawn_on_its_mesh_with_arrows_of_its_velocities():
    cpab = CPAB((2, 3))
    gamma = torch.zeros(1, cpab.dim)
    gamma[0, -2] = 0.6  # the last centre moves to the right
    figure = figures.velocity_fields(cpab, gamma, ["one"], drops=2)
    (axes,) = figure.axes
    (arrows,) = [found for found in axes.collections if hasattr(found, "U")]
    velocities = cpab.velocity(gamma, torch.tensor(np.asarray(arrows.XY), dtype=torch.float32))[0]
    np.testing.assert_allclose(np.stack([arrows.U, arrows.V], 1), velocities.numpy(), atol=1e-6)
    outlines = [line for line in axes.lines if len(line.get_xdata()) == 5]
    assert len(outlines) == 6, "one outline for each cell"


def test_areas_are_in_doublings_and_the_title_says_the_least():
    gamma = torch.tensor([[np.log(2) / 2, 0, 0, np.log(2) / 2, 0, 0]], dtype=torch.float32)
    figure = figures.area_changes(Affine(), gamma, ["twice"], side=4)
    np.testing.assert_allclose(drawn_images(figure)[0], 1, atol=1e-5)
    assert figure.axes[0].get_title() == "twice\nat least 2.00 times"


def test_convergence_draws_mean_and_largest_of_each_scheme():
    schemes = ["Euler", "exponential Euler (libcpab)", "one-leg (ours)"]
    measured = {"tessellation": (2, 4), "evaluations": [8, 16]}
    measured |= {name: {"mean": [1.0, 0.5], "max": [3.0, 2.0]} for name in schemes}
    (axes,) = figures.convergence([measured]).axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[1.0, 0.5], [3.0, 2.0]] * 3
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [f"{name}, mean" for name in schemes]


def test_undone_shows_the_input_and_what_each_model_straightens(model, images):
    figure = figures.undone({"affine": model}, images)
    shown = drawn_images(figure)
    np.testing.assert_allclose(shown[0], images[0, 0] / 255)
    x = images / 255
    expected = model.undo_perspective(x, model.infer(x, noise=None).samples["z_P"])
    np.testing.assert_allclose(shown[3], expected[0, 0].detach(), atol=1e-6)


def test_a_grid_that_stays_in_the_square_fills_its_panel():
    image = torch.zeros(1, 28, 28)
    inside = figures.warped_grids(CPAB((1, 1)), torch.full((1, 2), 0.1), ["in"], image)
    outside = figures.warped_grids(Affine(), torch.tensor([[0.5, 0, 0, 0.5, 0, 0]]), ["out"], image)
    assert inside.axes[0].get_xlim()[1] < 1.1 < outside.axes[0].get_xlim()[1]


def test_score_matrices_show_the_reports_numbers_under_its_names():
    codes = np.random.default_rng(0).normal(size=(120, 3))
    factors = np.column_stack([np.arange(120) % 3, np.arange(120) % 4])
    found = report(codes, factors, names=["kind", "turn"], spaces={"z_A": 1, "z_P": 2}, fast=True)
    panels = figures.score_matrices(found).axes
    drawn = [panel.images[0].get_array().data for panel in panels]
    wanted = [found.dci.importance, found.mig.information, found.sap.predictability, found.d_score.importance]
    for shown, matrix in zip(drawn, wanted, strict=True):
        np.testing.assert_array_equal(shown, matrix)
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["z_A, 1", "z_P, 1", "z_P, 2"]
    assert [label.get_text() for label in panels[3].get_xticklabels()] == ["kind", "turn"]
    assert f"MIG = {found.mig.score:.2f}" in panels[1].get_title()


def test_leaders_write_the_gap_of_the_two_best_codes_over_each_factor():
    numbers = np.array([[0.9, 0.2], [0.3, 0.8], [0.5, 0.75]])
    (panel,) = figures.leaders([figures.Matrix("title", numbers, "abc", ["kind", "turn"])]).axes
    assert [text.get_text() for text in panel.texts] == ["0.40", "0.05"]
    assert [bar.get_height() for bar in panel.patches] == [0.9, 0.8, 0.5, 0.75]


def test_matrices_have_a_shade_of_their_own_each():
    small = figures.Matrix("small", np.array([[0.01, 0.0]]), ["a"], ["x", "y"])
    large = figures.Matrix("large", np.array([[5.0, 1.0]]), ["a"], ["x", "y"])
    for panel, matrix in zip(figures.matrices([small, large]).axes, (small, large), strict=True):
        assert panel.images[0].get_clim() == (0, matrix.numbers.max())


def test_scores_of_examples_are_marks_in_the_row_of_their_score():
    figure = figures.scores_of({"one": {"MIG": 0.2, "SAP": 0.4}, "two": {"MIG": 0.7, "SAP": 0.1}}, ["SAP", "MIG"])
    first, second = (marks.get_offsets() for marks in figure.axes[0].collections)
    with_ends = figures.scores_of({"one": {"MIG": 0.2, "SAP": 0.4}}, ["SAP", "MIG"], {"MIG": 0.9, "SAP": 0.3})
    assert [line[0][0] for line in with_ends.axes[0].collections[1].get_segments()] == [0.3, 0.9]
    assert (first[:, 0].tolist(), second[:, 0].tolist()) == ([0.4, 0.2], [0.1, 0.7])
    assert first[:, 1].round().tolist() == second[:, 1].round().tolist() == [0, 1]
    assert (first[:, 1] < second[:, 1]).all()


def test_matrices_go_on_in_the_next_row_and_empty_places_stay_empty():
    panels = [figures.Matrix(str(i), np.full((2, 3), i + 1.0), ["a", "b"], ["x", "y", "z"]) for i in range(4)]
    shown = figures.matrices(panels, columns=3)
    visible = [cell for cell in shown.axes if cell.get_visible()]
    assert [cell.get_title() for cell in visible] == ["0", "1", "2", "3"]
    assert len(shown.axes) == 6
    places = [cell.get_subplotspec() for cell in visible]
    assert [(place.rowspan.start, place.colspan.start) for place in places] == [(0, 0), (0, 1), (0, 2), (1, 0)]

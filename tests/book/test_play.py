"""The scripts of the page `play`, run by playwright's node, compute what PyTorch computes."""

import importlib.util
import json
import subprocess
from pathlib import Path

import numpy as np
import playwright
import pytest
import torch
from PIL import Image

from vitae.data import load
from vitae.data.dataset import as_floats
from vitae.experiments.pretrained import pretrained
from vitae.report import figures
from vitae.transforms import transformation_named

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "book/_play"
NODE = Path(playwright.__file__).parent / "driver/node"

specification = importlib.util.spec_from_file_location("play", ROOT / "book/play.py")
play = importlib.util.module_from_spec(specification)
specification.loader.exec_module(play)

RUN = """
const fs = require('fs'), vm = require('vm');
const { scripts, program, argument } = JSON.parse(fs.readFileSync(0, 'utf8'));
for (const script of scripts) vm.runInThisContext(fs.readFileSync(script, 'utf8'), script);
const plain = (value) => ArrayBuffer.isView(value) ? Array.from(value) : value;
const result = vm.runInThisContext(program)(argument);
process.stdout.write(JSON.stringify(result, (key, value) => plain(value)));
"""


def in_the_page(program: str, argument):
    """The result of a JavaScript function that may use the page's scripts."""
    task = {"scripts": [str(SCRIPTS / f"{name}.js") for name in ("transform", "network")]}
    task |= {"program": program, "argument": argument}
    done = subprocess.run([NODE, "-e", RUN], input=json.dumps(task), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["affine", "cpab-1x1", "cpab-2x4", "cpab-4x4", "cpab-3x2"])
@pytest.mark.parametrize("size", [0.0, 0.1, 1.0])
def test_points_move_as_in_python(name, size):
    family = transformation_named(name)
    generator = torch.Generator().manual_seed(3)
    gamma = size * torch.randn(1, family.dim, generator=generator, dtype=torch.float64)
    points = torch.rand(200, 2, generator=generator, dtype=torch.float64) * 2.2 - 1.1
    program = """({ name, gamma, points }) => {
      const family = vitae.transformationNamed(name), moved = family.apply(gamma, points);
      const back = family.apply(vitae.negated(gamma), points), velocity = family.velocity(gamma, points);
      return { moved, back, velocity, dim: family.dim };
    }"""
    found = in_the_page(program, {"name": name, "gamma": gamma[0].tolist(), "points": points.flatten().tolist()})
    assert found["dim"] == family.dim
    for there, here in (
        (found["moved"], family.apply(gamma, points)),
        (found["back"], family.apply(gamma, points, inverse=True)),
        (found["velocity"], family.velocity(gamma, points)),
    ):
        np.testing.assert_allclose(np.reshape(there, (-1, 2)), here[0].numpy(), atol=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_warped_as_in_python(channels):
    family = transformation_named("cpab-2x4")
    generator = torch.Generator().manual_seed(4)
    image = torch.rand(1, channels, 7, 11, generator=generator, dtype=torch.float64)
    gamma = torch.randn(1, family.dim, generator=generator, dtype=torch.float64)
    program = """({ image, gamma }) => {
      const family = vitae.transformationNamed('cpab');
      return [false, true].map((inverse) => vitae.warp(family, image, gamma, { inverse }).values);
    }"""
    stated = {"channels": channels, "height": 7, "width": 11, "values": image.flatten().tolist()}
    found = in_the_page(program, {"image": stated, "gamma": gamma[0].tolist()})
    for values, inverse in zip(found, (False, True), strict=True):
        np.testing.assert_allclose(values, family.warp(image, gamma, inverse=inverse).flatten(), atol=1e-9)


@pytest.fixture(scope="module", params=sorted(play.MODELS))
def trained(request):
    return pretrained(play.MODELS[request.param]), play.model_parts(play.MODELS[request.param])


def test_the_page_decodes_as_the_package_does(trained):
    model, parts = trained
    z = {
        name: 1.5 * torch.randn(5, size, generator=torch.Generator().manual_seed(size))
        for name, size in model.spaces.items()
    }
    program = """({ decoders, codes }) => {
      const model = new vitae.Model(decoders);
      return codes.map(([zA, zP]) => (
        { image: model.decode(zA, zP).values, appearance: model.appearance(zA).values, gamma: model.gamma(zP) }));
    }"""
    codes = list(zip(z["z_A"].tolist(), z["z_P"].tolist(), strict=True))
    found = in_the_page(program, {"decoders": parts["decoders"], "codes": codes})
    with torch.no_grad():
        images, gamma = model.decode(z), model.gamma(z)
        appearance = model.appearance(z)
    for name, here in (("image", images), ("appearance", appearance), ("gamma", gamma)):
        np.testing.assert_allclose([one[name] for one in found], here.flatten(1), atol=1e-3)


def test_the_page_encodes_as_the_package_does(trained):
    model, parts = trained
    images = as_floats(torch.as_tensor(load("mnist", "test", source="embedded", size=4).images))
    program = """({ decoders, encoders, images }) => {
      const model = new vitae.Model(decoders);
      model.addEncoders(encoders);
      const named = ({ zP, zA, undone }) => ({ z_P: zP, z_A: zA, undone: undone.values });
      return images.map((image) => named(model.infer(image)));
    }"""
    found = in_the_page(program, {**parts, "images": images.flatten(1).tolist()})
    with torch.no_grad():
        z = model.infer(images, noise=None).samples
        undone = model.undo_perspective(images, z)
    for name, here in (("z_P", z["z_P"]), ("z_A", z["z_A"]), ("undone", undone)):
        np.testing.assert_allclose([one[name] for one in found], here.flatten(1), atol=1e-3)


def test_a_sheet_has_the_picture_of_a_code_in_its_cell():
    model, held = pretrained("smpl"), play.HELD["smpl"]
    drawn = play.sheet(model, "z_A", held)
    column, row = 9, 2
    value = torch.linspace(-play.REACH, play.REACH, play.STEPS)
    # Rows count from the top, but the second latent grows upwards.
    z = {"z_A": torch.stack([value[column], value[play.STEPS - 1 - row]])[None], "z_P": torch.tensor([held["z_P"]])}
    with torch.no_grad():
        image = model.decode(z)[0, 0].numpy()
    cell = drawn[64 * row : 64 * row + 64, 64 * column : 64 * column + 64, 0] / 255
    np.testing.assert_allclose(cell, image, atol=0.5 / 255 + 1e-6)


def test_everything_that_the_page_loads_is_written(tmp_path):
    play.write_all(tmp_path)
    wanted = {f"{name}-{part}.js" for name in play.MODELS for part in ("decoders", "encoders", "codes")}
    wanted |= {"digits.js", "pictures.js", "sheets.js", "moving-perspective.webp", "moving-appearance.webp"}
    wanted |= {f"{dataset}-{space}.webp" for dataset, held in play.HELD.items() for space in held}
    assert {path.name for path in tmp_path.iterdir()} == wanted
    for path in tmp_path.glob("*.js"):
        received, value = in_the_page(
            "(text) => { let got; vitae.receive = (...both) => { got = both; }; (0, eval)(text); return got; }",
            path.read_text(),
        )
        assert received == path.stem
        assert value
    with Image.open(tmp_path / "celeba-z_P.webp") as picture:
        assert picture.size == (64 * play.STEPS, 64 * play.STEPS)


def test_planes_are_decoded_by_the_model():
    model = pretrained("mnist")
    images = figures.plane(model, "z_P", {"z_A": (1.0, -1.0), "z_P": (9.0, 9.0, 0.5)}, steps=3, reach=2.0)
    with torch.no_grad():
        right_top = model.decode({"z_A": torch.tensor([[1.0, -1.0]]), "z_P": torch.tensor([[2.0, 2.0, 0.5, 0.0]])})
    np.testing.assert_allclose(images[2] / 255, right_top[0], atol=0.5 / 255 + 1e-6)

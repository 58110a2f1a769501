"""Every demonstration, moved by mouse and by keyboard, shows what PyTorch computes."""

import numpy as np
import pytest
import torch
from scipy.ndimage import rotate

from vitae.data import load
from vitae.data.dataset import as_floats
from vitae.experiments.pretrained import pretrained
from vitae.transforms import transformation_named

WEIGHTS = {"affine": "mnist", "CPAB": "mnist-cpab"}
# The values that a demonstration shows, with typed arrays as lists.
VALUES = """(name) => JSON.parse(JSON.stringify(
  vitae.demos[name].values(), (key, value) => ArrayBuffer.isView(value) ? Array.from(value) : value))"""


@pytest.fixture(params=[1300, 390], ids=["desktop", "phone"])
def demo(request, visit):
    """A function that starts a demonstration and returns its page and element."""

    def start(name):
        page = visit("notebooks/play.html", width=request.param)
        page.locator(f"[data-demo={name}]").scroll_into_view_if_needed()
        page.evaluate(f"vitae.demos['{name}'].ready")
        return page, page.locator(f"[data-demo={name}]")

    return start


def shown(page, name):
    """The values that a demonstration shows once it has drawn them."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate(VALUES, name)


def drag(page, canvas, *places):
    """Press at the first place and drag through the others; places are fractions of the canvas' width and height."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=8)
    page.mouse.up()


def decoded(values, model):
    """PyTorch's mean image of the latents on the page."""
    with torch.no_grad():
        return model.decode(
            {name: torch.tensor([values[name]], dtype=torch.float32) for name in ("z_A", "z_P")}
        ).flatten()


@pytest.mark.parametrize("transformation", ["affine", "CPAB"])
def test_pads_and_sliders_move_the_digit(demo, transformation):
    page, root = demo("pads")
    root.get_by_role("radio", name=transformation).check()
    page.wait_for_selector(f"[data-demo=pads][data-transform={transformation.lower()}]")
    model = pretrained(WEIGHTS[transformation])
    before = shown(page, "pads")
    drag(page, root.locator("canvas.pad").nth(0), (0.5, 0.5), (0.8, 0.25))
    moved = shown(page, "pads")
    assert moved["z_P"][:2] == pytest.approx([1.8, 1.5], abs=0.05)
    assert moved["z_A"] == before["z_A"]
    np.testing.assert_allclose(moved["image"]["values"], decoded(moved, model), atol=1e-3)
    assert moved["appearance"]["values"] == before["appearance"]["values"]

    pad = root.locator("canvas.pad").nth(1)
    pad.focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowUp"):
        page.keyboard.press(key)
    keyed = shown(page, "pads")
    assert keyed["z_A"] == pytest.approx([before["z_A"][0] + 0.2, before["z_A"][1] + 0.5])
    np.testing.assert_allclose(keyed["image"]["values"], decoded(keyed, model), atol=1e-3)

    slider = root.get_by_role("slider", name="z_P 3")
    slider.focus()
    page.keyboard.press("End")
    ended = shown(page, "pads")
    assert ended["z_P"][2] == 3
    np.testing.assert_allclose(ended["image"]["values"], decoded(ended, model), atol=1e-3)
    assert page.complaints == []


def test_a_click_on_a_code_moves_the_latents_there(demo):
    page, root = demo("pads")
    digits = load("mnist", "test", source="embedded", size=800)
    model = pretrained("mnist")
    with torch.no_grad():
        z = model.infer(as_floats(torch.as_tensor(digits.images[:1])), noise=None).samples["z_A"][0]
    x, y = z.tolist()
    drag(page, root.locator("canvas.pad").nth(1), ((x / 3 + 1) / 2, (1 - y / 3) / 2))
    assert shown(page, "pads")["z_A"] == pytest.approx([x, y], abs=0.05)


@pytest.mark.parametrize("transformation", ["affine", "CPAB"])
def test_a_drawn_digit_is_straightened(demo, transformation):
    page, root = demo("digit")
    root.get_by_role("radio", name=transformation).check()
    page.wait_for_selector(f"[data-demo=digit][data-transform={transformation.lower()}]")
    # A seven that leans to the right.
    drag(page, root.locator("canvas.sheet"), (0.4, 0.28), (0.78, 0.34), (0.42, 0.78))
    found = shown(page, "digit")
    model = pretrained(WEIGHTS[transformation])
    x = torch.tensor(found["values"], dtype=torch.float32).view(1, 1, 28, 28)
    assert x.sum() > 40
    with torch.no_grad():
        z = model.infer(x, noise=None).samples
        upright, again = model.undo_perspective(x, z), model.decode(z)
    for there, here in (("zP", z["z_P"]), ("zA", z["z_A"])):
        np.testing.assert_allclose(found[there], here[0], atol=1e-3)
    np.testing.assert_allclose(found["undone"]["values"], upright.flatten(), atol=1e-3)
    np.testing.assert_allclose(found["image"]["values"], again.flatten(), atol=1e-3)
    assert page.complaints == []


def test_a_turned_drawing_moves_the_latents_and_keeps_those_of_the_drawing_beside_them(demo):
    page, root = demo("digit")
    root.locator("canvas.sheet").focus()
    page.keyboard.press("7")
    straight = shown(page, "digit")
    slider = root.get_by_role("slider", name="turn of the drawing in degrees")
    slider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    found = shown(page, "digit")
    assert found["asDrawn"]["zP"] == straight["zP"]
    assert found["asDrawn"]["zA"] == straight["zA"]
    # The same by scipy: 20 degrees clockwise on the sheet, whose y points down.
    turned = rotate(np.reshape(straight["values"], (28, 28)), -20, reshape=False, order=1)
    assert np.corrcoef(turned.ravel(), found["values"])[0, 1] > 0.98
    x = torch.tensor(found["values"], dtype=torch.float32).view(1, 1, 28, 28)
    with torch.no_grad():
        z = pretrained("mnist").infer(x, noise=None).samples
    np.testing.assert_allclose(found["zP"], z["z_P"][0], atol=1e-3)
    np.testing.assert_allclose(found["zA"], z["z_A"][0], atol=1e-3)
    # A drawn point lies where the pointer was, although the drawing is turned.
    page.keyboard.press("Home")
    drag(page, root.locator("canvas.sheet"), (0.3, 0.3), (0.3, 0.3))
    assert np.reshape(shown(page, "digit")["values"], (28, 28))[7:10, 7:10].max() > 0.9
    assert page.complaints == []


def test_another_transformation_sees_the_same_digit(demo):
    page, root = demo("pads")
    drag(page, root.locator("canvas.pad").nth(1), (0.7, 0.7), (0.72, 0.72))
    before = shown(page, "pads")
    root.get_by_role("radio", name="CPAB").check()
    page.wait_for_selector("[data-demo=pads][data-transform=cpab]")
    after = shown(page, "pads")
    x = torch.tensor(before["image"]["values"], dtype=torch.float32).view(1, 1, 28, 28)
    with torch.no_grad():
        z = pretrained("mnist-cpab").infer(x, noise=None).samples
    for space in ("z_P", "z_A"):
        np.testing.assert_allclose(after[space], z[space][0], atol=1e-3)


@pytest.mark.parametrize("name", ["digit", "pads"])
def test_pictures_are_square(demo, name):
    _, root = demo(name)
    for picture in root.locator("canvas.picture").all():
        box = picture.bounding_box()
        assert box["width"] == pytest.approx(box["height"], abs=1)


def test_a_digit_is_drawn_or_chosen_by_keyboard(demo):
    page, root = demo("digit")
    root.locator("canvas.sheet").focus()
    assert shown(page, "digit") is None
    page.keyboard.press("Space")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowDown")
    stroke = np.reshape(shown(page, "digit")["values"], (28, 28))
    ys, xs = stroke.nonzero()
    assert ys.min() in (12, 13)
    assert ys.max() in (24, 25)
    assert xs.max() - xs.min() <= 3
    page.keyboard.press("Delete")
    assert shown(page, "digit") is None
    page.keyboard.press("7")
    chosen = shown(page, "digit")
    test = load("mnist", "test", source="embedded", size=800)
    seven = test.images[int((test.factor("digit") == 7).nonzero()[0][0])]
    np.testing.assert_allclose(chosen["values"], seven.flatten() / 255, atol=1e-6)


def warped(values, pictures):
    """PyTorch's picture of the transformation on the page."""
    family = transformation_named(values["transform"])
    gamma = torch.tensor([values["gamma"]], dtype=torch.float64)
    axis = (2 * torch.arange(128, dtype=torch.float64) + 1) / 128 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = family.apply(gamma, torch.stack([x, y], -1).reshape(-1, 2))
    image = torch.as_tensor(pictures[values["picture"]])[None].double() / 255
    sampled = torch.nn.functional.grid_sample(
        image, points.reshape(1, 128, 128, 2), padding_mode="border", align_corners=False
    )
    return sampled.flatten()


def test_a_velocity_field_moves_the_picture(demo):
    pictures = {
        name: load(dataset, "test", source="embedded", size=16).images[3]
        for name, dataset in (("face", "celeba"), ("sprite", "dsprites"))
    }
    page, root = demo("field")
    before = shown(page, "field")
    np.testing.assert_allclose(before["image"]["values"], warped(before, pictures), atol=1e-3)
    field = root.locator("canvas.field")
    # The selected vertex is the last, a cell's centre at (0.75, 0.5); the canvas has margins of 8%.
    x, y = (0.08 + 0.84 * (value + 1) / 2 for value in (0.75, 0.5))
    drag(page, field, (x, y), (x + 0.1, y - 0.05))
    dragged = shown(page, "field")
    assert dragged["gamma"][-2:] == pytest.approx([0.238, -0.119], abs=0.01)
    np.testing.assert_allclose(dragged["image"]["values"], warped(dragged, pictures), atol=1e-3)

    field.focus()
    page.keyboard.press("n")
    page.keyboard.press("n")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    keyed = shown(page, "field")
    # The second vertex is on the upper edge: only its tangential component is free, gamma's first.
    assert keyed["gamma"][0] == pytest.approx(dragged["gamma"][0] - 0.05)
    assert keyed["gamma"][1:] == dragged["gamma"][1:]

    root.get_by_role("radio", name="affine").check()
    root.get_by_label("Picture:").select_option("sprite")
    time = root.get_by_role("slider", name="time of the flow")
    time.focus()
    page.keyboard.press("Home")
    backwards = shown(page, "field")
    assert backwards["gamma"] == pytest.approx([0, 0.5, -0.5, 0, -0.2, 0])
    np.testing.assert_allclose(backwards["image"]["values"], warped(backwards, pictures), atol=1e-3)
    before = page.evaluate("String(vitae.demos.field.values().gamma)")
    root.get_by_role("button", name="Play").click()
    page.wait_for_function("(before) => String(vitae.demos.field.values().gamma) !== before", arg=before)
    assert page.complaints == []


@pytest.mark.parametrize(("dataset", "label"), [("celeba", "faces"), ("smpl", "bodies")])
def test_pads_select_a_picture_of_the_sheet(demo, dataset, label):
    page, root = demo("sheets")
    root.get_by_role("radio", name=label).check()
    drag(page, root.locator("canvas.pad").nth(0), (0.5, 0.5), (0.9, 0.3))
    pad = root.locator("canvas.pad").nth(1)
    pad.focus()
    for _ in range(2):
        page.keyboard.press("Shift+ArrowDown")
    found = shown(page, "sheets")
    assert found["dataset"] == dataset
    assert found["at"]["z_P"] == pytest.approx([2.0, 1.0], abs=0.05)
    assert found["at"]["z_A"] == pytest.approx([0, -1.0])
    # Thirteen pictures per side from -2.5 to 2.5, the second latent upwards.
    assert (found["z_P"]["column"], found["z_P"]["row"]) == (11, 4)
    assert (found["z_A"]["column"], found["z_A"]["row"]) == (6, 8)
    frame = root.locator(".frame").nth(0)
    assert f"{dataset}-z_P.webp" in frame.evaluate("(element) => getComputedStyle(element).backgroundImage")
    assert page.complaints == []


def test_figures_replace_demonstrations_without_javascript_and_in_print(visit):
    page = visit("notebooks/play.html", java_script_enabled=False)
    assert page.locator(".demo .still img").count() == 4
    assert all(page.locator(".demo .still").nth(i).is_visible() for i in range(4))
    page = visit("notebooks/play.html")
    assert not page.locator(".demo .still").first.is_visible()
    page.emulate_media(media="print")
    assert all(page.locator(".demo .still").nth(i).is_visible() for i in range(4))
    assert not page.locator(".demo .live").first.is_visible()


def test_the_first_page_draws_digits_too(visit):
    page = visit("index.html")
    page.locator("[data-demo=digit]").scroll_into_view_if_needed()
    page.evaluate("vitae.demos.digit.ready")
    page.locator("[data-demo=digit]").get_by_role("button", name="3").click()
    assert shown(page, "digit")["values"]
    assert page.complaints == []

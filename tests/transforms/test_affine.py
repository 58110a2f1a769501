"""Affine maps against the matrix exponential, warping, and compositions."""

import math

import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitae import InputError
from vitae.transforms import CPAB, Affine, Sequential, Transformation, pixel_grid, resample

affine = Affine()
POINTS = pixel_grid(28, 28)
gammas = st.lists(st.floats(-1.5, 1.5, width=32), min_size=6, max_size=6)

SPECIAL = {
    "identity": (0, 0, 0, 0, 0, 0),
    "translation": (0, 0, 0, 0, 0.5, -0.3),
    "equal eigenvalues": (0.3, 1, 0, 0.3, 0.1, 0.2),
    "rotation": (0, -1.2, 1.2, 0, 0.1, 0.4),
    "singular": (0.4, 0.2, 0.8, 0.4, 0.3, 0.3),
    "positive delta": (1.0, 0, 0, -1.0, 0.1, 0.2),
    "negative delta": (0, -1.0, 1.0, 0, 0.1, 0.2),
    "large": (2.5, -3, 1, -2, 1, 1),
}


def generator_matrix(gamma):
    generator = gamma.new_zeros(len(gamma), 3, 3)
    generator[:, 0, :2], generator[:, 1, :2], generator[:, :2, 2] = gamma[:, 0:2], gamma[:, 2:4], gamma[:, 4:6]
    return generator


@settings(max_examples=100)
@given(gammas)
def test_matrix_is_the_matrix_exponential(values):
    """scipy's, because torch's is wrong in the tenth digit for some small float64 matrices."""
    gamma = torch.tensor([values], dtype=torch.float64)
    expected = torch.tensor(scipy.linalg.expm(generator_matrix(gamma)[0].numpy())[None, :2])
    torch.testing.assert_close(affine.matrix(gamma), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("values", SPECIAL.values(), ids=SPECIAL)
def test_matrix_of_special_generators_in_float32_and_float64(values):
    gamma = torch.tensor([values], dtype=torch.float64)
    expected = torch.tensor(scipy.linalg.expm(generator_matrix(gamma)[0].numpy())[None, :2])
    torch.testing.assert_close(affine.matrix(gamma), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(affine.matrix(gamma.float()), expected.float(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("values", SPECIAL.values(), ids=SPECIAL)
def test_gradient_equals_that_of_torch_matrix_exp(values, generator):
    gamma = torch.tensor([values], dtype=torch.float64) + torch.zeros(4, 1)
    gamma[1:] += 0.3 * torch.randn(3, 6, generator=generator, dtype=torch.float64)
    gamma.requires_grad_()
    cotangent = torch.randn(4, 2, 3, generator=generator, dtype=torch.float64)
    (ours,) = torch.autograd.grad(affine.matrix(gamma), gamma, cotangent)
    (theirs,) = torch.autograd.grad(torch.linalg.matrix_exp(generator_matrix(gamma))[:, :2], gamma, cotangent)
    torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("values", SPECIAL.values(), ids=SPECIAL)
def test_gradients_of_special_generators_equal_finite_differences(values):
    gamma = torch.tensor([values], dtype=torch.float64, requires_grad=True)
    points = pixel_grid(3, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(affine.apply, (gamma, points))


def test_gradient_of_random_generators_equals_finite_differences(generator):
    gamma = torch.randn(8, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(affine.matrix, gamma)


@settings(max_examples=100)
@given(st.lists(st.floats(-0.75, 0.75, width=32), min_size=6, max_size=6))
def test_inverse_and_negated_gamma_undo_the_map(values):
    gamma = torch.tensor([values])
    moved = affine.apply(gamma, POINTS)
    torch.testing.assert_close(affine.apply(gamma, moved, inverse=True)[0], POINTS, rtol=0, atol=1e-5)
    torch.testing.assert_close(affine.apply(-gamma, moved)[0], POINTS, rtol=0, atol=1e-5)


def test_zero_gamma_is_exactly_the_identity():
    assert torch.equal(affine.apply(torch.zeros(1, 6), POINTS)[0], POINTS)


def test_half_the_flow_twice_is_the_whole_flow(generator):
    gamma = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    points = pixel_grid(4, 4, dtype=torch.float64)
    halfway_twice = affine.apply(gamma / 2, affine.apply(gamma / 2, points))
    torch.testing.assert_close(affine.apply(gamma, points), halfway_twice)


def test_velocity_is_the_derivative_of_the_flow_at_time_zero(generator):
    gamma = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    points = torch.randn(3, 7, 2, generator=generator, dtype=torch.float64)
    time = 1e-4
    displacement = affine.apply(time * gamma, points) - affine.apply(-time * gamma, points)
    torch.testing.assert_close(affine.velocity(gamma, points), displacement / (2 * time), rtol=0, atol=1e-6)


def test_rotation_by_a_quarter_turn_and_translation():
    quarter = torch.tensor([[0, -math.pi / 2, math.pi / 2, 0, 0, 0]])
    torch.testing.assert_close(affine.apply(quarter, torch.tensor([[1.0, 0.0]]))[0], torch.tensor([[0.0, 1.0]]))
    shift = torch.tensor([[0.0, 0, 0, 0, 0.25, -0.5]])
    torch.testing.assert_close(affine.apply(shift, torch.zeros(1, 2))[0], torch.tensor([[0.25, -0.5]]))


def test_identity_warp_returns_the_image_and_no_warp_modifies_its_input(generator):
    images = torch.rand(3, 2, 9, 12, generator=generator)
    original = images.clone()
    torch.testing.assert_close(affine.warp(images, torch.zeros(3, 6)), original, rtol=0, atol=1e-6)
    affine.warp(images, torch.randn(3, 6, generator=generator))
    assert torch.equal(images, original)


def test_warp_pulls_back_by_whole_pixels(generator):
    image = torch.rand(1, 1, 5, 8, generator=generator)
    two_right = torch.tensor([[0, 0, 0, 0, 2 * 2 / 8, 0]])
    warped = affine.warp(image, two_right)
    torch.testing.assert_close(warped[..., :-2], image[..., 2:], rtol=0, atol=1e-6)


def test_points_outside_the_image_read_the_nearest_edge_pixel(generator):
    image = torch.rand(1, 1, 6, 6, generator=generator)
    far_right = torch.tensor([[0.0, 0, 0, 0, 5, 0]])
    torch.testing.assert_close(affine.warp(image, far_right), image[..., -1:].expand(1, 1, 6, 6))


def test_resampling_at_the_pixel_grid_returns_the_image(generator):
    image = torch.rand(1, 1, 4, 7, generator=generator)
    torch.testing.assert_close(resample(image, pixel_grid(4, 7)[None]), image)


def test_sequential_inverts_its_parts_in_reverse_order(generator):
    chain = Sequential(Affine(), Affine())
    gamma = torch.randn(4, 12, generator=generator, dtype=torch.float64)
    points = pixel_grid(5, 5, dtype=torch.float64)
    moved = chain.apply(gamma, points)
    first, second = gamma[:, :6], gamma[:, 6:]
    torch.testing.assert_close(moved, affine.apply(second, affine.apply(first, points)))
    torch.testing.assert_close(chain.apply(gamma, moved, inverse=True), points.expand(4, -1, -1))
    assert (chain.apply(-gamma, moved) - points).abs().max() > 0.01, "negating gamma must not be enough"


def test_strong_contraction_in_float32_is_finite():
    """e^s underflows and cosh overflows, although their product is an ordinary number."""
    matrix = affine.matrix(torch.tensor([[-200.0, 0, 0, 0, 0.1, 0.1]]))
    torch.testing.assert_close(matrix[0, :, :2], torch.tensor([[0.0, 0], [0, 1]]))


def test_error_names_the_component_of_gamma_that_is_not_finite():
    gamma = torch.zeros(2, 6)
    gamma[0, 4] = math.nan
    with pytest.raises(InputError, match=r"gamma must be finite, but component 4 of sample 0 is nan\."):
        affine.warp(torch.rand(2, 1, 4, 4), gamma)


def test_nan_points_do_not_crash_the_backward_pass_of_sampling():
    points = pixel_grid(4, 4)[None].repeat(2, 1, 1)
    points[0, 3] = math.nan
    images = torch.rand(2, 1, 4, 4, requires_grad=True)
    resample(images, points).sum().backward()
    assert images.grad.isfinite().all()
    affine.sample(images, torch.zeros(2, 6), points).sum().backward()
    assert images.grad.isfinite().all()


def test_errors_name_the_expected_and_the_actual_shape():
    with pytest.raises(InputError, match=r"images of torch.float32 and shape 2 x channels .* got torch.uint8 of shape"):
        affine.warp(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2, 6))
    with pytest.raises(InputError, match=r"got torch.float32 of shape \(3, 1, 4, 4\)"):
        affine.warp(torch.zeros(3, 1, 4, 4), torch.zeros(2, 6))
    with pytest.raises(
        InputError,
        match=r"Sequential\(Affine\(\)\) takes .* batch x 6, got .* \(2, 7\)",
    ):
        Sequential(Affine()).apply(torch.zeros(2, 7), POINTS)
    with pytest.raises(InputError, match=r"batch x 6, got torch.float32 of shape \(2, 5\)"):
        affine.warp(torch.zeros(2, 1, 4, 4), torch.zeros(2, 5))


@pytest.mark.parametrize("family", [affine, CPAB(), Sequential(affine, CPAB())], ids=str)
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda tensor: tensor.to("meta"), "on meta"),
        (lambda tensor: tensor.to_sparse(), "stored as torch.sparse_coo and not dense"),
        (lambda tensor: tensor.half(), "torch.float16"),
    ],
    ids=["another device", "sparse", "another dtype"],
)
def test_tensors_that_do_not_belong_together_are_refused(family, change, what):
    """Kernels read memory by address: a gamma from the meta device made them return memory of others."""
    gamma, images, points = torch.zeros(2, family.dim), torch.rand(2, 1, 4, 4), pixel_grid(4, 4)
    for arguments in ((images, change(gamma)), (change(images), gamma)):
        with pytest.raises(InputError, match=what):
            family.warp(*arguments)
    with pytest.raises(InputError, match=what):
        family.apply(gamma, change(points))


def test_a_family_without_its_dimension_is_refused():
    class Forgetful(Transformation):
        def apply(self, gamma, points, *, inverse=False):
            return points

    with pytest.raises(InputError, match="Forgetful must set dim"):
        Forgetful().warp(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2))
    with pytest.raises(InputError, match="Forgetful must set dim"):
        Sequential(affine, Forgetful())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((), "at least one transformation"),
        ((3,), r"Sequential takes transformations, .* but argument 1 is 3\."),
        ((affine, Affine), r"argument 2 is <class 'vitae.transforms.affine.Affine'>\."),
        (([affine, affine],), r"argument 1 is \[Affine\(\), Affine\(\)\]\."),
    ],
)
def test_sequential_takes_only_transformations(parts, message):
    with pytest.raises(InputError, match=message):
        Sequential(*parts)


def test_sequential_has_no_velocity_field():
    with pytest.raises(InputError, match=r"Sequential\(Affine\(\)\) has no velocity field"):
        Sequential(affine).velocity(torch.zeros(1, 6), POINTS)


def test_generators_move_points_as_their_names_say():
    """Half a unit of each generator moves the points (1, 0) and (0, 1) as in closed form."""
    c, s, e = math.cos(0.5), math.sin(0.5), math.exp(0.5)
    expected = {
        "right": ((1.5, 0), (0.5, 1)),
        "down": ((1, 0.5), (0, 1.5)),
        "rotation": ((c, s), (-s, c)),
        "scaling": ((e, 0), (0, e)),
        "along the axes": ((e, 0), (0, 1 / e)),
        "along the diagonals": ((math.cosh(0.5), math.sinh(0.5)), (math.sinh(0.5), math.cosh(0.5))),
    }
    moved = affine.apply(0.5 * affine.generators, torch.eye(2))
    torch.testing.assert_close(moved, torch.tensor(list(expected.values())))


def test_generators_of_sequential_are_those_of_its_parts():
    chain = Sequential(Affine(), CPAB((2, 2)), Affine())
    assert chain.generators.shape == (12, chain.dim)
    cpab_dim = CPAB((2, 2)).dim
    torch.testing.assert_close(chain.generators[:6, :6], affine.generators)
    torch.testing.assert_close(chain.generators[6:, 6 + cpab_dim :], affine.generators)
    assert chain.generators.count_nonzero() == 2 * affine.generators.count_nonzero()
    assert CPAB((2, 2)).generators.shape == (0, cpab_dim)

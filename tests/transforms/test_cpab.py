"""CPAB: integration, gradients, warping and invalid input."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitae import InputError
from vitae.transforms import CPAB, Affine, Sequential, fitted, pixel_grid
from vitae.transforms.kernels import cpab_reference, operators

MESHES = [(1, 1), (2, 4), (4, 4), (3, 5)]


def fields(cpab, generator, batch=4, size=0.2, dtype=torch.float64):
    return size * torch.randn(batch, cpab.dim, generator=generator, dtype=dtype)


def scattered(generator, batch=4, n=300, reach=1.0):
    return reach * (2 * torch.rand(batch, n, 2, generator=generator, dtype=torch.float64) - 1)


# The flow ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mesh", MESHES)
def test_error_of_automatic_steps_and_its_estimate(mesh, generator):
    """With 8 steps per unit of the Lipschitz constant, ordinary fields have errors of at most about a tenth of a pixel
    of 64, and the estimate is within a factor of two of the true error."""
    gamma = fields(CPAB(mesh), generator, 16)
    exact = CPAB(mesh, steps=1500).grid(gamma, 64, 64)
    error = 32 * (CPAB(mesh).grid(gamma, 64, 64) - exact).norm(dim=-1).amax(1)
    assert error.max() < 0.15
    ratio = CPAB(mesh).error(gamma, 64, 64) / error
    assert ratio.min() > 0.5
    assert ratio.max() < 2


@pytest.mark.parametrize("size", [0.1, 0.4])
def test_integration_has_order_two(size, generator):
    gamma = fields(CPAB((2, 4)), generator, 8, size)
    exact = CPAB((2, 4), steps=3000).grid(gamma, 32, 32)
    errors = [(CPAB((2, 4), steps=n).grid(gamma, 32, 32) - exact).abs().mean() for n in (20, 40, 80)]
    assert 3.4 < errors[0] / errors[1] < 4.8
    assert 3.4 < errors[1] / errors[2] < 4.8


def test_lipschitz_constant_is_the_largest_derivative(generator):
    cpab = CPAB((2, 4))
    gamma = fields(cpab, generator)
    points = scattered(generator, 4, 20_000).requires_grad_()
    x, y = cpab.velocity(gamma, points).unbind(-1)
    rows = [torch.autograd.grad(component.sum(), points, retain_graph=True)[0] for component in (x, y)]
    largest = torch.linalg.matrix_norm(torch.stack(rows, -2), 2).amax(1)
    torch.testing.assert_close(cpab.lipschitz_constant(gamma), largest)


def test_automatic_steps_follow_the_documented_rule():
    cpab = CPAB((1, 1))
    gamma = torch.zeros(3, cpab.dim)
    # One cell whose centre has velocity v: the derivative is v divided by half the cell's size, which is one.
    gamma[1, -1], gamma[2, -1] = 2.5, 100.0
    torch.testing.assert_close(cpab.lipschitz_constant(gamma), torch.tensor([0.0, 2.5, 100.0]))
    assert cpab.steps_of(gamma).tolist() == [8, 20, 128]
    assert CPAB((1, 1), steps=7).steps_of(gamma).tolist() == [7, 7, 7]


def test_too_few_steps_warn_once():
    operators._WARNED.clear()
    cpab = CPAB((1, 1), steps=3)
    gamma = torch.zeros(1, cpab.dim)
    gamma[0, -1] = 1.3  # needs 2.2 * 1.3 = 2.86 steps
    cpab.apply(gamma, pixel_grid(2, 2))
    gamma[0, -1] = 1.5
    with pytest.warns(UserWarning, match=r"3 steps are too few .* Lipschitz constant 1.5.*more steps"):
        cpab.apply(gamma, pixel_grid(2, 2))
    cpab.apply(2 * gamma, pixel_grid(2, 2))


@settings(max_examples=25)
@given(st.integers(1, 5), st.integers(1, 5), st.sampled_from(["slip", "free"]), st.integers(0, 2**31))
def test_inverse_and_composition_in_time(rows, columns, boundary, seed):
    generator = torch.Generator().manual_seed(seed)
    cpab = CPAB((rows, columns), boundary=boundary, steps=100)
    gamma = fields(cpab, generator, 3, 0.3 / max(rows, columns))
    points = scattered(generator, 3, 50)
    moved = cpab.apply(gamma, points)
    torch.testing.assert_close(cpab.apply(-gamma, moved), points, rtol=0, atol=2e-4)
    torch.testing.assert_close(cpab.apply(gamma, moved, inverse=True), points, rtol=0, atol=2e-4)
    in_two_parts = cpab.apply(0.7 * gamma, cpab.apply(0.3 * gamma, points))
    torch.testing.assert_close(in_two_parts, moved, rtol=0, atol=2e-4)


def test_inverse_error_in_pixels(generator):
    cpab = CPAB((2, 4), steps=50)
    gamma = fields(cpab, generator, 32, 0.2, torch.float32)
    points = pixel_grid(64, 64)
    back = cpab.apply(gamma, cpab.apply(gamma, points), inverse=True)
    assert 32 * (back - points).norm(dim=-1).max() < 1e-2
    assert 32 * (back - points).norm(dim=-1).mean() < 1e-4


def test_zero_gamma_is_exactly_the_identity():
    for mesh in MESHES:
        cpab = CPAB(mesh)
        points = pixel_grid(9, 7)
        assert torch.equal(cpab.apply(torch.zeros(2, cpab.dim), points), points.expand(2, -1, -1))


def test_slip_boundary_maps_to_itself_and_free_boundary_does_not(generator):
    side = torch.linspace(-1, 1, 101, dtype=torch.float64)
    for x, y in ((side, 1), (side, -1), (1, side), (-1, side)):
        edge = torch.stack(torch.broadcast_tensors(torch.as_tensor(x), torch.as_tensor(y)), -1).to(torch.float64)
        fixed = 1 if torch.is_tensor(x) else 0
        slip, free = CPAB((3, 2)), CPAB((3, 2), boundary="free")
        moved = slip.apply(fields(slip, generator, 4, 0.5), edge)
        torch.testing.assert_close(moved[..., fixed], edge[:, fixed].expand(4, -1), rtol=0, atol=1e-12)
        assert (moved - edge).abs().max() > 0.05, "boundary points must slide"
        assert moved.abs().max() <= 1 + 1e-12
        assert (free.apply(fields(free, generator, 4, 0.5), edge) - edge)[..., fixed].abs().max() > 0.05


def test_map_preserves_orientation_everywhere(generator):
    for boundary in ("slip", "free"):
        cpab = CPAB((4, 4), boundary=boundary)
        determinant = cpab.jacobian_determinant(fields(cpab, generator, 8, 0.4), pixel_grid(60, 60).double())
        assert determinant.min() > 0
        assert determinant.max() > 1.5


def test_determinant_of_an_affine_map_is_the_exponential_of_the_trace(generator):
    gamma = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    determinant = Affine().jacobian_determinant(gamma, pixel_grid(3, 3).double())
    torch.testing.assert_close(determinant, (gamma[:, 0] + gamma[:, 3]).exp()[:, None].expand(3, 9))


def test_velocity_outside_is_that_of_the_nearest_boundary_point(generator):
    cpab = CPAB((2, 2), boundary="free")
    gamma = fields(cpab, generator)
    outside = torch.tensor([[1.7, 0.3], [-4.0, -2.0]], dtype=torch.float64)
    torch.testing.assert_close(cpab.velocity(gamma, outside), cpab.velocity(gamma, outside.clamp(-1, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too few steps, on purpose
        assert cpab.apply(50 * gamma, outside).isfinite().all()


def test_constant_field_is_a_translation_and_linear_field_is_an_affine_map():
    cpab = CPAB((3, 4), boundary="free", steps=300)
    points = 0.4 * pixel_grid(6, 6).double()
    shift = cpab.gamma_of(torch.tensor([0.25, -0.125], dtype=torch.float64).expand(1, len(cpab.vertices), 2))
    torch.testing.assert_close(cpab.apply(shift, points)[0], points + torch.tensor([0.25, -0.125]))
    generator = torch.tensor([[0.1, -0.4], [0.4, 0.2]], dtype=torch.float64)
    linear = cpab.gamma_of((cpab.vertices @ generator.T)[None])
    torch.testing.assert_close(
        cpab.apply(linear, points)[0], points @ torch.linalg.matrix_exp(generator).T, atol=1e-6, rtol=0
    )


# Gradients and images ---------------------------------------------------------------------------------------------


def off_the_creases(generator, batch, n, mesh):
    """Points far from all mesh lines and creases, where finite differences are valid."""
    points = scattered(generator, batch, 40 * n)
    s, t = (cpab_reference.to_cells(points, *mesh) % 1).unbind(-1)
    distance = torch.stack([s, 1 - s, t, 1 - t, (s - t).abs(), (s + t - 1).abs()]).amin(0)
    return torch.stack([p[d.argsort(descending=True)[:n]] for p, d in zip(points, distance, strict=True)])


@pytest.mark.parametrize("boundary", ["slip", "free"])
@pytest.mark.parametrize("mesh", [(2, 4), (3, 2)])
def test_gradients_of_gamma_and_points_equal_finite_differences(mesh, boundary, generator):
    cpab = CPAB(mesh, boundary=boundary, steps=9)
    gamma = fields(cpab, generator, 3, 0.05).requires_grad_()
    points = off_the_creases(generator, 3, 8, mesh).requires_grad_()
    assert torch.autograd.gradcheck(cpab.apply, (gamma, points))
    assert torch.autograd.gradcheck(lambda p: cpab.apply(gamma.detach(), p), points[0].detach().requires_grad_())


def test_gradients_of_images_and_through_sequential_equal_finite_differences(generator):
    chain = Sequential(Affine(), CPAB((2, 2), boundary="free", steps=8))
    gamma = (0.1 * torch.randn(2, chain.dim, generator=generator, dtype=torch.float64)).requires_grad_()
    images = torch.rand(2, 2, 5, 4, generator=generator, dtype=torch.float64).requires_grad_()
    for inverse in (False, True):
        assert torch.autograd.gradcheck(lambda i, g: chain.warp(i, g, inverse=inverse), (images, gamma))  # noqa: B023


def test_sequential_samples_where_its_parts_move_the_points(generator):
    chain = Sequential(CPAB((2, 3)), Affine(), CPAB((1, 2), boundary="free"))
    gamma = 0.2 * torch.randn(3, chain.dim, generator=generator, dtype=torch.float64)
    images = torch.rand(3, 2, 9, 8, generator=generator, dtype=torch.float64)
    points = pixel_grid(9, 8, dtype=torch.float64)
    for inverse in (False, True):
        moved = chain.apply(gamma, points, inverse=inverse)
        expected = torch.nn.functional.grid_sample(
            images, moved.view(3, 9, 8, 2), padding_mode="border", align_corners=False
        )
        torch.testing.assert_close(chain.warp(images, gamma, inverse=inverse), expected)
    torch.testing.assert_close(
        chain.apply(gamma, chain.apply(gamma, points), inverse=True), points.expand(3, -1, -1), atol=2e-3, rtol=0
    )


def test_second_derivatives_raise_an_error():
    cpab = CPAB((1, 1))
    gamma = torch.full((1, cpab.dim), 0.1, requires_grad=True)
    (first,) = torch.autograd.grad(cpab.apply(gamma, pixel_grid(2, 2)).square().sum(), gamma, create_graph=True)
    with pytest.raises(InputError, match="no second derivatives"):
        first.sum().backward()


# Invalid input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mesh", [(0, 4), (2,), (2, 4, 1), (2.0, 4), "24", 3, (True, 2), (2, 1000)])
def test_invalid_tessellation(mesh):
    with pytest.raises(InputError, match=r"\(rows, columns\), two whole numbers from 1 to 100, got"):
        CPAB(mesh)


def test_invalid_shapes_and_options():
    cpab = CPAB((2, 4))
    gamma = torch.zeros(2, 30)
    points = pixel_grid(3, 3)
    with pytest.raises(InputError, match=r"Did you mean 'free'.*slip, free"):
        CPAB((2, 4), boundary="fre")
    for steps in (0, -3, 2.5, 10**6):
        with pytest.raises(InputError, match="steps must be a whole number from 1 to 10,000, or None"):
            CPAB((2, 4), steps=steps)
    with pytest.raises(
        InputError, match=r"CPAB\(\(2, 4\)\) takes floating-point gamma of shape batch x 30, got .*\(2, 29\)"
    ):
        cpab.apply(gamma[:, 1:], points)
    with pytest.raises(InputError, match=r"got torch.int64 of shape \(2, 30\)"):
        cpab.apply(gamma.long(), points)
    with pytest.raises(InputError, match=r"n x 2 or 2 x n x 2 .* got torch.float32 of shape \(9, 3\)"):
        cpab.apply(gamma, torch.zeros(9, 3))
    with pytest.raises(InputError, match=r"got torch.float32 of shape \(3, 9, 2\)"):
        cpab.apply(gamma, torch.zeros(3, 9, 2))
    with pytest.raises(InputError, match=r"got torch.float64 of shape \(9, 2\)"):
        cpab.apply(gamma, points.double())
    with pytest.raises(InputError, match=r"images of torch.float32 and shape 2 x .* got torch.float64"):
        cpab.warp(torch.zeros(2, 1, 3, 3, dtype=torch.float64), gamma)
    with pytest.raises(InputError, match="sampled at 12 points, row by row, got 9"):
        cpab.sample(torch.zeros(2, 1, 3, 4), gamma, points)
    for value in (math.nan, math.inf):
        gamma[1, 7] = value
        with pytest.raises(InputError, match=f"gamma must be finite, but component 7 of sample 1 is {value}"):
            cpab.warp(torch.zeros(2, 1, 3, 3), gamma)


def test_nan_points_stay_nan_and_do_not_affect_others():
    cpab = CPAB((2, 4))
    gamma = torch.full((1, cpab.dim), 0.1)
    points = pixel_grid(4, 4)
    expected = cpab.apply(gamma, points)
    points[5] = math.nan
    actual = cpab.apply(gamma, points)
    assert actual[0, 5].isnan().all()
    others = torch.arange(16) != 5
    assert torch.equal(actual[:, others], expected[:, others])


def test_fitting_recovers_a_map_of_the_same_family_and_approximates_others(generator):
    points = pixel_grid(12, 12, dtype=torch.float64)
    affine = Affine()
    gamma = 0.2 * torch.randn(1, 6, generator=generator, dtype=torch.float64)
    target = affine.apply(gamma, points)[0]
    torch.testing.assert_close(fitted(affine, points, target), gamma, atol=1e-4, rtol=0)
    cpab = CPAB((2, 2))
    nearest = fitted(cpab, points, target)
    misfit = (cpab.apply(nearest, points)[0] - target).square().sum()
    assert misfit < 0.5 * (points - target).square().sum()
    for other in nearest + 0.01 * torch.randn(5, cpab.dim, generator=generator, dtype=torch.float64):
        assert (cpab.apply(other[None], points)[0] - target).square().sum() > misfit


def test_mesh_first_used_in_inference_mode_supports_gradients_later():
    cpab = CPAB((5, 7))
    gamma = torch.full((1, cpab.dim), 0.01)
    with torch.inference_mode():
        cpab.apply(gamma, pixel_grid(3, 3))
        determinant = cpab.jacobian_determinant(gamma, pixel_grid(3, 3))
    gamma.requires_grad_()
    cpab.lipschitz_constant(gamma).sum().backward()
    cpab.velocity(gamma, pixel_grid(3, 3)).sum().backward()
    assert (determinant > 0).all()


def test_error_estimate_accepts_gamma_that_requires_gradients():
    cpab = CPAB((2, 2))
    gamma = torch.full((2, cpab.dim), 0.2, requires_grad=True)
    assert cpab.error(gamma, 16, 16).shape == (2,)
    with pytest.raises(InputError, match="must be finite"):
        cpab.error(gamma * math.nan, 16, 16)


def test_invalid_types_and_sizes():
    cpab = CPAB((2, 4))
    gamma = torch.zeros(1, 30)
    with pytest.raises(InputError, match="batch x 30, got list"):
        cpab.apply([[0.0] * 30], pixel_grid(2, 2))
    with pytest.raises(InputError, match="got list"):
        cpab.apply(gamma, [[0.0, 0.0]])
    with pytest.raises(InputError, match="got NoneType"):
        cpab.apply(gamma, None)
    with pytest.raises(InputError, match="got ndarray"):
        cpab.warp(np.zeros((1, 1, 4, 4)), gamma)
    with pytest.raises(InputError, match="batch x 23 x 2, got list"):
        cpab.gamma_of([[0.0, 0.0]])
    with pytest.raises(InputError, match="width must be a whole number of 1 or more, got 0"):
        cpab.error(torch.zeros(1, cpab.dim), 4, 0)
    with pytest.raises(InputError, match="height must be a whole number of 1 or more, got -1"):
        cpab.grid(gamma, -1, 4)
    with pytest.raises(InputError, match=r"vertex velocities of shape batch x 23 x 2, got \(1, 40, 2\)"):
        cpab.gamma_of(torch.zeros(1, 40, 2))
    with pytest.raises(InputError, match=r"n x 2 or 1 x n x 2 .* got torch.float32 of shape \(3, 9, 2\)"):
        cpab.jacobian_determinant(gamma, torch.zeros(3, 9, 2))
    with pytest.raises(InputError, match="steps must be"):
        CPAB((2, 4), steps=True)
    assert CPAB((2, 4), steps=np.int64(9)).steps == 9

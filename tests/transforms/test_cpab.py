import math
import warnings
from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitae import InputError
from vitae.transforms import CPAB, Affine, Sequential, fitted, pixel_grid
from vitae.transforms.kernels import cpab_reference, operators
from vitae.transforms.libcpab import gamma_of_theta, theta_of_gamma

MESHES = [(1, 1), (2, 4), (4, 4), (3, 5)]


def fields(cpab, generator, batch=4, size=0.2, dtype=torch.float64):
    return size * torch.randn(batch, cpab.dim, generator=generator, dtype=dtype)


def scattered(generator, batch=4, n=300, reach=1.0):
    return reach * (2 * torch.rand(batch, n, 2, generator=generator, dtype=torch.float64) - 1)


# The space of fields ----------------------------------------------------------------------------------------------


def triangles_of(rows, columns):
    """Corners of libcpab's triangles in our coordinates, in its order, written independently of the product."""
    found = []
    for column, row in product(range(columns), range(rows)):
        left, right = 2 * column / columns - 1, 2 * (column + 1) / columns - 1
        top, bottom = 2 * row / rows - 1, 2 * (row + 1) / rows - 1
        centre = ((left + right) / 2, (top + bottom) / 2)
        around = [(left, top), (left, bottom), (right, bottom), (right, top)]
        found += [[centre, around[i], around[(i + 1) % 4]] for i in range(4)]
    return np.round(np.array(found), 12)


def null_space(rows, columns, slip):
    """A basis of all continuous piecewise-affine fields, `d x triangles x 2 x 3`, by singular values as libcpab's."""
    triangles = triangles_of(rows, columns)
    n = len(triangles)
    constraints = []
    for i, j in combinations(range(n), 2):
        shared = set(map(tuple, triangles[i])) & set(map(tuple, triangles[j]))
        if len(shared) == 2:
            for point, axis in product(shared, range(2)):
                row = np.zeros((n, 2, 3))
                row[i, axis], row[j, axis] = [*point, 1], [-point[0], -point[1], -1]
                constraints.append(row.ravel())
    if slip:
        for i, triangle in enumerate(triangles):
            for point, axis in product(triangle, range(2)):
                if abs(point[axis]) == 1:
                    row = np.zeros((n, 2, 3))
                    row[i, axis] = [*point, 1]
                    constraints.append(row.ravel())
    _, values, vectors = np.linalg.svd(np.array(constraints))
    rank = (values > 1e-9).sum()
    return vectors[rank:].reshape(-1, n, 2, 3)


def inside(triangle, points):
    weights = np.linalg.solve(np.vstack([triangle.T, np.ones(3)]), np.vstack([points.T, np.ones(len(points))]))
    return (weights > 1e-9).all(0)


@pytest.mark.parametrize("slip", [True, False])
@pytest.mark.parametrize("mesh", MESHES)
def test_the_family_is_the_known_space_of_fields(mesh, slip, generator):
    cpab = CPAB(mesh, boundary="slip" if slip else "free")
    basis = null_space(*mesh, slip)
    assert cpab.dim == len(basis)
    points = scattered(generator, 1, 500)[0]
    triangles = triangles_of(*mesh)
    expected = torch.zeros(len(basis), len(points), 2, dtype=torch.float64)
    velocities = torch.zeros(len(basis), len(cpab.vertices), 2, dtype=torch.float64)
    for t, triangle in enumerate(triangles):
        maps = torch.tensor(basis[:, t])
        here = torch.tensor(inside(triangle, points.numpy()))
        expected[:, here] = torch.einsum("bij,nj->bni", maps[..., :2], points[here]) + maps[:, None, :, 2]
        for corner in torch.tensor(triangle):
            vertex = (cpab.vertices - corner).norm(dim=1).argmin()
            velocities[:, vertex] = maps[..., :2] @ corner + maps[..., 2]
    found = cpab.velocity(points, cpab.gamma_of(velocities))
    inner = torch.tensor(np.any([inside(triangle, points.numpy()) for triangle in triangles], axis=0))
    assert inner.sum() > 450
    assert (found - expected)[:, inner].abs().max() < 1e-10


@pytest.mark.parametrize(("mesh", "dim"), [((2, 4), 30), ((4, 4), 62), ((8, 8), 254)])
def test_dimensions_are_those_of_libcpab(mesh, dim):
    assert CPAB(mesh).dim == dim


def test_velocities_at_vertices_are_gamma_in_its_stated_order():
    cpab = CPAB((2, 3), boundary="free")
    gamma = torch.arange(cpab.dim, dtype=torch.float64)[None]
    torch.testing.assert_close(cpab.velocity(cpab.vertices, gamma)[0].flatten(), gamma[0])
    assert cpab.vertices[1].tolist() == pytest.approx([2 / 3 - 1, -1]), "corners go along the first row"
    assert cpab.vertices[3 * 4].tolist() == pytest.approx([1 / 3 - 1, -0.5]), "then come the centres"
    slip = CPAB((2, 3))
    gamma = torch.arange(1.0, slip.dim + 1)[None]
    assert torch.equal(slip.gamma_of(slip.vertex_velocities(gamma)), gamma)
    torch.testing.assert_close(slip.velocity(slip.vertices.float(), gamma), slip.vertex_velocities(gamma))


def test_libcpabs_parameters_go_over_and_come_back(generator):
    mesh = (2, 3)
    triangles = triangles_of(*mesh)
    ours = null_space(*mesh, True)
    # The same fields in libcpab's coordinates: (row, column) in [0, 1], affine maps fitted at the corners.
    to_theirs = np.concatenate([(triangles[..., ::-1] + 1) / 2, np.ones((*triangles.shape[:2], 1))], axis=-1)
    velocities = np.einsum("dtij,tkj->dtki", ours[..., :2], triangles) + ours[:, :, None, :, 2]
    maps = np.linalg.solve(to_theirs[None], velocities[..., ::-1] / 2).swapaxes(-1, -2)
    basis, _ = np.linalg.qr(maps.reshape(len(ours), -1).T)
    theta = torch.randn(5, basis.shape[1], generator=generator, dtype=torch.float64)
    cpab = CPAB(mesh)
    gamma = gamma_of_theta(theta, basis, cpab)
    torch.testing.assert_close(theta_of_gamma(gamma, basis, cpab), theta)
    # The velocity of libcpab at a triangle's centre of mass is ours there, axes swapped and twice as wide.
    centre = to_theirs.mean(1)
    theirs = np.einsum("tij,tj->ti", (theta.numpy() @ basis.T).reshape(5, -1, 2, 3)[0], centre)
    ours_there = cpab.velocity(torch.tensor(2 * centre[:, 1::-1].copy() - 1), gamma)[0]
    torch.testing.assert_close(ours_there, 2 * torch.tensor(theirs[:, ::-1].copy()))
    with pytest.raises(InputError, match="six for each triangle"):
        gamma_of_theta(theta, basis[:-1], cpab)
    with pytest.raises(InputError, match=f"batch x {basis.shape[1]}, got"):
        gamma_of_theta(theta[:, :-1], basis, cpab)
    crossing = np.zeros((len(basis), 1))
    crossing[2::6] = 1  # everything moves down
    with pytest.raises(InputError, match="cross the boundary"):
        gamma_of_theta(theta[:, :1], crossing, cpab)
    with pytest.raises(InputError, match="does not hold"):
        theta_of_gamma(gamma, basis[:, :2], cpab)


# The flow ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mesh", MESHES)
def test_accuracy_promised_for_the_automatic_steps(mesh, generator):
    """The rule of eight steps for a steepness of one: about a tenth of a pixel of 64 at most for ordinary fields, and
    the estimate of it is right within a factor of two."""
    gamma = fields(CPAB(mesh), generator, 16)
    exact = CPAB(mesh, steps=1500).grid(gamma, 64, 64)
    miss = 32 * (CPAB(mesh).grid(gamma, 64, 64) - exact).norm(dim=-1).amax(1)
    assert miss.max() < 0.15
    ratio = CPAB(mesh).error(gamma, 64, 64) / miss
    assert ratio.min() > 0.5
    assert ratio.max() < 2


@pytest.mark.parametrize("size", [0.1, 0.4])
def test_order_two(size, generator):
    gamma = fields(CPAB((2, 4)), generator, 8, size)
    exact = CPAB((2, 4), steps=3000).grid(gamma, 32, 32)
    miss = [(CPAB((2, 4), steps=n).grid(gamma, 32, 32) - exact).abs().mean() for n in (20, 40, 80)]
    assert 3.4 < miss[0] / miss[1] < 4.8
    assert 3.4 < miss[1] / miss[2] < 4.8


def test_steepness_is_the_largest_derivative(generator):
    cpab = CPAB((2, 4))
    gamma = fields(cpab, generator)
    points = scattered(generator, 4, 20_000).requires_grad_()
    x, y = cpab.velocity(points, gamma).unbind(-1)
    rows = [torch.autograd.grad(component.sum(), points, retain_graph=True)[0] for component in (x, y)]
    largest = torch.linalg.matrix_norm(torch.stack(rows, -2), 2).amax(1)
    torch.testing.assert_close(cpab.steepness(gamma), largest)


def test_steps_follow_the_stated_rule():
    cpab = CPAB((1, 1))
    gamma = torch.zeros(3, cpab.dim)
    # One cell with a centre that moves by v: the derivative is v over half the cell's size, which is one.
    gamma[1, -1], gamma[2, -1] = 2.5, 100.0
    torch.testing.assert_close(cpab.steepness(gamma), torch.tensor([0.0, 2.5, 100.0]))
    assert cpab.steps_of(gamma).tolist() == [8, 20, 128]
    assert CPAB((1, 1), steps=7).steps_of(gamma).tolist() == [7, 7, 7]


def test_a_field_too_steep_for_the_steps_warns_once():
    operators._SAID.clear()
    cpab = CPAB((1, 1), steps=3)
    gamma = torch.zeros(1, cpab.dim)
    gamma[0, -1] = 1.3  # 2.2 times which is 2.86
    cpab.apply(gamma, pixel_grid(2, 2))
    gamma[0, -1] = 1.5
    with pytest.warns(UserWarning, match=r"steepness 1.5 is too steep for 3 steps.*more steps"):
        cpab.apply(gamma, pixel_grid(2, 2))
    cpab.apply(2 * gamma, pixel_grid(2, 2))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(1, 5), st.sampled_from(["slip", "free"]), st.integers(0, 2**31))
def test_going_back_and_going_in_parts(rows, columns, boundary, seed):
    generator = torch.Generator().manual_seed(seed)
    cpab = CPAB((rows, columns), boundary=boundary, steps=100)
    gamma = fields(cpab, generator, 3, 0.3 / max(rows, columns))
    points = scattered(generator, 3, 50)
    there = cpab.apply(gamma, points)
    torch.testing.assert_close(cpab.apply(-gamma, there), points, rtol=0, atol=2e-4)
    torch.testing.assert_close(cpab.apply(gamma, there, inverse=True), points, rtol=0, atol=2e-4)
    in_parts = cpab.apply(0.7 * gamma, cpab.apply(0.3 * gamma, points))
    torch.testing.assert_close(in_parts, there, rtol=0, atol=2e-4)


def test_inverse_error_in_pixels(generator):
    cpab = CPAB((2, 4), steps=50)
    gamma = fields(cpab, generator, 32, 0.2, torch.float32)
    points = pixel_grid(64, 64)
    back = cpab.apply(gamma, cpab.apply(gamma, points), inverse=True)
    assert 32 * (back - points).norm(dim=-1).max() < 1e-2
    assert 32 * (back - points).norm(dim=-1).mean() < 1e-4


def test_zero_is_exactly_the_identity():
    for mesh in MESHES:
        cpab = CPAB(mesh)
        points = pixel_grid(9, 7)
        assert torch.equal(cpab.apply(torch.zeros(2, cpab.dim), points), points.expand(2, -1, -1))


def test_a_slip_boundary_maps_to_itself_and_a_free_one_does_not(generator):
    side = torch.linspace(-1, 1, 101, dtype=torch.float64)
    for x, y in ((side, 1), (side, -1), (1, side), (-1, side)):
        rim = torch.stack(torch.broadcast_tensors(torch.as_tensor(x), torch.as_tensor(y)), -1).to(torch.float64)
        fixed = 1 if torch.is_tensor(x) else 0
        slip, free = CPAB((3, 2)), CPAB((3, 2), boundary="free")
        moved = slip.apply(fields(slip, generator, 4, 0.5), rim)
        torch.testing.assert_close(moved[..., fixed], rim[:, fixed].expand(4, -1), rtol=0, atol=1e-12)
        assert (moved - rim).abs().max() > 0.05, "points of the boundary slide"
        assert moved.abs().max() <= 1 + 1e-12
        assert (free.apply(fields(free, generator, 4, 0.5), rim) - rim)[..., fixed].abs().max() > 0.05


def test_the_map_keeps_orientation_everywhere(generator):
    for boundary in ("slip", "free"):
        cpab = CPAB((4, 4), boundary=boundary)
        determinant = cpab.jacobian_determinant(fields(cpab, generator, 8, 0.4), pixel_grid(60, 60).double())
        assert determinant.min() > 0
        assert determinant.max() > 1.5


def test_determinant_of_an_affine_map_is_the_exponential_of_the_trace(generator):
    gamma = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    found = Affine().jacobian_determinant(gamma, pixel_grid(3, 3).double())
    torch.testing.assert_close(found, (gamma[:, 0] + gamma[:, 3]).exp()[:, None].expand(3, 9))


def test_outside_a_point_moves_as_the_nearest_point_of_the_boundary(generator):
    cpab = CPAB((2, 2), boundary="free")
    gamma = fields(cpab, generator)
    outside = torch.tensor([[1.7, 0.3], [-4.0, -2.0]], dtype=torch.float64)
    torch.testing.assert_close(cpab.velocity(outside, gamma), cpab.velocity(outside.clamp(-1, 1), gamma))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too steep, on purpose
        assert cpab.apply(50 * gamma, outside).isfinite().all()


def test_a_constant_free_field_is_a_translation_and_a_linear_one_is_affine():
    cpab = CPAB((3, 4), boundary="free", steps=300)
    points = 0.4 * pixel_grid(6, 6).double()
    shift = cpab.gamma_of(torch.tensor([0.25, -0.125], dtype=torch.float64).expand(1, len(cpab.vertices), 2))
    torch.testing.assert_close(cpab.apply(shift, points)[0], points + torch.tensor([0.25, -0.125]))
    generator = torch.tensor([[0.1, -0.4], [0.4, 0.2]], dtype=torch.float64)
    turn = cpab.gamma_of((cpab.vertices @ generator.T)[None])
    torch.testing.assert_close(
        cpab.apply(turn, points)[0], points @ torch.linalg.matrix_exp(generator).T, atol=1e-6, rtol=0
    )


# Gradients and images ---------------------------------------------------------------------------------------------


def off_the_creases(generator, batch, n, mesh):
    """Points with room to both sides before the next mesh line, where finite differences mean something."""
    points = scattered(generator, batch, 40 * n)
    place = cpab_reference.to_cells(points, *mesh) % 1
    s, t = place.unbind(-1)
    room = torch.stack([s, 1 - s, t, 1 - t, (s - t).abs(), (s + t - 1).abs()]).amin(0)
    return torch.stack([own[far.argsort(descending=True)[:n]] for own, far in zip(points, room, strict=True)])


@pytest.mark.parametrize("boundary", ["slip", "free"])
@pytest.mark.parametrize("mesh", [(2, 4), (3, 2)])
def test_gradients_for_gamma_and_points(mesh, boundary, generator):
    cpab = CPAB(mesh, boundary=boundary, steps=9)
    gamma = fields(cpab, generator, 3, 0.05).requires_grad_()
    points = off_the_creases(generator, 3, 8, mesh).requires_grad_()
    assert torch.autograd.gradcheck(cpab.apply, (gamma, points))
    assert torch.autograd.gradcheck(lambda p: cpab.apply(gamma.detach(), p), points[0].detach().requires_grad_())


def test_gradients_for_images_and_through_a_chain(generator):
    chain = Sequential(Affine(), CPAB((2, 2), boundary="free", steps=8))
    gamma = (0.1 * torch.randn(2, chain.dim, generator=generator, dtype=torch.float64)).requires_grad_()
    images = torch.rand(2, 2, 5, 4, generator=generator, dtype=torch.float64).requires_grad_()
    for inverse in (False, True):
        assert torch.autograd.gradcheck(lambda i, g: chain.warp(i, g, inverse=inverse), (images, gamma))  # noqa: B023


def test_a_chain_reads_where_its_parts_lead_one_by_one(generator):
    chain = Sequential(CPAB((2, 3)), Affine(), CPAB((1, 2), boundary="free"))
    gamma = 0.2 * torch.randn(3, chain.dim, generator=generator, dtype=torch.float64)
    images = torch.rand(3, 2, 9, 8, generator=generator, dtype=torch.float64)
    points = pixel_grid(9, 8, dtype=torch.float64)
    for inverse in (False, True):
        where = chain.apply(gamma, points, inverse=inverse)
        expected = torch.nn.functional.grid_sample(
            images, where.view(3, 9, 8, 2), padding_mode="border", align_corners=False
        )
        torch.testing.assert_close(chain.warp(images, gamma, inverse=inverse), expected)
    torch.testing.assert_close(
        chain.apply(gamma, chain.apply(gamma, points), inverse=True), points.expand(3, -1, -1), atol=2e-3, rtol=0
    )


def test_second_derivatives_are_refused():
    cpab = CPAB((1, 1))
    gamma = torch.full((1, cpab.dim), 0.1, requires_grad=True)
    (first,) = torch.autograd.grad(cpab.apply(gamma, pixel_grid(2, 2)).square().sum(), gamma, create_graph=True)
    with pytest.raises(InputError, match="no second derivatives"):
        first.sum().backward()


# Bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mesh", [(0, 4), (2,), (2, 4, 1), (2.0, 4), "24", 3, (True, 2), (2, 1000)])
def test_a_tessellation_that_is_none(mesh):
    with pytest.raises(InputError, match=r"\(rows, columns\), two whole numbers from 1 to 100, got"):
        CPAB(mesh)


def test_other_input_gets_one_sentence():
    cpab = CPAB((2, 4))
    gamma = torch.zeros(2, 30)
    points = pixel_grid(3, 3)
    with pytest.raises(InputError, match=r"Did you mean 'free'.*slip, free"):
        CPAB((2, 4), boundary="fre")
    for steps in (0, -3, 2.5, 10**6):
        with pytest.raises(InputError, match="steps must be a whole number from 1 to 10,000, or None"):
            CPAB((2, 4), steps=steps)
    with pytest.raises(
        InputError, match=r"CPAB\(\(2, 4\)\) takes floating point gamma of shape batch x 30, got .*\(2, 29\)"
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
    with pytest.raises(InputError, match=r"images of torch.float32 of shape 2 x .* got torch.float64"):
        cpab.warp(torch.zeros(2, 1, 3, 3, dtype=torch.float64), gamma)
    with pytest.raises(InputError, match="read at 12 points, row by row, got 9"):
        cpab.sample(torch.zeros(2, 1, 3, 4), gamma, points)
    for value in (math.nan, math.inf):
        gamma[1, 7] = value
        with pytest.raises(InputError, match=f"component 7 of gamma is {value} in sample 1.*needs finite"):
            cpab.warp(torch.zeros(2, 1, 3, 3), gamma)


def test_points_that_are_not_numbers_stay_so_and_harm_no_other():
    cpab = CPAB((2, 4))
    gamma = torch.full((1, cpab.dim), 0.1)
    points = pixel_grid(4, 4)
    expected = cpab.apply(gamma, points)
    points[5] = math.nan
    found = cpab.apply(gamma, points)
    assert found[0, 5].isnan().all()
    keep = torch.arange(16) != 5
    assert torch.equal(found[:, keep], expected[:, keep])


def test_fitting_finds_the_map_of_its_own_family_and_the_nearest_of_another(generator):
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


def test_a_mesh_first_used_in_inference_mode_takes_gradients_later():
    cpab = CPAB((5, 7))
    gamma = torch.full((1, cpab.dim), 0.01)
    with torch.inference_mode():
        cpab.apply(gamma, pixel_grid(3, 3))
        determinant = cpab.jacobian_determinant(gamma, pixel_grid(3, 3))
    gamma.requires_grad_()
    cpab.steepness(gamma).sum().backward()
    cpab.velocity(pixel_grid(3, 3), gamma).sum().backward()
    assert (determinant > 0).all()


def test_the_error_of_a_models_gamma_needs_no_detaching():
    cpab = CPAB((2, 2))
    gamma = torch.full((2, cpab.dim), 0.2, requires_grad=True)
    assert cpab.error(gamma, 16, 16).shape == (2,)
    with pytest.raises(InputError, match="needs finite"):
        cpab.error(gamma * math.nan, 16, 16)


def test_what_is_no_tensor_and_sizes_that_are_none_get_one_sentence():
    cpab = CPAB((2, 4))
    gamma = torch.zeros(1, 30)
    with pytest.raises(InputError, match="batch x 30, got a list"):
        cpab.apply([[0.0] * 30], pixel_grid(2, 2))
    with pytest.raises(InputError, match="got a list"):
        cpab.apply(gamma, [[0.0, 0.0]])
    with pytest.raises(InputError, match="got a ndarray"):
        cpab.warp(np.zeros((1, 1, 4, 4)), gamma)
    with pytest.raises(InputError, match="height must be a whole number of 1 or more, got -1"):
        cpab.grid(gamma, -1, 4)
    with pytest.raises(InputError, match=r"vertex velocities of shape batch x 23 x 2, got \(1, 40, 2\)"):
        cpab.gamma_of(torch.zeros(1, 40, 2))
    with pytest.raises(InputError, match=r"n x 2 or 1 x n x 2 .* got torch.float32 of shape \(3, 9, 2\)"):
        cpab.jacobian_determinant(gamma, torch.zeros(3, 9, 2))
    with pytest.raises(InputError, match="steps must be"):
        CPAB((2, 4), steps=True)
    assert CPAB((2, 4), steps=np.int64(9)).steps == 9

"""The space of CPAB velocity fields, against an independent construction, and its conversion to libcpab."""

from itertools import combinations, product

import numpy as np
import pytest
import torch

from vitae import InputError
from vitae.transforms import CPAB
from vitae.transforms.libcpab import gamma_of_theta, theta_of_gamma


def triangles_of(rows, columns):
    """Corners of libcpab's triangles, in its order, in our coordinates; written independently of the package."""
    triangles = []
    for column, row in product(range(columns), range(rows)):
        left, right = 2 * column / columns - 1, 2 * (column + 1) / columns - 1
        top, bottom = 2 * row / rows - 1, 2 * (row + 1) / rows - 1
        centre = ((left + right) / 2, (top + bottom) / 2)
        around = [(left, top), (left, bottom), (right, bottom), (right, top)]
        triangles += [[centre, around[i], around[(i + 1) % 4]] for i in range(4)]
    return np.round(np.array(triangles), 12)


def null_space(rows, columns, slip):
    """A basis of all continuous piecewise-affine fields, `d x triangles x 2 x 3`, from an SVD as in libcpab."""
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
@pytest.mark.parametrize("mesh", [(1, 1), (2, 4), (4, 4), (3, 5)])
def test_fields_are_the_null_space_of_the_continuity_constraints(mesh, slip, generator):
    cpab = CPAB(mesh, boundary="slip" if slip else "free")
    basis = null_space(*mesh, slip)
    assert cpab.dim == len(basis)
    points = 2 * torch.rand(500, 2, generator=generator, dtype=torch.float64) - 1
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
    actual = cpab.velocity(cpab.gamma_of(velocities), points)
    inner = torch.tensor(np.any([inside(triangle, points.numpy()) for triangle in triangles], axis=0))
    assert inner.sum() > 450
    assert (actual - expected)[:, inner].abs().max() < 1e-10


@pytest.mark.parametrize(("mesh", "dim"), [((2, 4), 30), ((4, 4), 62), ((8, 8), 254)])
def test_dimensions_equal_those_of_libcpab(mesh, dim):
    assert CPAB(mesh).dim == dim


def test_gamma_is_the_vertex_velocities_in_the_documented_order():
    cpab = CPAB((2, 3), boundary="free")
    gamma = torch.arange(cpab.dim, dtype=torch.float64)[None]
    torch.testing.assert_close(cpab.velocity(gamma, cpab.vertices)[0].flatten(), gamma[0])
    assert cpab.vertices[1].tolist() == pytest.approx([2 / 3 - 1, -1]), "the first corners are the first row"
    assert cpab.vertices[3 * 4].tolist() == pytest.approx([1 / 3 - 1, -0.5]), "the centres follow the corners"
    slip = CPAB((2, 3))
    gamma = torch.arange(1.0, slip.dim + 1)[None]
    assert torch.equal(slip.gamma_of(slip.vertex_velocities(gamma)), gamma)
    torch.testing.assert_close(slip.velocity(gamma, slip.vertices.float()), slip.vertex_velocities(gamma))


def test_libcpab_parameters_convert_to_gamma_and_back(generator):
    mesh = (2, 3)
    triangles = triangles_of(*mesh)
    ours = null_space(*mesh, True)
    # The same fields in libcpab's coordinates, (row, column) in [0, 1]: affine maps with equal values at the corners.
    to_theirs = np.concatenate([(triangles[..., ::-1] + 1) / 2, np.ones((*triangles.shape[:2], 1))], axis=-1)
    velocities = np.einsum("dtij,tkj->dtki", ours[..., :2], triangles) + ours[:, :, None, :, 2]
    maps = np.linalg.solve(to_theirs[None], velocities[..., ::-1] / 2).swapaxes(-1, -2)
    basis, _ = np.linalg.qr(maps.reshape(len(ours), -1).T)
    theta = torch.randn(5, basis.shape[1], generator=generator, dtype=torch.float64)
    cpab = CPAB(mesh)
    gamma = gamma_of_theta(theta, basis, cpab)
    torch.testing.assert_close(theta_of_gamma(gamma, basis, cpab), theta)
    # libcpab's velocity at a triangle's centre of mass equals ours after swapping axes and doubling.
    centre = to_theirs.mean(1)
    theirs = np.einsum("tij,tj->ti", (theta.numpy() @ basis.T).reshape(5, -1, 2, 3)[0], centre)
    ours_there = cpab.velocity(gamma, torch.tensor(2 * centre[:, 1::-1].copy() - 1))[0]
    torch.testing.assert_close(ours_there, 2 * torch.tensor(theirs[:, ::-1].copy()))
    with pytest.raises(InputError, match="six for each triangle"):
        gamma_of_theta(theta, basis[:-1], cpab)
    with pytest.raises(InputError, match=rf"batch x {basis.shape[1]} for this basis, got \(5, {basis.shape[1] - 1}\)"):
        gamma_of_theta(theta[:, :-1], basis, cpab)
    crossing = np.zeros((len(basis), 1))
    crossing[2::6] = 1  # everything moves down
    with pytest.raises(InputError, match="cross the boundary"):
        gamma_of_theta(theta[:, :1], crossing, cpab)
    with pytest.raises(InputError, match="not in the span of this basis"):
        theta_of_gamma(gamma, basis[:, :2], cpab)

"""Convert CPAB parameters to and from those of libcpab (0.1.3 and the original).

The differences. libcpab's domain is `[0, 1]^2`, and component 0 of its points indexes the *rows* of an image: its
tessellation [2, 4] is two cells down and four across, as here, and its point (a, b) is (x, y) = (2 b - 1, 2 a - 1)
here. It samples images with `align_corners=True`. Its theta is a vector of coordinates in a basis of piecewise-affine
fields, one 2 x 3 matrix per triangle. The basis comes from a singular value decomposition and differs between machines,
so use the basis of the object that theta belongs to, `cpab.get_basis()`. `zero_boundary=True` is the boundary `slip`.
The fields of `zero_boundary=False` are a subset of the boundary `free`; they agree inside the square but not outside,
where libcpab extrapolates linearly and this package uses the velocity of the nearest boundary point.
"""

from itertools import product

import torch
from torch import Tensor

from vitae.support.errors import InputError
from vitae.transforms.cpab import CPAB


def _triangles(cpab: CPAB) -> Tensor:
    """The vertex indices of each triangle, `(4 * cells) x 3`, with the triangles in libcpab's order."""
    rows, columns = cpab.tessellation
    triangles = []
    for column, row in product(range(columns), range(rows)):
        centre = (rows + 1) * (columns + 1) + row * columns + column
        corner = row * (columns + 1) + column
        # libcpab goes around the cell along component 0 first, which points down.
        around = [corner, corner + columns + 1, corner + columns + 2, corner + 1]
        triangles += [(centre, around[side], around[(side + 1) % 4]) for side in range(4)]
    return torch.tensor(triangles)


def _corners(cpab: CPAB) -> tuple[Tensor, Tensor]:
    """The triangles and their corners, `triangles x 3 x 3`, in libcpab's homogeneous coordinates (row, column, 1)."""
    triangles = _triangles(cpab)
    vertices = (cpab.vertices.flip(-1) + 1) / 2
    return triangles, torch.cat([vertices, torch.ones(len(vertices), 1, dtype=vertices.dtype)], dim=1)[triangles]


def _basis(basis, cpab: CPAB) -> Tensor:
    basis = torch.as_tensor(basis, dtype=torch.float64)
    rows, columns = cpab.tessellation
    if basis.ndim != 2 or len(basis) != 24 * rows * columns:
        raise InputError(
            f"the basis of a {rows} x {columns} tessellation needs {24 * rows * columns} rows, six for each triangle, "
            f"got shape {tuple(basis.shape)}."
        )
    return basis


def orthonormal_basis(cpab: CPAB) -> Tensor:
    """An orthonormal basis of the family in libcpab's format, `(6 * triangles) x dim`, float64.

    libcpab computes its basis by another decomposition, but N(0, I) over theta gives the same distribution of fields in
    any orthonormal basis.
    """
    triangles, corners = _corners(cpab)
    at_corners = (cpab.vertex_velocities(torch.eye(cpab.dim, dtype=torch.float64)) / 2).flip(-1)[:, triangles]
    maps = torch.linalg.solve(corners, at_corners).mT.flatten(1)
    return torch.linalg.qr(maps.T).Q


def gamma_of_theta(theta: Tensor, basis, cpab: CPAB) -> Tensor:
    """Convert libcpab's parameters to gamma, `batch x dim`.

    Args:
        theta: libcpab's parameters, `batch x d`.
        basis: libcpab's basis, `(6 * triangles) x d`.
        cpab: the family of the same tessellation, with boundary `slip` for `zero_boundary=True` and `free` otherwise.

    Raises:
        InputError: the shapes do not match, or a field moves points across a `slip` boundary.
    """
    basis = _basis(basis, cpab)
    if theta.ndim != 2 or theta.shape[1] != basis.shape[1]:
        raise InputError(f"theta must have shape batch x {basis.shape[1]} for this basis, got {tuple(theta.shape)}.")
    triangles, corners = _corners(cpab)
    maps = (theta.double() @ basis.T).unflatten(1, (len(triangles), 2, 3))
    # libcpab's components are (row, column) and its square is half as wide as ours.
    at_corners = 2 * torch.einsum("btij,tkj->btki", maps, corners).flip(-1)
    velocities = at_corners.new_zeros(len(theta), len(cpab.vertices), 2)
    velocities[:, triangles.flatten()] = at_corners.flatten(1, 2)
    gamma = cpab.gamma_of(velocities)
    if not torch.allclose(cpab.vertex_velocities(gamma), velocities, atol=1e-6 * (1 + velocities.abs().max())):
        raise InputError(f"these fields cross the boundary, which {cpab} does not allow: use boundary='free'.")
    return gamma.to(theta.dtype)


def theta_of_gamma(gamma: Tensor, basis, cpab: CPAB) -> Tensor:
    """Convert gamma to libcpab's parameters, `batch x d`.

    Args:
        gamma: `batch x dim`.
        basis: libcpab's basis, `(6 * triangles) x d`, with orthonormal columns.
        cpab: the family of gamma.

    Raises:
        InputError: the shapes do not match, or a field is not in the span of the basis.
    """
    basis = _basis(basis, cpab)
    triangles, corners = _corners(cpab)
    at_corners = (cpab.vertex_velocities(gamma.double()) / 2).flip(-1)[:, triangles]
    maps = torch.linalg.solve(corners, at_corners).mT.flatten(1)
    theta = maps @ basis
    if not torch.allclose(theta @ basis.T, maps, atol=1e-6 * (1 + maps.abs().max())):
        raise InputError(
            "these fields are not in the span of this basis: libcpab with zero_boundary=False has fewer fields than "
            "boundary='free'."
        )
    return theta.to(gamma.dtype)

"""To and from the parameters of libcpab (0.1.3 and the original), for those who come from it.

What differs. libcpab's domain is `[0, 1]^2` and component 0 of its points indexes an image's *rows*: its [2, 4] is two
cells down and four across, as ours, and its point (a, b) is our (x, y) = (2 b - 1, 2 a - 1). It reads images with
`align_corners=True`. Its theta are coordinates in a basis of affine maps, one 2 x 3 matrix for each triangle, that
comes from a singular value decomposition and differs between machines: take the basis from the object that theta
belongs to, `cpab.get_basis()`. `zero_boundary=True` is our boundary `slip`. With `zero_boundary=False` its fields lie
in our boundary `free`; they agree inside the square, and outside, where libcpab extrapolates linearly and we hold the
velocity of the boundary, they do not.
"""

from itertools import product

import torch
from torch import Tensor

from vitae.support.errors import InputError
from vitae.transforms.cpab import CPAB


def _triangles(cpab: CPAB) -> Tensor:
    """Vertex numbers of each triangle, `4 cells x 3`, triangles in libcpab's order."""
    rows, columns = cpab.tessellation
    triangles = []
    for column, row in product(range(columns), range(rows)):
        centre = (rows + 1) * (columns + 1) + row * columns + column
        corner = row * (columns + 1) + column
        # libcpab goes around the cell along component 0 first, which is down.
        around = [corner, corner + columns + 1, corner + columns + 2, corner + 1]
        triangles += [(centre, around[side], around[(side + 1) % 4]) for side in range(4)]
    return torch.tensor(triangles)


def _corners(cpab: CPAB) -> tuple[Tensor, Tensor]:
    """Triangles, and their corners in libcpab's homogeneous coordinates (row, column, 1), `triangles x 3 x 3`."""
    triangles = _triangles(cpab)
    places = (cpab.vertices.flip(-1) + 1) / 2
    return triangles, torch.cat([places, torch.ones(len(places), 1, dtype=places.dtype)], dim=1)[triangles]


def _basis(basis, cpab: CPAB) -> Tensor:
    basis = torch.as_tensor(basis, dtype=torch.float64)
    rows, columns = cpab.tessellation
    if basis.ndim != 2 or len(basis) != 24 * rows * columns:
        raise InputError(
            f"the basis of a {rows} x {columns} tessellation has {24 * rows * columns} rows, six for each triangle, "
            f"got {tuple(basis.shape)}."
        )
    return basis


def orthonormal_basis(cpab: CPAB) -> Tensor:
    """A basis like libcpab's, `(6 * triangles) x dim`, of all fields of the family, float64.

    libcpab's own comes from another decomposition; N(0, I) over theta is the same distribution of fields with any.
    """
    triangles, corners = _corners(cpab)
    at_corners = (cpab.vertex_velocities(torch.eye(cpab.dim, dtype=torch.float64)) / 2).flip(-1)[:, triangles]
    maps = torch.linalg.solve(corners, at_corners).mT.flatten(1)
    return torch.linalg.qr(maps.T).Q


def gamma_of_theta(theta: Tensor, basis, cpab: CPAB) -> Tensor:
    """Our parameters of libcpab's fields, `batch x dim`.

    Args:
        theta: `batch x d`.
        basis: libcpab's, `(6 * triangles) x d`.
        cpab: of the same tessellation, `slip` for `zero_boundary=True` and `free` otherwise.

    Raises:
        InputError: shapes that do not belong together, or fields that move points across a `slip` boundary.
    """
    basis = _basis(basis, cpab)
    if theta.ndim != 2 or theta.shape[1] != basis.shape[1]:
        raise InputError(f"theta of this basis is batch x {basis.shape[1]}, got {tuple(theta.shape)}.")
    triangles, corners = _corners(cpab)
    maps = (theta.double() @ basis.T).unflatten(1, (len(triangles), 2, 3))
    # libcpab's components are (row, column) and its square is half as wide as ours.
    at_corners = 2 * torch.einsum("btij,tkj->btki", maps, corners).flip(-1)
    velocities = at_corners.new_zeros(len(theta), len(cpab.vertices), 2)
    velocities[:, triangles.flatten()] = at_corners.flatten(1, 2)
    gamma = cpab.gamma_of(velocities)
    if not torch.allclose(cpab.vertex_velocities(gamma), velocities, atol=1e-6 * (1 + velocities.abs().max())):
        raise InputError(f"these fields cross the boundary and {cpab} does not: give boundary='free'.")
    return gamma.to(theta.dtype)


def theta_of_gamma(gamma: Tensor, basis, cpab: CPAB) -> Tensor:
    """libcpab's parameters of our fields, `batch x d`.

    Args:
        gamma: `batch x dim`.
        basis: libcpab's, `(6 * triangles) x d`, with orthonormal columns as it comes.
        cpab: the family of gamma.

    Raises:
        InputError: shapes that do not belong together, or a field that this basis does not hold.
    """
    basis = _basis(basis, cpab)
    triangles, corners = _corners(cpab)
    at_corners = (cpab.vertex_velocities(gamma.double()) / 2).flip(-1)[:, triangles]
    maps = torch.linalg.solve(corners, at_corners).mT.flatten(1)
    theta = maps @ basis
    if not torch.allclose(theta @ basis.T, maps, atol=1e-6 * (1 + maps.abs().max())):
        raise InputError(
            "this basis does not hold these fields: libcpab with zero_boundary=False has fewer of them than ours."
        )
    return theta.to(gamma.dtype)

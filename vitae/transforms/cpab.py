"""CPAB: diffeomorphisms that are flows of continuous piecewise-affine velocity fields (Freifeld et al., 2015).

The square `[-1, 1]^2` is cut into rows x columns cells, and each cell by its centre into four triangles. gamma holds
the velocities at the corners and centres of the cells, so its units are half images per unit of time, those of
`Affine`'s translation; between vertices the velocity is interpolated linearly. `flow` has the mathematics.
"""

import numbers

import torch
from torch import Tensor

from vitae.support.errors import InputError, require_known, require_number
from vitae.transforms.base import Transformation, pixel_grid
from vitae.transforms.kernels import cpab_reference, operators

_MOST_CELLS_A_SIDE = 100
_MOST_STEPS = 10_000


class CPAB(Transformation):
    """The family of a tessellation; gamma is the free velocity components, vertex by vertex, x before y.

    Vertices come in the order of `vertices`: corners row by row from the top left, then cell centres row by row.

    Args:
        tessellation: (rows, columns), cells down and cells across, as in an image's height x width.
        boundary: `slip` keeps the square: on its boundary only the tangential component is free, so the corners stay
            and boundary points slide; dim = 2 n - 2 (rows + 1) - 2 (columns + 1) for n vertices. `free` has all
            2 n components, and points may leave; outside, a point moves as the nearest point of the boundary does.
        steps: of the integrator, for every field; None chooses them for each field by its steepness L (see
            `steepness`): 8 L, rounded up, at least 8 and at most 128. The book's chapter on transformations shows the
            error that this leaves; `error` estimates it for a given gamma.

    Raises:
        InputError: a tessellation or a number of steps that makes no sense.
    """

    def __init__(self, tessellation: tuple[int, int] = (2, 4), boundary: str = "slip", steps: int | None = None):
        whole = isinstance(tessellation, (tuple, list)) and all(
            isinstance(side, numbers.Integral) and not isinstance(side, bool) and 1 <= side <= _MOST_CELLS_A_SIDE
            for side in tessellation
        )
        if not whole or len(tessellation) != 2:
            raise InputError(
                f"a tessellation is (rows, columns), two whole numbers from 1 to {_MOST_CELLS_A_SIDE}, "
                f"got {tessellation!r}."
            )
        whole = isinstance(steps, numbers.Integral) and not isinstance(steps, bool)
        if steps is not None and not (whole and 1 <= steps <= _MOST_STEPS):
            raise InputError(f"steps must be a whole number from 1 to {_MOST_STEPS:,}, or None, got {steps!r}.")
        self.tessellation = (int(tessellation[0]), int(tessellation[1]))
        self.boundary = require_known("boundary", boundary, ("slip", "free"))
        self.steps = None if steps is None else int(steps)
        self._slip = boundary == "slip"
        self.dim = len(cpab_reference.free_components(*self.tessellation, self._slip))

    @property
    def vertices(self) -> Tensor:
        """Where the velocities of gamma live, `n x 2` points (x, y), float64."""
        return cpab_reference.vertices(*self.tessellation)

    def vertex_velocities(self, gamma: Tensor) -> Tensor:
        """All vertices' velocities, `batch x n x 2`, those that the boundary holds at zero included."""
        self.check(gamma)
        free = cpab_reference.free_components(*self.tessellation, self._slip)
        # Columns of gamma, and of a column of zeros beside it.
        column = [self.dim] * (2 * len(self.vertices))
        for position, component in enumerate(free):
            column[component] = position
        return torch.cat([gamma, gamma[:, :1] * 0], dim=1)[:, column].unflatten(1, (-1, 2))

    def gamma_of(self, velocities: Tensor) -> Tensor:
        """The gamma with these vertex velocities, `batch x n x 2` to `batch x dim`; held components are dropped."""
        n = len(self.vertices)
        if velocities.ndim != 3 or velocities.shape[1:] != (n, 2):
            raise InputError(f"{self} has vertex velocities of shape batch x {n} x 2, got {tuple(velocities.shape)}.")
        free = cpab_reference.free_components(*self.tessellation, self._slip)
        return velocities.flatten(1)[:, list(free)]

    def apply(self, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        # Neighbours in a list of points are taken to be neighbours in the plane: it costs time if they are not.
        points = self.check_points(gamma, points)
        return self._moved(gamma, points, 1, points.shape[1], inverse)

    def grid(self, gamma: Tensor, height: int, width: int, *, inverse: bool = False) -> Tensor:
        """Where each pixel of a warped image looks, `batch x (height * width) x 2`; faster than `apply` to a grid."""
        self.check(gamma)
        require_number("height", height, 1, whole=True)
        require_number("width", width, 1, whole=True)
        points = pixel_grid(height, width, dtype=gamma.dtype, device=gamma.device)[None]
        return self._moved(gamma, points, height, width, inverse)

    def _moved(self, gamma: Tensor, points: Tensor, height: int, width: int, inverse: bool) -> Tensor:
        return operators.cpab_flow(-gamma if inverse else gamma, points, *self._mesh(), height, width)

    def sample(self, images: Tensor, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        points = self.check_sample(images, gamma, points)
        return operators.cpab_sample(-gamma if inverse else gamma, points, images, *self._mesh())

    def _mesh(self) -> tuple[int, int, bool, int]:
        return *self.tessellation, self._slip, self.steps or 0

    def velocity(self, points: Tensor, gamma: Tensor) -> Tensor:
        """The velocity field at points, `batch x n x 2`, in half images per unit of time."""
        points = self.check_points(gamma, points)
        field = self._coefficients(gamma)
        at = cpab_reference.to_cells(points, *self.tessellation).expand(len(gamma), -1, -1)
        rows, columns = self.tessellation
        return cpab_reference.velocity(field, at, rows, columns) * 2 / points.new_tensor([columns, rows])

    def _coefficients(self, gamma: Tensor) -> Tensor:
        self.check(gamma)
        return cpab_reference.coefficients_of(gamma, *self.tessellation, self._slip)

    def steepness(self, gamma: Tensor) -> Tensor:
        """Each field's Lipschitz constant, `batch`, per unit of time: the largest 2-norm of its derivative."""
        return cpab_reference.steepness(self._coefficients(gamma), *self.tessellation)

    def steps_of(self, gamma: Tensor) -> Tensor:
        """The steps that each field takes, `batch`."""
        return cpab_reference.steps_of(self.steepness(gamma), self.steps or 0)

    def error(self, gamma: Tensor, height: int, width: int) -> Tensor:
        """An estimate of how far any pixel of a height x width image misses the exact flow, `batch`, in pixels.

        The scheme is of order two: twice the steps leave a quarter of the error, so 4/3 of what they change is it.
        This costs two more calls.
        """
        self.check(gamma)
        gamma = gamma.detach()
        operators.require_finite(gamma)
        taken = self.steps_of(gamma)
        points = pixel_grid(height, width, dtype=gamma.dtype, device=gamma.device)[None]
        kernels, field = operators.kernels_for(points), self._coefficients(gamma)
        coarse, fine = (
            kernels.moved(field, steps, points, *self.tessellation, height, width) for steps in (taken, 2 * taken)
        )
        size = points.new_tensor([width / 2, height / 2])
        return ((fine - coarse) * size).norm(dim=-1).amax(-1) * 4 / 3

    def __repr__(self) -> str:
        changed = [f"boundary={self.boundary!r}"] * (not self._slip) + [f"steps={self.steps}"] * bool(self.steps)
        return f"CPAB({', '.join([str(self.tessellation), *changed])})"

"""CPAB: diffeomorphisms that are flows of continuous piecewise-affine velocity fields (Freifeld et al., 2015).

The square `[-1, 1]^2` is divided into rows x columns cells, and the two diagonals of each cell divide it into four
triangles. gamma holds the velocities at the corners and centres of the cells, in units of half the image per unit of
time, as for the translation of `Affine`; in between, the velocity is interpolated linearly.
`kernels.cpab_reference` describes the mathematics and the numerical integration.
"""

import numbers

import torch
from torch import Tensor

from vitae.support.errors import InputError, require_known, require_number
from vitae.transforms.base import Transformation, pixel_grid
from vitae.transforms.kernels import cpab_reference, operators

_MAX_CELLS_PER_SIDE = 100
_MAX_STEPS = 10_000


def _is_integer_up_to(limit: int, value) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and 1 <= value <= limit


class CPAB(Transformation):
    """The CPAB family of a tessellation; gamma is the free velocity components, vertex by vertex, x before y.

    The order of the vertices is that of `vertices`: cell corners row by row from the top left, then cell centres row by
    row.

    Args:
        tessellation: (rows, columns), the number of cells down and across, as in an image's height x width.
        boundary: with `slip`, the square maps to itself: boundary vertices have only a tangential velocity component,
            so boundary points slide and corners do not move; dim = 2 n - 2 (rows + 1) - 2 (columns + 1) for n
            vertices. With `free`, all 2 n components are free and points may leave the square; outside, a point has
            the velocity of the nearest boundary point.
        steps: the number of integration steps. None chooses it for each field from its Lipschitz constant L (see
            `lipschitz_constant`): 8 L, rounded up, at least 8 and at most 128. The book's chapter on transformations
            shows the resulting error; `error` estimates it for a given gamma.

    Raises:
        InputError: the tessellation, the boundary or the number of steps is invalid.
    """

    def __init__(self, tessellation: tuple[int, int] = (2, 4), boundary: str = "slip", steps: int | None = None):
        valid = isinstance(tessellation, (tuple, list)) and all(
            _is_integer_up_to(_MAX_CELLS_PER_SIDE, side) for side in tessellation
        )
        if not valid or len(tessellation) != 2:
            raise InputError(
                f"a tessellation is (rows, columns), two whole numbers from 1 to {_MAX_CELLS_PER_SIDE}, "
                f"got {tessellation!r}."
            )
        if steps is not None and not _is_integer_up_to(_MAX_STEPS, steps):
            raise InputError(f"steps must be a whole number from 1 to {_MAX_STEPS:,}, or None, got {steps!r}.")
        self.tessellation = (int(tessellation[0]), int(tessellation[1]))
        self.boundary = require_known("boundary", boundary, ("slip", "free"))
        self.steps = None if steps is None else int(steps)
        self._slip = boundary == "slip"
        self.dim = len(cpab_reference.free_components(*self.tessellation, self._slip))

    @property
    def vertices(self) -> Tensor:
        """The mesh vertices, at which gamma gives the velocities, `n x 2` points (x, y), float64."""
        return cpab_reference.vertices(*self.tessellation)

    def vertex_velocities(self, gamma: Tensor) -> Tensor:
        """The velocities of all vertices, `batch x n x 2`, zero for components that a `slip` boundary fixes.

        Raises:
            InputError: gamma is not `batch x dim`.
        """
        self.check(gamma)
        free = cpab_reference.free_components(*self.tessellation, self._slip)
        # Each component's column of gamma; fixed components take the column of zeros appended below.
        columns = [self.dim] * (2 * len(self.vertices))
        for column, component in enumerate(free):
            columns[component] = column
        return torch.cat([gamma, gamma[:, :1] * 0], dim=1)[:, columns].unflatten(1, (-1, 2))

    def gamma_of(self, velocities: Tensor) -> Tensor:
        """The gamma with these vertex velocities, `batch x n x 2` to `batch x dim`, the inverse of `vertex_velocities`.

        Components that a `slip` boundary fixes at zero are ignored.

        Raises:
            InputError: the velocities have another shape.
        """
        n = len(self.vertices)
        if not isinstance(velocities, Tensor) or velocities.ndim != 3 or velocities.shape[1:] != (n, 2):
            found = tuple(velocities.shape) if isinstance(velocities, Tensor) else type(velocities).__name__
            raise InputError(f"{self} has vertex velocities of shape batch x {n} x 2, got {found}.")
        free = cpab_reference.free_components(*self.tessellation, self._slip)
        return velocities.flatten(1)[:, list(free)]

    def apply(self, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        points = self.check(gamma, points=points)
        # Kernels process consecutive points together; this is fastest if they are also close in the plane.
        return self._flow(gamma, points, 1, points.shape[1], inverse)

    def grid(self, gamma: Tensor, height: int, width: int, *, inverse: bool = False) -> Tensor:
        """`apply` to the pixel grid of a height x width image, `batch x (height * width) x 2`, but faster.

        Raises:
            InputError: gamma is not `batch x dim`, or height or width is not a positive whole number.
        """
        self.check(gamma)
        require_number("height", height, 1, whole=True)
        require_number("width", width, 1, whole=True)
        points = pixel_grid(height, width, dtype=gamma.dtype, device=gamma.device)[None]
        return self._flow(gamma, points, height, width, inverse)

    def _flow(self, gamma: Tensor, points: Tensor, height: int, width: int, inverse: bool) -> Tensor:
        return operators.cpab_flow(-gamma if inverse else gamma, points, *self._mesh(), height, width)

    def sample(self, images: Tensor, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        points = self.check(gamma, points=points, images=images)
        return operators.cpab_sample(-gamma if inverse else gamma, points, images, *self._mesh())

    def _mesh(self) -> tuple[int, int, bool, int]:
        return *self.tessellation, self._slip, self.steps or 0

    def velocity(self, gamma: Tensor, points: Tensor) -> Tensor:
        points = self.check(gamma, points=points)
        field = self._coefficients(gamma)
        at = cpab_reference.to_cells(points, *self.tessellation).expand(len(gamma), -1, -1)
        rows, columns = self.tessellation
        return cpab_reference.velocity(field, at, rows, columns) * 2 / points.new_tensor([columns, rows])

    def _coefficients(self, gamma: Tensor) -> Tensor:
        return cpab_reference.coefficients_of(gamma, *self.tessellation, self._slip)

    def lipschitz_constant(self, gamma: Tensor) -> Tensor:
        """The Lipschitz constant of each field, `batch`, per unit of time: the largest 2-norm of its derivative.

        Raises:
            InputError: gamma is not `batch x dim`.
        """
        self.check(gamma)
        return cpab_reference.lipschitz_constant(self._coefficients(gamma), *self.tessellation)

    def steps_of(self, gamma: Tensor) -> Tensor:
        """The number of integration steps of each field, `batch`.

        Raises:
            InputError: gamma is not `batch x dim`.
        """
        return cpab_reference.steps_of(self.lipschitz_constant(gamma), self.steps or 0)

    def error(self, gamma: Tensor, height: int, width: int) -> Tensor:
        """An estimate of the largest integration error over a height x width pixel grid, `batch`, in pixels.

        The scheme has order two, so doubling the steps divides the error by four, and the error is 4/3 of the
        difference. This integrates the grid twice.

        Raises:
            InputError: gamma is not `batch x dim` or not finite, or height or width is not a positive whole number.
        """
        self.check(gamma)
        require_number("height", height, 1, whole=True)
        require_number("width", width, 1, whole=True)
        gamma = gamma.detach()
        operators.require_finite(gamma)
        taken = self.steps_of(gamma)
        points = pixel_grid(height, width, dtype=gamma.dtype, device=gamma.device)[None]
        kernels, field = operators.kernels_for(points), self._coefficients(gamma)
        coarse, fine = (
            kernels.flow(field, steps, points, *self.tessellation, height, width) for steps in (taken, 2 * taken)
        )
        size = points.new_tensor([width / 2, height / 2])
        return ((fine - coarse) * size).norm(dim=-1).amax(-1) * 4 / 3

    def __repr__(self) -> str:
        options = [f"boundary={self.boundary!r}"] * (not self._slip) + [f"steps={self.steps}"] * bool(self.steps)
        return f"CPAB({', '.join([str(self.tessellation), *options])})"

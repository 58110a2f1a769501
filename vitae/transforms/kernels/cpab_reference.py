"""The flow of a continuous piecewise-affine velocity field, in plain torch: the reference for the kernels.

The square `[-1, 1]^2` is cut into rows x columns cells and each cell, by its centre, into four triangles. A field that
is affine on every triangle and continuous is fixed by its velocities at the corners and the centres, and inside a cell,
with s and t in [0, 1] along its width and height, it is::

    v = k0 + k1 s + k2 t + k3 |s - t| + k4 |s + t - 1|.

The two absolute values are the creases of the diagonals, so no triangle has to be searched. Everything is computed in
*cell coordinates*: a point is (u, w) in [0, columns] x [0, rows], its cell is the integer part, and (s, t) is the rest.
Outside the square a point moves as the nearest point of the boundary does.

The flow is integrated in N steps of size h = 1 / N by the one-leg Adams-Bashforth scheme, one evaluation a step::

    y_n = x_{n-1} + (h / 2) k_{n-1},    k_n = v(y_n),    x_n = x_{n-1} + h k_n,    k_0 = v(x_0).

It is of order two, which is all that a field with creases allows, and nearly symmetric in time, so that running it
with -gamma undoes it to third order. `flow_adjoint` is the exact derivative of these steps, not of the flow that
they approximate; it keeps the points y_n and nothing else.
"""

from functools import lru_cache
from itertools import product

import torch
from torch import Tensor

from vitae.transforms.base import resample

# Coefficients of a cell: k0 to k4 of the velocity's first component, then of its second.
COEFFICIENTS = 10
# The automatic number of steps is this often the field's steepness, between these bounds; `CPAB` says what that gives.
STEPS_PER_STEEPNESS, FEWEST_STEPS, MOST_STEPS = 8.0, 8, 128
_POINTS_AT_A_TIME = 1 << 16
# With fewer steps than this times its steepness a field folds where its flow does not.
STEPS_AGAINST_FOLDS = 2.2


def vertices(rows: int, columns: int) -> Tensor:
    """Where velocities live, `n x 2` points (x, y), float64: corners row by row, then cell centres row by row."""
    corners = [(2 * j / columns - 1, 2 * i / rows - 1) for i, j in product(range(rows + 1), range(columns + 1))]
    centres = [((2 * j + 1) / columns - 1, (2 * i + 1) / rows - 1) for i, j in product(range(rows), range(columns))]
    return torch.tensor(corners + centres, dtype=torch.float64)


@lru_cache
def free_components(rows: int, columns: int, slip: bool) -> tuple[int, ...]:
    """Positions in the flattened `n x 2` vertex velocities that gamma fills, in its order.

    With `slip` the boundary keeps its tangential component only: nothing leaves the square.
    """
    return tuple(
        2 * vertex + axis
        for vertex, point in enumerate(vertices(rows, columns).tolist())
        for axis in range(2)
        if not (slip and abs(point[axis]) == 1)
    )


def cell_coefficients(velocities: Tensor, rows: int, columns: int) -> Tensor:
    """k0 to k4 of each cell, `batch x (rows * columns) x 10`, from vertex velocities `batch x n x 2`; same units."""
    corners = velocities[:, : (rows + 1) * (columns + 1)].unflatten(1, (rows + 1, columns + 1))
    centre = velocities[:, (rows + 1) * (columns + 1) :].unflatten(1, (rows, columns))
    v00, v10 = corners[:, :-1, :-1], corners[:, :-1, 1:]
    v01, v11 = corners[:, 1:, :-1], corners[:, 1:, 1:]
    k4 = (v00 + v11) / 2 - centre
    k3 = (v10 + v01) / 2 - centre
    k0 = v00 - k4
    k1 = v10 - k0 - k3
    k2 = v01 - k0 - k3
    return torch.stack([k0, k1, k2, k3, k4], dim=-1).flatten(-2).flatten(1, 2)


@lru_cache(maxsize=32)
def matrix(rows: int, columns: int, slip: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The linear map from gamma to cell coefficients in cell coordinates, `dim x (cells * 10)`."""
    free = free_components(rows, columns, slip)
    # It is kept, so it must not be made a tensor of the inference mode that may be on just now.
    with torch.inference_mode(False):
        velocities = torch.zeros(len(free), 2 * len(vertices(rows, columns)), dtype=torch.float64)
        velocities[range(len(free)), free] = 1
        to_cells = torch.tensor([columns / 2, rows / 2], dtype=torch.float64)
        coefficients = cell_coefficients(velocities.unflatten(1, (-1, 2)) * to_cells, rows, columns)
        return coefficients.flatten(1).to(dtype=dtype, device=device)


def coefficients_of(gamma: Tensor, rows: int, columns: int, slip: bool) -> Tensor:
    """Cell coefficients, `batch x cells x 10`, in cells per unit of time."""
    flat = gamma @ matrix(rows, columns, slip, gamma.dtype, gamma.device)
    return flat.unflatten(1, (rows * columns, COEFFICIENTS))


def steepness(coefficients: Tensor, rows: int, columns: int) -> Tensor:
    """The field's Lipschitz constant, `batch`: the largest 2-norm of its derivative over all triangles, per unit time.

    In `[-1, 1]^2`, so that cells which are not square count as they are.
    """
    k = coefficients.unflatten(-1, (2, 5))
    _, k1, k2, k3, k4 = k.unbind(-1)
    across, down = [], []
    for above_falling, above_rising in product((1, -1), repeat=2):
        across.append(k1 + above_falling * k3 + above_rising * k4)
        down.append(k2 - above_falling * k3 + above_rising * k4)
    # Derivatives of (u, w) by (s, t); the first axis of the stack is the triangle, the last the component.
    ds, dt = torch.stack(across), torch.stack(down)
    a, b = ds[..., 0], dt[..., 0] * rows / columns
    c, d = ds[..., 1] * columns / rows, dt[..., 1]
    size = a**2 + b**2 + c**2 + d**2
    determinant = a * d - b * c
    largest = (size + (size**2 - 4 * determinant**2).clamp(min=0).sqrt()) / 2
    return largest.sqrt().amax(dim=(0, 2))


def steps_of(steepness: Tensor, steps: int) -> Tensor:
    """Steps of each field, int32 of shape `batch`: the given number, or by the stated rule if that is 0."""
    if steps:
        return torch.full_like(steepness, steps, dtype=torch.int32)
    wanted = (STEPS_PER_STEEPNESS * steepness).ceil()
    return wanted.nan_to_num(FEWEST_STEPS).clamp(FEWEST_STEPS, MOST_STEPS).to(torch.int32)


def _locate(at: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cell index, s and t, `batch x n` each, and whether each component is inside, of points `batch x n x 2`."""
    x, y = (
        component.nan_to_num(0.0).clamp(0, size) for component, size in zip(at.unbind(-1), (columns, rows), strict=True)
    )
    column, row = x.floor().clamp_(max=columns - 1), y.floor().clamp_(max=rows - 1)
    inside = (at >= 0) & (at <= at.new_tensor([columns, rows]))
    return torch.add(column, row, alpha=columns).long(), x - column, y - row, inside


def _of_cells(coefficients: Tensor, cell: Tensor) -> Tensor:
    """Each point's k0 to k4, `5 x 2 x batch x n`."""
    batch, cells, _ = coefficients.shape
    offset = torch.arange(batch, device=cell.device)[:, None] * cells
    table = coefficients.flatten(0, 1).T.unflatten(0, (2, 5)).transpose(0, 1).flatten(0, 1).contiguous()
    return table.index_select(1, (cell + offset).flatten()).view(5, 2, *cell.shape)


def _value(k: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """The velocity, `batch x n x 2`, from each point's k0 to k4."""
    v = torch.addcmul(k[0], k[1], s).addcmul(k[2], t).addcmul(k[3], (s - t).abs()).addcmul(k[4], (s + t - 1).abs())
    return v.movedim(0, -1)


def velocity(coefficients: Tensor, at: Tensor, rows: int, columns: int) -> Tensor:
    """v at points in cell coordinates, both `batch x n x 2`."""
    cell, s, t, _ = _locate(at, rows, columns)
    return _value(_of_cells(coefficients, cell), s, t)


def _slopes(k: Tensor, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of the velocity by s and by t in a point's triangle, `batch x n x 2` each, from its k0 to k4."""
    # On a crease both sides are right; this is the one that is further right or down.
    falling, rising = (torch.where(side >= 0, 1.0, -1.0).to(s) for side in (s - t, s + t - 1))
    by_s, by_t = k[1] + falling * k[3] + rising * k[4], k[2] - falling * k[3] + rising * k[4]
    return by_s.movedim(0, -1), by_t.movedim(0, -1)


def linearised(coefficients: Tensor, at: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """The affine field of each point's triangle: v there, `batch x n x 2`, and its derivative, `batch x n x 2 x 2`."""
    cell, s, t, _ = _locate(at, rows, columns)
    k = _of_cells(coefficients, cell)
    return _value(k, s, t), torch.stack(_slopes(k, s, t), dim=-1)


def to_cells(points: Tensor, rows: int, columns: int) -> Tensor:
    """From `[-1, 1]^2` to cell coordinates."""
    # All x, then all y in memory: what follows works on components.
    x, y = ((points[..., axis] + 1) * (size / 2) for axis, size in enumerate((columns, rows)))
    return torch.stack([x, y]).movedim(0, -1)


def _sizes(steps: Tensor, like: Tensor) -> tuple[Tensor, int]:
    """h of each sample, `batch x 1 x 1`, and the most steps; a sample that has done its own stands still."""
    return (1 / steps.to(like.dtype))[:, None, None], int(steps.max()) if len(steps) else 0


def flow(coefficients: Tensor, steps: Tensor, points: Tensor, rows: int, columns: int) -> Tensor:
    """Points `batch x n x 2` or `1 x n x 2` in `[-1, 1]^2`, flowed for unit time: `batch x n x 2`."""
    h, most = _sizes(steps, points)
    start = to_cells(points, rows, columns).expand(len(coefficients), -1, -1)
    x, k = start, velocity(coefficients, start, rows, columns)
    for n in range(most):
        step = h * (n < steps)[:, None, None]
        k = velocity(coefficients, x + step / 2 * k, rows, columns)
        x = x + step * k
    # The way gone is added to the point, so that a field of zeros is exactly the identity.
    return points + (x - start) * 2 / points.new_tensor([columns, rows])


def flow_adjoint(
    coefficients: Tensor, steps: Tensor, points: Tensor, cotangent: Tensor, rows: int, columns: int
) -> tuple[Tensor, Tensor]:
    """The derivative of `flow`, times a cotangent `batch x n x 2`, for coefficients and for points (each sample's own).

    With lambda = dL/dx_n and kappa = dL/dk_n, going backwards: kappa = h lambda + (what y_{n+1} handed down),
    dL/dy_n = J(y_n)^T kappa, lambda += dL/dy_n, and k_{n-1} is handed (h / 2) dL/dy_n.
    """
    h, most = _sizes(steps, points)
    x = to_cells(points, rows, columns).expand(len(coefficients), -1, -1)
    visited = [x]
    k = velocity(coefficients, x, rows, columns)
    for n in range(most):
        step = h * (n < steps)[:, None, None]
        visited.append(x + step / 2 * k)
        k = velocity(coefficients, visited[-1], rows, columns)
        x = x + step * k

    scale = 2 / points.new_tensor([columns, rows])
    of_end = cotangent * scale
    of_x, of_k = of_end, torch.zeros_like(of_end)
    of_coefficients = torch.zeros_like(coefficients)
    for n in reversed(range(most + 1)):
        step = h * (n <= steps)[:, None, None] if n else torch.zeros_like(h)
        kappa = step * of_x + of_k
        cell, s, t, inside = _locate(visited[n], rows, columns)
        by_s, by_t = _slopes(_of_cells(coefficients, cell), s, t)
        of_y = torch.stack([(by_s * kappa).sum(-1), (by_t * kappa).sum(-1)], dim=-1) * inside
        basis = torch.stack([torch.ones_like(s), s, t, (s - t).abs(), (s + t - 1).abs()], dim=-1)
        each = (kappa[..., None] * basis[..., None, :]).flatten(-2)
        where = cell[..., None].expand(-1, -1, COEFFICIENTS)
        of_coefficients.scatter_add_(1, where, each)
        of_x, of_k = of_x + of_y, step / 2 * of_y
    return of_coefficients, cotangent + (of_x - of_end) / scale


def per_step(coefficients: Tensor, steps: Tensor) -> Tensor:
    """Cell coefficients in cells per step, contiguous, as the kernels take them."""
    return (coefficients / steps[:, None, None]).contiguous()


def room_for_gradients(
    parameters: Tensor, points: Tensor, images: Tensor, needs_points: bool, needs_images: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Where kernels write: zeros for parameters and images, which are added to, and no points or channels unneeded."""
    batch, channels, height, width = images.shape
    return (
        torch.zeros_like(parameters, memory_format=torch.contiguous_format),
        points.new_empty(batch, points.shape[1] if needs_points else 0, 2),
        images.new_zeros(batch, channels if needs_images else 0, height, width),
    )


def moved(
    coefficients: Tensor, steps: Tensor, points: Tensor, rows: int, columns: int, height: int, width: int
) -> Tensor:
    """`flow`, as the kernels offer it: the arrangement of the points as height x width pixels changes nothing here."""
    # A few samples at a time, so that what lies between two operations stays in a core's cache: twice as fast.
    few = max(1, _POINTS_AT_A_TIME // max(1, points.shape[1]))
    points = points.expand(len(coefficients), -1, -1)
    parts = zip(coefficients.split(few), steps.split(few), points.split(few), strict=True)
    return torch.cat([flow(*part, rows, columns) for part in parts])


def sample(coefficients: Tensor, steps: Tensor, points: Tensor, images: Tensor, rows: int, columns: int) -> Tensor:
    """Images `batch x channels x height x width`, read where the points end, `height * width` of them."""
    return resample(images, moved(coefficients, steps, points, rows, columns, *images.shape[2:]))


def adjoint(
    coefficients: Tensor,
    steps: Tensor,
    most_steps: int,
    points: Tensor,
    images: Tensor,
    cotangent: Tensor,
    rows: int,
    columns: int,
    needs_points: bool,
    needs_images: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The derivatives of `moved` or of `sample` for coefficients, points and images.

    Args:
        images: those of `sample`, or of no channels for `moved`; their height and width arrange the points.
        cotangent: of the result of `sample`, or of that of `moved` as `batch x 2 x n`.
        most_steps: no field takes more; for the kernels' scratch, and here of no use.
        needs_points, needs_images: whether these are wanted; kernels skip them otherwise, and here both come for free.
    """
    of_ends, of_images = cotangent.mT, images
    if images.shape[1]:
        ends = moved(coefficients, steps, points, rows, columns, *images.shape[2:])
        where = ends.unflatten(1, images.shape[2:]).nan_to_num(nan=0.0)
        # As an operator's own kernel, this runs below autograd: the derivative of `resample` has to be called by name.
        bilinear, border = 0, 1
        of_images, of_ends = torch.ops.aten.grid_sampler_2d_backward(
            cotangent, images, where, bilinear, border, align_corners=False, output_mask=(True, True)
        )
        of_ends = of_ends.flatten(1, 2)
    return *flow_adjoint(coefficients, steps, points, of_ends, rows, columns), of_images

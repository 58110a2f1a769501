"""The flow of a continuous piecewise-affine velocity field (Freifeld et al., 2015), in plain torch.

This is the reference implementation that the compiled kernels are tested against, and the fallback without them.

The square `[-1, 1]^2` is divided into rows x columns cells, and the two diagonals of each cell divide it into four
triangles. A continuous field that is affine on every triangle is determined by its velocities at the cell corners and
cell centres. Inside a cell, with s and t in [0, 1] along its width and height, it is::

    v = k0 + k1 s + k2 t + k3 |s - t| + k4 |s + t - 1|.

The two absolute values are the creases along the diagonals, so there is no need to look up the triangle. All
computations use *cell coordinates*: a point is (u, w) in [0, columns] x [0, rows], the integer part is its cell, and
the fractional part is (s, t). Points outside the square have the velocity of the nearest boundary point.

The flow is integrated in N steps of size h = 1 / N by the one-leg Adams-Bashforth scheme, one evaluation per step::

    y_n = x_{n-1} + (h / 2) k_{n-1},    k_n = v(y_n),    x_n = x_{n-1} + h k_n,    k_0 = v(x_0).

It has order two, the highest order that a field with creases allows, and is nearly symmetric in time, so integrating
with -gamma inverts it to third order. `integrate_adjoint` is the exact derivative of these discrete steps rather than
of the flow that they approximate; it stores only the points y_n.
"""

from functools import lru_cache
from itertools import product

import torch
from torch import Tensor

from vitae.transforms.base import resample

# Coefficients per cell: k0 to k4 of the x velocity, then of the y velocity.
COEFFICIENTS = 10
# Automatic number of steps: a multiple of the field's Lipschitz constant, clamped to a range.
STEPS_PER_LIPSCHITZ, MIN_STEPS, MAX_STEPS = 8.0, 8, 128
# With fewer steps than this times the Lipschitz constant, the discrete map can fold although the flow does not.
FOLDING_STEPS_PER_LIPSCHITZ = 2.2
_POINTS_PER_CHUNK = 1 << 16


def vertices(rows: int, columns: int) -> Tensor:
    """The mesh vertices, `n x 2` points (x, y), float64: cell corners row by row, then cell centres row by row."""
    corners = [(2 * j / columns - 1, 2 * i / rows - 1) for i, j in product(range(rows + 1), range(columns + 1))]
    centres = [((2 * j + 1) / columns - 1, (2 * i + 1) / rows - 1) for i, j in product(range(rows), range(columns))]
    return torch.tensor(corners + centres, dtype=torch.float64)


@lru_cache
def free_components(rows: int, columns: int, slip: bool) -> tuple[int, ...]:
    """Indices into the flattened `n x 2` vertex velocities of the components of gamma, in order.

    With `slip`, boundary vertices have only their tangential component, so that no point leaves the square.
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
def coefficient_matrix(rows: int, columns: int, slip: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The linear map from gamma to cell coefficients in cell coordinates, `dim x (cells * 10)`."""
    free = free_components(rows, columns, slip)
    # The result is cached: an inference tensor would later fail in autograd.
    with torch.inference_mode(False):
        velocities = torch.zeros(len(free), 2 * len(vertices(rows, columns)), dtype=torch.float64)
        velocities[range(len(free)), free] = 1
        to_cells = torch.tensor([columns / 2, rows / 2], dtype=torch.float64)
        coefficients = cell_coefficients(velocities.unflatten(1, (-1, 2)) * to_cells, rows, columns)
        return coefficients.flatten(1).to(dtype=dtype, device=device)


def coefficients_of(gamma: Tensor, rows: int, columns: int, slip: bool) -> Tensor:
    """Cell coefficients, `batch x cells x 10`, in cells per unit of time."""
    # Autocast would round the product to bfloat16, and with it every point that the field moves.
    with torch.autocast(gamma.device.type, enabled=False):
        flat = gamma @ coefficient_matrix(rows, columns, slip, gamma.dtype, gamma.device)
    return flat.unflatten(1, (rows * columns, COEFFICIENTS))


def lipschitz_constant(coefficients: Tensor, rows: int, columns: int) -> Tensor:
    """The field's Lipschitz constant, `batch`, per unit of time: the largest 2-norm of its derivative.

    The maximum is over all triangles, with distances measured in `[-1, 1]^2` rather than in cells.
    """
    k = coefficients.unflatten(-1, (2, 5))
    _, k1, k2, k3, k4 = k.unbind(-1)
    across, down = [], []
    for above_falling, above_rising in product((1, -1), repeat=2):
        across.append(k1 + above_falling * k3 + above_rising * k4)
        down.append(k2 - above_falling * k3 + above_rising * k4)
    # Derivatives of (u, w) with respect to (s, t), `triangle x batch x cell x component`.
    ds, dt = torch.stack(across), torch.stack(down)
    a, b = ds[..., 0], dt[..., 0] * rows / columns
    c, d = ds[..., 1] * columns / rows, dt[..., 1]
    size = a**2 + b**2 + c**2 + d**2
    determinant = a * d - b * c
    largest = (size + (size**2 - 4 * determinant**2).clamp(min=0).sqrt()) / 2
    return largest.sqrt().amax(dim=(0, 2))


def steps_of(lipschitz: Tensor, steps: int) -> Tensor:
    """Number of steps for each Lipschitz constant, int32 of shape `batch`: `steps`, or the automatic number if 0."""
    if steps:
        return torch.full_like(lipschitz, steps, dtype=torch.int32)
    automatic = (STEPS_PER_LIPSCHITZ * lipschitz).ceil()
    return automatic.nan_to_num(MIN_STEPS).clamp(MIN_STEPS, MAX_STEPS).to(torch.int32)


def _locate(at: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cell index, s and t, `batch x n` each, and whether each coordinate is inside the square, `batch x n x 2`."""
    x, y = (
        component.nan_to_num(0.0).clamp(0, size) for component, size in zip(at.unbind(-1), (columns, rows), strict=True)
    )
    column, row = x.floor().clamp_(max=columns - 1), y.floor().clamp_(max=rows - 1)
    inside = (at >= 0) & (at <= at.new_tensor([columns, rows]))
    return torch.add(column, row, alpha=columns).long(), x - column, y - row, inside


def _gather(coefficients: Tensor, cell: Tensor) -> Tensor:
    """k0 to k4 at each point, `5 x 2 x batch x n`, from the points' cell indices, `batch x n`."""
    batch, cells, _ = coefficients.shape
    offset = torch.arange(batch, device=cell.device)[:, None] * cells
    table = coefficients.flatten(0, 1).T.unflatten(0, (2, 5)).transpose(0, 1).flatten(0, 1).contiguous()
    return table.index_select(1, (cell + offset).flatten()).view(5, 2, *cell.shape)


def _value(k: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """The velocity, `batch x n x 2`, from k0 to k4 at each point."""
    v = torch.addcmul(k[0], k[1], s).addcmul(k[2], t).addcmul(k[3], (s - t).abs()).addcmul(k[4], (s + t - 1).abs())
    return v.movedim(0, -1)


def velocity(coefficients: Tensor, at: Tensor, rows: int, columns: int) -> Tensor:
    """The velocity at points, both `batch x n x 2` in cell coordinates."""
    cell, s, t, _ = _locate(at, rows, columns)
    return _value(_gather(coefficients, cell), s, t)


def _derivatives(k: Tensor, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of the velocity with respect to s and to t, `batch x n x 2` each, from k0 to k4 at each point."""
    # On a crease either side's derivative is valid; take the right or lower one.
    falling, rising = (torch.where(side >= 0, 1.0, -1.0).to(s) for side in (s - t, s + t - 1))
    dv_ds, dv_dt = k[1] + falling * k[3] + rising * k[4], k[2] - falling * k[3] + rising * k[4]
    return dv_ds.movedim(0, -1), dv_dt.movedim(0, -1)


def linearised(coefficients: Tensor, at: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """The velocity, `batch x n x 2`, and its derivative, `batch x n x 2 x 2`, at points in cell coordinates."""
    cell, s, t, _ = _locate(at, rows, columns)
    k = _gather(coefficients, cell)
    return _value(k, s, t), torch.stack(_derivatives(k, s, t), dim=-1)


def to_cells(points: Tensor, rows: int, columns: int) -> Tensor:
    """From `[-1, 1]^2` to cell coordinates."""
    # Store all x, then all y: later operations work on one component at a time.
    x, y = ((points[..., axis] + 1) * (size / 2) for axis, size in enumerate((columns, rows)))
    return torch.stack([x, y]).movedim(0, -1)


def _step_sizes(steps: Tensor, like: Tensor) -> tuple[Tensor, int]:
    """Step size of each sample, `batch x 1 x 1`, and the largest number of steps in the batch."""
    return (1 / steps.to(like.dtype))[:, None, None], int(steps.max()) if len(steps) else 0


def integrate(coefficients: Tensor, steps: Tensor, points: Tensor, rows: int, columns: int) -> Tensor:
    """Integrate points in `[-1, 1]^2`, `batch x n x 2` or `1 x n x 2`, for unit time; returns `batch x n x 2`."""
    h, max_steps = _step_sizes(steps, points)
    start = to_cells(points, rows, columns).expand(len(coefficients), -1, -1)
    x, k = start, velocity(coefficients, start, rows, columns)
    for n in range(max_steps):
        # A sample with fewer steps than the batch's maximum has step size zero from then on.
        step = h * (n < steps)[:, None, None]
        k = velocity(coefficients, x + step / 2 * k, rows, columns)
        x = x + step * k
    # Add the displacement to the point, so that zero velocity gives exactly the identity.
    return points + (x - start) * 2 / points.new_tensor([columns, rows])


def integrate_adjoint(
    coefficients: Tensor, steps: Tensor, points: Tensor, cotangent: Tensor, rows: int, columns: int
) -> tuple[Tensor, Tensor]:
    """The vector-Jacobian product of `integrate` with a cotangent `batch x n x 2`.

    With lambda = dL/dx_n and kappa = dL/dk_n, the backward recursion is kappa = h lambda + (h / 2) dL/dy_{n+1},
    dL/dy_n = J(y_n)^T kappa and lambda += dL/dy_n.

    Returns:
        The gradients of the coefficients and of the points, `batch x n x 2` even where the points are shared.
    """
    h, max_steps = _step_sizes(steps, points)
    x = to_cells(points, rows, columns).expand(len(coefficients), -1, -1)
    visited = [x]
    k = velocity(coefficients, x, rows, columns)
    for n in range(max_steps):
        step = h * (n < steps)[:, None, None]
        visited.append(x + step / 2 * k)
        k = velocity(coefficients, visited[-1], rows, columns)
        x = x + step * k

    scale = 2 / points.new_tensor([columns, rows])
    grad_end = cotangent * scale
    grad_x, grad_k = grad_end, torch.zeros_like(grad_end)
    grad_coefficients = torch.zeros_like(coefficients)
    for n in reversed(range(max_steps + 1)):
        step = h * (n <= steps)[:, None, None] if n else torch.zeros_like(h)
        kappa = step * grad_x + grad_k
        cell, s, t, inside = _locate(visited[n], rows, columns)
        dv_ds, dv_dt = _derivatives(_gather(coefficients, cell), s, t)
        grad_y = torch.stack([(dv_ds * kappa).sum(-1), (dv_dt * kappa).sum(-1)], dim=-1) * inside
        basis = torch.stack([torch.ones_like(s), s, t, (s - t).abs(), (s + t - 1).abs()], dim=-1)
        contributions = (kappa[..., None] * basis[..., None, :]).flatten(-2)
        cells = cell[..., None].expand(-1, -1, COEFFICIENTS)
        grad_coefficients.scatter_add_(1, cells, contributions)
        grad_x, grad_k = grad_x + grad_y, step / 2 * grad_y
    return grad_coefficients, cotangent + (grad_x - grad_end) / scale


def coefficients_per_step(coefficients: Tensor, steps: Tensor) -> Tensor:
    """Cell coefficients in cells per step, contiguous: the units that the kernels work in."""
    return (coefficients / steps[:, None, None]).contiguous()


def gradient_buffers(
    parameters: Tensor, points: Tensor, images: Tensor, needs_points: bool, needs_images: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The tensors that the kernels write gradients to: zeros for parameters and images, which accumulate.

    Gradients that are not needed have no points or no channels.
    """
    batch, channels, height, width = images.shape
    return (
        torch.zeros_like(parameters, memory_format=torch.contiguous_format),
        points.new_empty(batch, points.shape[1] if needs_points else 0, 2),
        images.new_zeros(batch, channels if needs_images else 0, height, width),
    )


def flow(
    coefficients: Tensor, steps: Tensor, points: Tensor, rows: int, columns: int, height: int, width: int
) -> Tensor:
    """Integrate points for unit time, by the interface that all kernel modules share.

    Args:
        coefficients: `batch x cells x 10`, in cells per unit of time.
        steps: int32, `batch`.
        points: `batch x n x 2`, or `1 x n x 2` if all samples share them.
        height, width: the points are the pixels of an image of this size; kernels tile by it, and it is unused here.

    Returns:
        `batch x n x 2`.
    """
    # In chunks, so that intermediate results stay in the core's cache: twice as fast.
    chunk = max(1, _POINTS_PER_CHUNK // max(1, points.shape[1]))
    points = points.expand(len(coefficients), -1, -1)
    chunks = zip(coefficients.split(chunk), steps.split(chunk), points.split(chunk), strict=True)
    return torch.cat([integrate(*arguments, rows, columns) for arguments in chunks])


def sample(coefficients: Tensor, steps: Tensor, points: Tensor, images: Tensor, rows: int, columns: int) -> Tensor:
    """Images `batch x channels x height x width`, sampled where the flow takes the `height * width` points."""
    return resample(images, flow(coefficients, steps, points, rows, columns, *images.shape[2:]))


def adjoint(
    coefficients: Tensor,
    steps: Tensor,
    max_steps: int,
    points: Tensor,
    images: Tensor,
    cotangent: Tensor,
    rows: int,
    columns: int,
    needs_points: bool,
    needs_images: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `sample` or of `flow` with respect to coefficients, points and images.

    Args:
        images: for `sample`, its images; for `flow`, images without channels, whose height and width are those of
            `flow`.
        cotangent: of the result of `sample`, or of the result of `flow` transposed to `batch x 2 x n`.
        max_steps: an upper bound on `steps`, from which kernels allocate their scratch memory; unused here.
        needs_points, needs_images: whether these gradients are needed. Kernels skip them otherwise; here they cost
            nothing extra.
    """
    grad_ends, grad_images = cotangent.mT, images
    if images.shape[1]:
        ends = flow(coefficients, steps, points, rows, columns, *images.shape[2:])
        grid = ends.unflatten(1, images.shape[2:]).nan_to_num(nan=0.0)
        # This code runs inside a custom operator, below autograd, so call the backward function of `resample` itself.
        bilinear, border = 0, 1
        grad_images, grad_ends = torch.ops.aten.grid_sampler_2d_backward(
            cotangent, images, grid, bilinear, border, align_corners=False, output_mask=(True, True)
        )
        grad_ends = grad_ends.flatten(1, 2)
    return *integrate_adjoint(coefficients, steps, points, grad_ends, rows, columns), grad_images

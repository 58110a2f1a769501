"""CPAB on a GPU: Triton kernels that integrate in registers, fused with bilinear sampling.

The mathematics is that of `cpab_reference`. Each program processes blocks of neighbouring points of one sample. A point
holds the ten coefficients of its cell in registers and reloads them only when it enters another cell, which for usual
fields happens less than once per integration. The backward pass accumulates the gradient of these coefficients in
registers in the same way, and adds it to memory when the point leaves a cell and at the end, summed over the block
first if the whole block is in one cell.

The backward pass needs the points y_n. It recomputes them into scratch memory that belongs to the program rather than
to the points: a fixed number of programs loop over the blocks, so the scratch memory fits the L2 cache at any batch
size. No kernel reads a value back to the host, so calls can be captured in CUDA graphs, with a fixed or an automatic
number of steps.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from vitae.transforms.kernels.cpab_reference import coefficients_per_step, gradient_buffers

_BLOCK = 128
# Resident programs per multiprocessor: enough to hide latency, few enough for the scratch memory to fit the cache.
_PROGRAMS_PER_MULTIPROCESSOR = 8


@triton.jit
def _locate(x, y, rows, columns):
    """Cell index, s and t of points in cell coordinates; NaN counts as zero, so that it is never an index."""
    x = tl.minimum(tl.where(x > 0, x, 0.0), columns)
    y = tl.minimum(tl.where(y > 0, y, 0.0), rows)
    column = tl.minimum(x.to(tl.int32), columns - 1)
    row = tl.minimum(y.to(tl.int32), rows - 1)
    return row * columns + column, x - column, y - row


@triton.jit
def _coefficients(field, cell, changed, a0, a1, a2, a3, a4, b0, b1, b2, b3, b4):
    """Load the coefficients of points that changed their cell; the others keep their values."""
    address = field + cell * 10
    a0 = tl.load(address, mask=changed, other=a0)
    a1 = tl.load(address + 1, mask=changed, other=a1)
    a2 = tl.load(address + 2, mask=changed, other=a2)
    a3 = tl.load(address + 3, mask=changed, other=a3)
    a4 = tl.load(address + 4, mask=changed, other=a4)
    b0 = tl.load(address + 5, mask=changed, other=b0)
    b1 = tl.load(address + 6, mask=changed, other=b1)
    b2 = tl.load(address + 7, mask=changed, other=b2)
    b3 = tl.load(address + 8, mask=changed, other=b3)
    b4 = tl.load(address + 9, mask=changed, other=b4)
    return a0, a1, a2, a3, a4, b0, b1, b2, b3, b4


@triton.jit
def _integrate(field, x, y, steps, rows, columns, stored, lane, STORE: tl.constexpr, BLOCK: tl.constexpr):
    """The end of the flow from (x, y), in cell coordinates; with STORE, writes the points y_n to `stored`."""
    zero = x * 0
    kx, ky = zero, zero
    cell = tl.full([BLOCK], -1, tl.int32)
    a0, a1, a2, a3, a4, b0, b1, b2, b3, b4 = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
    for n in range(steps + 1):
        # k_0 only initialises the scheme: the first step is along k_1.
        advance = tl.where(n > 1, 1.0, 0.0).to(x.dtype)
        x += advance * kx
        y += advance * ky
        at_x, at_y = x + kx * 0.5, y + ky * 0.5
        if STORE:
            tl.store(stored + (2 * n) * BLOCK + lane, at_x)
            tl.store(stored + (2 * n + 1) * BLOCK + lane, at_y)
        now, s, t = _locate(at_x, at_y, rows, columns)
        a0, a1, a2, a3, a4, b0, b1, b2, b3, b4 = _coefficients(
            field, now, now != cell, a0, a1, a2, a3, a4, b0, b1, b2, b3, b4
        )
        cell = now
        p, q = tl.abs(s - t), tl.abs(s + t - 1)
        kx = a0 + a1 * s + a2 * t + a3 * p + a4 * q
        ky = b0 + b1 * s + b2 * t + b3 * p + b4 * q
    return x + kx, y + ky


@triton.jit
def _neighbours(at, size):
    """The two pixels around a coordinate in `[-1, 1]`, the weight of the second, and whether it is not clamped."""
    pixel = (at + 1) * 0.5 * size - 0.5
    unclamped = (pixel > 0) & (pixel < size - 1)
    pixel = tl.minimum(tl.where(pixel > 0, pixel, 0.0), size - 1)
    before = tl.minimum(pixel.to(tl.int32), size - 1)
    return before, tl.minimum(before + 1, size - 1), pixel - before, unclamped


@triton.jit
def _forward(
    field, steps, points, ends, images, out, n, next_points, rows, columns, channels, height, width,
    SAMPLE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    blocks = tl.cdiv(n, BLOCK)
    sample = (tl.program_id(0) // blocks).to(tl.int64)
    lane = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    valid = lane < n
    address = points + sample * next_points + 2 * lane
    px, py = tl.load(address, mask=valid, other=0.0), tl.load(address + 1, mask=valid, other=0.0)
    start_x, start_y = (px + 1) * 0.5 * columns, (py + 1) * 0.5 * rows
    x, y = _integrate(
        field + sample * rows * columns * 10, start_x, start_y, tl.load(steps + sample), rows, columns,
        out, lane, False, BLOCK,
    )  # fmt: skip
    x, y = px + (x - start_x) * 2 / columns, py + (y - start_y) * 2 / rows
    if SAMPLE:
        left, right, across, _ = _neighbours(x, width)
        upper, lower, down, _ = _neighbours(y, height)
        for c in range(channels):
            image = images + (sample * channels + c) * height * width
            above = tl.load(image + upper * width + left, mask=valid) * (1 - across) + (
                tl.load(image + upper * width + right, mask=valid) * across
            )
            below = tl.load(image + lower * width + left, mask=valid) * (1 - across) + (
                tl.load(image + lower * width + right, mask=valid) * across
            )
            tl.store(out + (sample * channels + c) * n + lane, above * (1 - down) + below * down, mask=valid)
    else:
        tl.store(ends + (sample * n + lane) * 2, x, mask=valid)
        tl.store(ends + (sample * n + lane) * 2 + 1, y, mask=valid)


@triton.jit
def _add_gradient(grad_field, cell, mask, d0, d1, d2, d3, d4, e0, e1, e2, e3, e4):
    address = grad_field + cell * 10
    tl.atomic_add(address, d0, mask=mask)
    tl.atomic_add(address + 1, d1, mask=mask)
    tl.atomic_add(address + 2, d2, mask=mask)
    tl.atomic_add(address + 3, d3, mask=mask)
    tl.atomic_add(address + 4, d4, mask=mask)
    tl.atomic_add(address + 5, e0, mask=mask)
    tl.atomic_add(address + 6, e1, mask=mask)
    tl.atomic_add(address + 7, e2, mask=mask)
    tl.atomic_add(address + 8, e3, mask=mask)
    tl.atomic_add(address + 9, e4, mask=mask)


@triton.jit
def _backward(
    field, steps, points, images, cotangent, grad_field, grad_points, grad_images, scratch,
    batch, n, next_points, max_steps, rows, columns, channels, height, width,
    SAMPLE: tl.constexpr, POINTS: tl.constexpr, IMAGES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    blocks = tl.cdiv(n, BLOCK)
    slot = tl.arange(0, BLOCK)
    stored = scratch + tl.program_id(0).to(tl.int64) * (max_steps + 1) * 2 * BLOCK
    for work in range(tl.program_id(0), batch * blocks, tl.num_programs(0)):
        sample = (work // blocks).to(tl.int64)
        lane = (work % blocks) * BLOCK + slot
        valid = lane < n
        address = points + sample * next_points + 2 * lane
        px, py = tl.load(address, mask=valid, other=0.0), tl.load(address + 1, mask=valid, other=0.0)
        start_x, start_y = (px + 1) * 0.5 * columns, (py + 1) * 0.5 * rows
        count = tl.load(steps + sample)
        coefficients = field + sample * rows * columns * 10
        x, y = _integrate(coefficients, start_x, start_y, count, rows, columns, stored, slot, True, BLOCK)
        # Wait until all threads have stored their points: another thread may read them.
        tl.debug_barrier()

        zero = px * 0
        grad_x, grad_y = zero, zero
        if SAMPLE:
            x, y = px + (x - start_x) * 2 / columns, py + (y - start_y) * 2 / rows
            left, right, across, unclamped_x = _neighbours(x, width)
            upper, lower, down, unclamped_y = _neighbours(y, height)
            for c in range(channels):
                image = images + (sample * channels + c) * height * width
                g = tl.load(cotangent + (sample * channels + c) * n + lane, mask=valid, other=0.0)
                upper_left = tl.load(image + upper * width + left, mask=valid, other=0.0)
                upper_right = tl.load(image + upper * width + right, mask=valid, other=0.0)
                lower_left = tl.load(image + lower * width + left, mask=valid, other=0.0)
                lower_right = tl.load(image + lower * width + right, mask=valid, other=0.0)
                grad_x += g * ((upper_right - upper_left) * (1 - down) + (lower_right - lower_left) * down)
                grad_y += g * ((lower_left - upper_left) * (1 - across) + (lower_right - upper_right) * across)
                if IMAGES:
                    to = grad_images + (sample * channels + c) * height * width
                    tl.atomic_add(to + upper * width + left, g * (1 - across) * (1 - down), mask=valid)
                    tl.atomic_add(to + upper * width + right, g * across * (1 - down), mask=valid)
                    tl.atomic_add(to + lower * width + left, g * (1 - across) * down, mask=valid)
                    tl.atomic_add(to + lower * width + right, g * across * down, mask=valid)
            grad_x = tl.where(unclamped_x, grad_x * width * 0.5, zero)
            grad_y = tl.where(unclamped_y, grad_y * height * 0.5, zero)
        else:
            grad_x = tl.load(cotangent + (sample * 2) * n + lane, mask=valid, other=0.0)
            grad_y = tl.load(cotangent + (sample * 2 + 1) * n + lane, mask=valid, other=0.0)
        grad_x, grad_y = grad_x * 2 / columns, grad_y * 2 / rows

        gradient = grad_field + sample * rows * columns * 10
        grad_kx, grad_ky = zero, zero
        cell = tl.full([BLOCK], -1, tl.int32)
        a0, a1, a2, a3, a4, b0, b1, b2, b3, b4 = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
        d0, d1, d2, d3, d4, e0, e1, e2, e3, e4 = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
        for back in range(count + 1):
            step = count - back
            at_x = tl.load(stored + (2 * step) * BLOCK + slot)
            at_y = tl.load(stored + (2 * step + 1) * BLOCK + slot)
            now, s, t = _locate(at_x, at_y, rows, columns)
            changed = now != cell
            flush = changed & (cell >= 0) & valid
            _add_gradient(gradient, cell, flush, d0, d1, d2, d3, d4, e0, e1, e2, e3, e4)
            d0, d1, d2 = tl.where(changed, zero, d0), tl.where(changed, zero, d1), tl.where(changed, zero, d2)
            d3, d4 = tl.where(changed, zero, d3), tl.where(changed, zero, d4)
            e0, e1, e2 = tl.where(changed, zero, e0), tl.where(changed, zero, e1), tl.where(changed, zero, e2)
            e3, e4 = tl.where(changed, zero, e3), tl.where(changed, zero, e4)
            a0, a1, a2, a3, a4, b0, b1, b2, b3, b4 = _coefficients(
                coefficients, now, changed, a0, a1, a2, a3, a4, b0, b1, b2, b3, b4
            )
            cell = now
            along = tl.where(step > 0, 1.0, 0.0).to(px.dtype)
            kappa_x, kappa_y = along * grad_x + grad_kx, along * grad_y + grad_ky
            falling, rising = s - t, s + t - 1
            p, q = tl.abs(falling), tl.abs(rising)
            f = tl.where(falling >= 0, 1.0, -1.0).to(px.dtype)
            r = tl.where(rising >= 0, 1.0, -1.0).to(px.dtype)
            grad_s = kappa_x * (a1 + f * a3 + r * a4) + kappa_y * (b1 + f * b3 + r * b4)
            grad_t = kappa_x * (a2 - f * a3 + r * a4) + kappa_y * (b2 - f * b3 + r * b4)
            grad_s = tl.where((at_x >= 0) & (at_x <= columns), grad_s, zero)
            grad_t = tl.where((at_y >= 0) & (at_y <= rows), grad_t, zero)
            d0 += kappa_x
            d1 += kappa_x * s
            d2 += kappa_x * t
            d3 += kappa_x * p
            d4 += kappa_x * q
            e0 += kappa_y
            e1 += kappa_y * s
            e2 += kappa_y * t
            e3 += kappa_y * p
            e4 += kappa_y * q
            grad_x += grad_s
            grad_y += grad_t
            grad_kx, grad_ky = grad_s * 0.5, grad_t * 0.5
        first = tl.min(cell, 0)
        if first == tl.max(cell, 0):
            address = gradient + first * 10
            tl.atomic_add(address, tl.sum(d0, 0))
            tl.atomic_add(address + 1, tl.sum(d1, 0))
            tl.atomic_add(address + 2, tl.sum(d2, 0))
            tl.atomic_add(address + 3, tl.sum(d3, 0))
            tl.atomic_add(address + 4, tl.sum(d4, 0))
            tl.atomic_add(address + 5, tl.sum(e0, 0))
            tl.atomic_add(address + 6, tl.sum(e1, 0))
            tl.atomic_add(address + 7, tl.sum(e2, 0))
            tl.atomic_add(address + 8, tl.sum(e3, 0))
            tl.atomic_add(address + 9, tl.sum(e4, 0))
        else:
            _add_gradient(gradient, cell, valid, d0, d1, d2, d3, d4, e0, e1, e2, e3, e4)
        if POINTS:
            tl.store(grad_points + (sample * n + lane) * 2, grad_x * columns * 0.5, mask=valid)
            tl.store(grad_points + (sample * n + lane) * 2 + 1, grad_y * rows * 0.5, mask=valid)
        # Wait until all threads have read their points: the next block overwrites them.
        tl.debug_barrier()


def flow(
    coefficients: Tensor, steps: Tensor, points: Tensor, rows: int, columns: int, height: int, width: int
) -> Tensor:
    """As `cpab_reference.flow`."""
    ends = points.new_empty(len(coefficients), points.shape[1], 2)
    _run_forward(coefficients, steps, points, ends, ends, ends, rows, columns, (0, height, width), sample=False)
    return ends


def sample(coefficients: Tensor, steps: Tensor, points: Tensor, images: Tensor, rows: int, columns: int) -> Tensor:
    """As `cpab_reference.sample`."""
    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    _run_forward(coefficients, steps, points, out, images, out, rows, columns, images.shape[1:], sample=True)
    return out


def _run_forward(coefficients, steps, points, ends, images, out, rows, columns, shape, sample: bool) -> None:
    batch, n = len(coefficients), points.shape[1]
    if batch == 0 or n == 0:
        return
    points, images = points.contiguous(), images.contiguous()
    next_points = 0 if len(points) == 1 else 2 * n
    with torch.cuda.device_of(points):
        _forward[(batch * triton.cdiv(n, _BLOCK),)](
            coefficients_per_step(coefficients, steps), steps, points, ends, images, out,
            n, next_points, rows, columns, *shape, SAMPLE=sample, BLOCK=_BLOCK,
        )  # fmt: skip


def _resident_programs(device: torch.device) -> int:
    if device.type != "cuda":
        return _PROGRAMS_PER_MULTIPROCESSOR
    return _PROGRAMS_PER_MULTIPROCESSOR * torch.cuda.get_device_properties(device).multi_processor_count


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
    """As `cpab_reference.adjoint`."""
    (batch, channels, height, width), n = images.shape, points.shape[1]
    grad_k, grad_points, grad_images = gradient_buffers(coefficients, points, images, needs_points, needs_images)
    if batch and n:
        points, images = points.contiguous(), images.contiguous()
        programs = min(_resident_programs(points.device), batch * triton.cdiv(n, _BLOCK))
        scratch = points.new_empty(programs, max_steps + 1, 2, _BLOCK)
        next_points = 0 if len(points) == 1 else 2 * n
        with torch.cuda.device_of(points):
            _backward[(programs,)](
                coefficients_per_step(coefficients, steps), steps, points, images, cotangent.contiguous(), grad_k,
                grad_points, grad_images, scratch, batch, n, next_points, max_steps, rows, columns, channels, height,
                width, SAMPLE=channels > 0, POINTS=needs_points, IMAGES=needs_images, BLOCK=_BLOCK,
            )  # fmt: skip
    return grad_k / steps[:, None, None], grad_points, grad_images

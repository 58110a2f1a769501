"""CPAB on a GPU: Triton kernels that integrate in registers, fused with bilinear sampling.

The mathematics is that of `flow`. A program carries a block of neighbouring points of one sample. A point keeps the ten
coefficients of its cell in registers and loads others only when it changes its cell, less than once on its whole way
for usual fields; the same holds on the way back for what it adds to the gradient of the coefficients, which goes to
memory when the point leaves a cell and at the end, summed over the block where all of it is in one cell.

The way back needs the points y_n. They are computed again and kept in a scratch that belongs to the program, not to the
points: programs stay and take one block after the other, so that the scratch fits the second cache whatever the batch.
No kernel asks the device for a number on the host, so calls can be captured in CUDA graphs when the steps are fixed or
chosen by the field.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from vitae.transforms.kernels.cpab_reference import per_step, room_for_gradients

_BLOCK = 128
# Programs that stay for each multiprocessor: enough to hide latency, few enough for the scratch.
_RESIDENT = 8


@triton.jit
def _locate(x, y, rows, columns):
    """Cell and (s, t) of points in cell coordinates; what is not a number counts as zero and is never an index."""
    x = tl.minimum(tl.where(x > 0, x, 0.0), columns)
    y = tl.minimum(tl.where(y > 0, y, 0.0), rows)
    column = tl.minimum(x.to(tl.int32), columns - 1)
    row = tl.minimum(y.to(tl.int32), rows - 1)
    return row * columns + column, x - column, y - row


@triton.jit
def _coefficients(field, cell, moved, a0, a1, a2, a3, a4, b0, b1, b2, b3, b4):
    """The coefficients of the cells that points have moved to; the others keep theirs."""
    own = field + cell * 10
    a0 = tl.load(own, mask=moved, other=a0)
    a1 = tl.load(own + 1, mask=moved, other=a1)
    a2 = tl.load(own + 2, mask=moved, other=a2)
    a3 = tl.load(own + 3, mask=moved, other=a3)
    a4 = tl.load(own + 4, mask=moved, other=a4)
    b0 = tl.load(own + 5, mask=moved, other=b0)
    b1 = tl.load(own + 6, mask=moved, other=b1)
    b2 = tl.load(own + 7, mask=moved, other=b2)
    b3 = tl.load(own + 8, mask=moved, other=b3)
    b4 = tl.load(own + 9, mask=moved, other=b4)
    return a0, a1, a2, a3, a4, b0, b1, b2, b3, b4


@triton.jit
def _carry(field, x, y, steps, rows, columns, kept, lane, KEEP: tl.constexpr, BLOCK: tl.constexpr):
    """The end of the flow from (x, y) in cell coordinates; with KEEP the points y_n go to `kept`."""
    zero = x * 0
    kx, ky = zero, zero
    cell = tl.full([BLOCK], -1, tl.int32)
    a0, a1, a2, a3, a4, b0, b1, b2, b3, b4 = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
    for n in range(steps + 1):
        # k_0 only starts the scheme: the first of all steps is along k_1.
        advance = tl.where(n > 1, 1.0, 0.0).to(x.dtype)
        x += advance * kx
        y += advance * ky
        at_x, at_y = x + kx * 0.5, y + ky * 0.5
        if KEEP:
            tl.store(kept + (2 * n) * BLOCK + lane, at_x)
            tl.store(kept + (2 * n + 1) * BLOCK + lane, at_y)
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
def _between(at, size):
    """Of a coordinate in `[-1, 1]`: the pixels before and after it, its share of the latter, and whether it is free."""
    place = (at + 1) * 0.5 * size - 0.5
    free = (place > 0) & (place < size - 1)
    place = tl.minimum(tl.where(place > 0, place, 0.0), size - 1)
    before = tl.minimum(place.to(tl.int32), size - 1)
    return before, tl.minimum(before + 1, size - 1), place - before, free


@triton.jit
def _forward(
    field, steps, points, ends, images, out, n, next_points, rows, columns, channels, height, width,
    READ: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    blocks = tl.cdiv(n, BLOCK)
    sample = (tl.program_id(0) // blocks).to(tl.int64)
    lane = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    here = lane < n
    own = points + sample * next_points + 2 * lane
    px, py = tl.load(own, mask=here, other=0.0), tl.load(own + 1, mask=here, other=0.0)
    start_x, start_y = (px + 1) * 0.5 * columns, (py + 1) * 0.5 * rows
    x, y = _carry(
        field + sample * rows * columns * 10, start_x, start_y, tl.load(steps + sample), rows, columns,
        out, lane, False, BLOCK,
    )  # fmt: skip
    x, y = px + (x - start_x) * 2 / columns, py + (y - start_y) * 2 / rows
    if READ:
        left, right, across, _ = _between(x, width)
        upper, lower, down, _ = _between(y, height)
        for c in range(channels):
            image = images + (sample * channels + c) * height * width
            above = tl.load(image + upper * width + left, mask=here) * (1 - across) + (
                tl.load(image + upper * width + right, mask=here) * across
            )
            below = tl.load(image + lower * width + left, mask=here) * (1 - across) + (
                tl.load(image + lower * width + right, mask=here) * across
            )
            tl.store(out + (sample * channels + c) * n + lane, above * (1 - down) + below * down, mask=here)
    else:
        tl.store(ends + (sample * n + lane) * 2, x, mask=here)
        tl.store(ends + (sample * n + lane) * 2 + 1, y, mask=here)


@triton.jit
def _give(of_field, cell, mask, d0, d1, d2, d3, d4, e0, e1, e2, e3, e4):
    own = of_field + cell * 10
    tl.atomic_add(own, d0, mask=mask)
    tl.atomic_add(own + 1, d1, mask=mask)
    tl.atomic_add(own + 2, d2, mask=mask)
    tl.atomic_add(own + 3, d3, mask=mask)
    tl.atomic_add(own + 4, d4, mask=mask)
    tl.atomic_add(own + 5, e0, mask=mask)
    tl.atomic_add(own + 6, e1, mask=mask)
    tl.atomic_add(own + 7, e2, mask=mask)
    tl.atomic_add(own + 8, e3, mask=mask)
    tl.atomic_add(own + 9, e4, mask=mask)


@triton.jit
def _backward(
    field, steps, points, images, cotangent, of_field, to_points, of_images, scratch,
    batch, n, next_points, most_steps, rows, columns, channels, height, width,
    READ: tl.constexpr, POINTS: tl.constexpr, IMAGES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    blocks = tl.cdiv(n, BLOCK)
    mine = tl.arange(0, BLOCK)
    kept = scratch + tl.program_id(0).to(tl.int64) * (most_steps + 1) * 2 * BLOCK
    for work in range(tl.program_id(0), batch * blocks, tl.num_programs(0)):
        sample = (work // blocks).to(tl.int64)
        lane = (work % blocks) * BLOCK + mine
        here = lane < n
        own = points + sample * next_points + 2 * lane
        px, py = tl.load(own, mask=here, other=0.0), tl.load(own + 1, mask=here, other=0.0)
        start_x, start_y = (px + 1) * 0.5 * columns, (py + 1) * 0.5 * rows
        count = tl.load(steps + sample)
        coefficients = field + sample * rows * columns * 10
        x, y = _carry(coefficients, start_x, start_y, count, rows, columns, kept, mine, True, BLOCK)
        # What one thread kept, another may read.
        tl.debug_barrier()

        zero = px * 0
        of_x, of_y = zero, zero
        if READ:
            x, y = px + (x - start_x) * 2 / columns, py + (y - start_y) * 2 / rows
            left, right, across, free_x = _between(x, width)
            upper, lower, down, free_y = _between(y, height)
            for c in range(channels):
                image = images + (sample * channels + c) * height * width
                g = tl.load(cotangent + (sample * channels + c) * n + lane, mask=here, other=0.0)
                upper_left = tl.load(image + upper * width + left, mask=here, other=0.0)
                upper_right = tl.load(image + upper * width + right, mask=here, other=0.0)
                lower_left = tl.load(image + lower * width + left, mask=here, other=0.0)
                lower_right = tl.load(image + lower * width + right, mask=here, other=0.0)
                of_x += g * ((upper_right - upper_left) * (1 - down) + (lower_right - lower_left) * down)
                of_y += g * ((lower_left - upper_left) * (1 - across) + (lower_right - upper_right) * across)
                if IMAGES:
                    to = of_images + (sample * channels + c) * height * width
                    tl.atomic_add(to + upper * width + left, g * (1 - across) * (1 - down), mask=here)
                    tl.atomic_add(to + upper * width + right, g * across * (1 - down), mask=here)
                    tl.atomic_add(to + lower * width + left, g * (1 - across) * down, mask=here)
                    tl.atomic_add(to + lower * width + right, g * across * down, mask=here)
            of_x = tl.where(free_x, of_x * width * 0.5, zero)
            of_y = tl.where(free_y, of_y * height * 0.5, zero)
        else:
            of_x = tl.load(cotangent + (sample * 2) * n + lane, mask=here, other=0.0)
            of_y = tl.load(cotangent + (sample * 2 + 1) * n + lane, mask=here, other=0.0)
        of_x, of_y = of_x * 2 / columns, of_y * 2 / rows

        gradient = of_field + sample * rows * columns * 10
        of_kx, of_ky = zero, zero
        cell = tl.full([BLOCK], -1, tl.int32)
        a0, a1, a2, a3, a4, b0, b1, b2, b3, b4 = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
        d0, d1, d2, d3, d4, e0, e1, e2, e3, e4 = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
        for back in range(count + 1):
            step = count - back
            at_x = tl.load(kept + (2 * step) * BLOCK + mine)
            at_y = tl.load(kept + (2 * step + 1) * BLOCK + mine)
            now, s, t = _locate(at_x, at_y, rows, columns)
            changed = now != cell
            leaving = changed & (cell >= 0) & here
            _give(gradient, cell, leaving, d0, d1, d2, d3, d4, e0, e1, e2, e3, e4)
            d0, d1, d2 = tl.where(changed, zero, d0), tl.where(changed, zero, d1), tl.where(changed, zero, d2)
            d3, d4 = tl.where(changed, zero, d3), tl.where(changed, zero, d4)
            e0, e1, e2 = tl.where(changed, zero, e0), tl.where(changed, zero, e1), tl.where(changed, zero, e2)
            e3, e4 = tl.where(changed, zero, e3), tl.where(changed, zero, e4)
            a0, a1, a2, a3, a4, b0, b1, b2, b3, b4 = _coefficients(
                coefficients, now, changed, a0, a1, a2, a3, a4, b0, b1, b2, b3, b4
            )
            cell = now
            along = tl.where(step > 0, 1.0, 0.0).to(px.dtype)
            kappa_x, kappa_y = along * of_x + of_kx, along * of_y + of_ky
            falling, rising = s - t, s + t - 1
            p, q = tl.abs(falling), tl.abs(rising)
            f = tl.where(falling >= 0, 1.0, -1.0).to(px.dtype)
            r = tl.where(rising >= 0, 1.0, -1.0).to(px.dtype)
            of_s = kappa_x * (a1 + f * a3 + r * a4) + kappa_y * (b1 + f * b3 + r * b4)
            of_t = kappa_x * (a2 - f * a3 + r * a4) + kappa_y * (b2 - f * b3 + r * b4)
            of_s = tl.where((at_x >= 0) & (at_x <= columns), of_s, zero)
            of_t = tl.where((at_y >= 0) & (at_y <= rows), of_t, zero)
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
            of_x += of_s
            of_y += of_t
            of_kx, of_ky = of_s * 0.5, of_t * 0.5
        first = tl.min(cell, 0)
        if first == tl.max(cell, 0):
            whole = gradient + first * 10
            tl.atomic_add(whole, tl.sum(d0, 0))
            tl.atomic_add(whole + 1, tl.sum(d1, 0))
            tl.atomic_add(whole + 2, tl.sum(d2, 0))
            tl.atomic_add(whole + 3, tl.sum(d3, 0))
            tl.atomic_add(whole + 4, tl.sum(d4, 0))
            tl.atomic_add(whole + 5, tl.sum(e0, 0))
            tl.atomic_add(whole + 6, tl.sum(e1, 0))
            tl.atomic_add(whole + 7, tl.sum(e2, 0))
            tl.atomic_add(whole + 8, tl.sum(e3, 0))
            tl.atomic_add(whole + 9, tl.sum(e4, 0))
        else:
            _give(gradient, cell, here, d0, d1, d2, d3, d4, e0, e1, e2, e3, e4)
        if POINTS:
            tl.store(to_points + (sample * n + lane) * 2, of_x * columns * 0.5, mask=here)
            tl.store(to_points + (sample * n + lane) * 2 + 1, of_y * rows * 0.5, mask=here)
        # The next block overwrites what this one kept.
        tl.debug_barrier()


def moved(
    coefficients: Tensor, steps: Tensor, points: Tensor, rows: int, columns: int, height: int, width: int
) -> Tensor:
    """As `flow.moved`."""
    ends = points.new_empty(len(coefficients), points.shape[1], 2)
    _run_forward(coefficients, steps, points, ends, ends, ends, rows, columns, (0, height, width), read=False)
    return ends


def sample(coefficients: Tensor, steps: Tensor, points: Tensor, images: Tensor, rows: int, columns: int) -> Tensor:
    """As `flow.sample`."""
    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    _run_forward(coefficients, steps, points, out, images, out, rows, columns, images.shape[1:], read=True)
    return out


def _run_forward(coefficients, steps, points, ends, images, out, rows, columns, shape, read: bool) -> None:
    batch, n = len(coefficients), points.shape[1]
    if batch == 0 or n == 0:
        return
    points, images = points.contiguous(), images.contiguous()
    next_points = 0 if len(points) == 1 else 2 * n
    with torch.cuda.device_of(points):
        _forward[(batch * triton.cdiv(n, _BLOCK),)](
            per_step(coefficients, steps), steps, points, ends, images, out,
            n, next_points, rows, columns, *shape, READ=read, BLOCK=_BLOCK,
        )  # fmt: skip


def _resident_programs(device: torch.device) -> int:
    if device.type != "cuda":
        return _RESIDENT
    return _RESIDENT * torch.cuda.get_device_properties(device).multi_processor_count


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
    """As `flow.adjoint`."""
    (batch, channels, height, width), n = images.shape, points.shape[1]
    of_k, of_points, of_images = room_for_gradients(coefficients, points, images, needs_points, needs_images)
    if batch and n:
        points, images = points.contiguous(), images.contiguous()
        programs = min(_resident_programs(points.device), batch * triton.cdiv(n, _BLOCK))
        scratch = points.new_empty(programs, most_steps + 1, 2, _BLOCK)
        next_points = 0 if len(points) == 1 else 2 * n
        with torch.cuda.device_of(points):
            _backward[(programs,)](
                per_step(coefficients, steps), steps, points, images, cotangent.contiguous(), of_k, of_points,
                of_images, scratch, batch, n, next_points, most_steps, rows, columns, channels, height, width,
                READ=channels > 0, POINTS=needs_points, IMAGES=needs_images, BLOCK=_BLOCK,
            )  # fmt: skip
    return of_k / steps[:, None, None], of_points, of_images

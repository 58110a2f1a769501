"""CPU kernels of both families: compiled by numba, fused with bilinear sampling, with exact discrete adjoints.

The mathematics is that of `cpab_reference`, `affine_reference` and `base.resample`; only the order of the work differs.
The points are processed in tiles of 128 neighbours, a small rectangle of pixels, and each tile is integrated through
all steps at once, so that it stays in the L1 cache. Velocities are computed cell by cell: for each cell that the tile
touches, over all points of the tile, masked to the points inside. Most tiles touch one to four cells, and such a
vectorised loop over 128 lanes is many times faster than 128 table look-ups. Tiles that touch many cells use look-ups.

The backward pass integrates the tile again, storing the points y_n, and then follows them in reverse. Apart from inputs
and outputs it needs a few hundred kilobytes of scratch memory per thread.

numba caches the compiled code beside this file, or in the user's cache folder if that is not writable.
"""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numba import njit
from torch import Tensor

from vitae.transforms.kernels.affine_reference import DOUBLINGS, TERMS
from vitae.transforms.kernels.cpab_reference import coefficients_per_step, gradient_buffers

LANES = 128
# A tile that touches more cells looks up its coefficients point by point: about the break-even of the two methods.
_MAX_CELLS_PER_TILE = 12

# Without "nnan" and "ninf": the kernels must detect NaN and infinity.
_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})

# All arrays of a tile are slots of one scratch array, 128 lanes each: then the compiler knows that they do not overlap,
# and vectorises. These are the slot numbers.
_X, _Y, _KX, _KY, _S, _T, _CELL, _COLUMN, _GRAD_X, _GRAD_Y, _GRAD_KX, _GRAD_KY = range(12)
_POINT_X, _POINT_Y, _START_X, _START_Y, _END_X, _END_Y, _ACROSS, _DOWN, _VALUE = range(12, 21)
_SLOTS = 21

_SCALE = 2.0**-DOUBLINGS
_INVERSE_FACTORIALS = tuple(1 / math.factorial(n) for n in range(TERMS + 1))


def _make_locate(store: bool):
    """Compile `locate` with or without storing the points y_n and their cells for the backward pass."""

    @_compiled
    def locate(w, stored, advance, rows, columns):
        """x += advance k, then (s, t) and the cell of y = x + k / 2; returns the tile's smallest and largest cell."""
        zero, half = w.dtype.type(0), w.dtype.type(0.5)
        width, height = w.dtype.type(columns), w.dtype.type(rows)
        last_column, last_row = np.int32(columns - 1), np.int32(rows - 1)
        least, largest = np.int32(rows * columns), np.int32(0)
        for lane in range(LANES):
            kx, ky = w[_KX * LANES + lane], w[_KY * LANES + lane]
            x = w[_X * LANES + lane] + advance * kx
            y = w[_Y * LANES + lane] + advance * ky
            w[_X * LANES + lane], w[_Y * LANES + lane] = x, y
            x, y = x + half * kx, y + half * ky
            if store:
                stored[lane], stored[LANES + lane] = x, y
            # Written so that NaN becomes zero: it must never become an index.
            x = x if x > zero else zero
            x = x if x < width else width
            y = y if y > zero else zero
            y = y if y < height else height
            column = w.dtype.type(min(np.int32(x), last_column))
            row = w.dtype.type(min(np.int32(y), last_row))
            w[_S * LANES + lane] = x - column
            w[_T * LANES + lane] = y - row
            w[_COLUMN * LANES + lane] = column
            cell = row * width + column
            w[_CELL * LANES + lane] = cell
            if store:
                stored[2 * LANES + lane] = cell
            least, largest = min(least, np.int32(cell)), max(largest, np.int32(cell))
        return least, largest

    return locate


_locate, _locate_and_store = _make_locate(False), _make_locate(True)


@_compiled
def _columns(w, least, largest, columns):
    """The first and last column of cells that a located tile touches."""
    if least // columns == largest // columns:
        return least % columns, largest % columns
    first, last = np.int32(columns), np.int32(0)
    for lane in range(LANES):
        column = np.int32(w[_COLUMN * LANES + lane])
        first, last = min(first, column), max(last, column)
    return first, last


@_compiled
def _velocity(w, k, least, largest, columns):
    """The velocity v(y) of a located tile, written to the tile's k."""
    one = w.dtype.type(1)
    if least == largest:
        a0, a1, a2, a3, a4 = k[least, 0], k[least, 1], k[least, 2], k[least, 3], k[least, 4]
        b0, b1, b2, b3, b4 = k[least, 5], k[least, 6], k[least, 7], k[least, 8], k[least, 9]
        for lane in range(LANES):
            s, t = w[_S * LANES + lane], w[_T * LANES + lane]
            p, q = abs(s - t), abs(s + t - one)
            w[_KX * LANES + lane] = a0 + a1 * s + a2 * t + a3 * p + a4 * q
            w[_KY * LANES + lane] = b0 + b1 * s + b2 * t + b3 * p + b4 * q
        return
    first, last = _columns(w, least, largest, columns)
    if (largest // columns - least // columns + 1) * (last - first + 1) > _MAX_CELLS_PER_TILE:
        for lane in range(LANES):
            s, t = w[_S * LANES + lane], w[_T * LANES + lane]
            p, q = abs(s - t), abs(s + t - one)
            c = np.int32(w[_CELL * LANES + lane])
            w[_KX * LANES + lane] = k[c, 0] + k[c, 1] * s + k[c, 2] * t + k[c, 3] * p + k[c, 4] * q
            w[_KY * LANES + lane] = k[c, 5] + k[c, 6] * s + k[c, 7] * t + k[c, 8] * p + k[c, 9] * q
        return
    for row in range(least // columns, largest // columns + 1):
        for column in range(first, last + 1):
            c = row * columns + column
            cell = w.dtype.type(c)
            a0, a1, a2, a3, a4 = k[c, 0], k[c, 1], k[c, 2], k[c, 3], k[c, 4]
            b0, b1, b2, b3, b4 = k[c, 5], k[c, 6], k[c, 7], k[c, 8], k[c, 9]
            for lane in range(LANES):
                s, t = w[_S * LANES + lane], w[_T * LANES + lane]
                p, q = abs(s - t), abs(s + t - one)
                x = a0 + a1 * s + a2 * t + a3 * p + a4 * q
                y = b0 + b1 * s + b2 * t + b3 * p + b4 * q
                in_cell = w[_CELL * LANES + lane] == cell
                w[_KX * LANES + lane] = x if in_cell else w[_KX * LANES + lane]
                w[_KY * LANES + lane] = y if in_cell else w[_KY * LANES + lane]


def _make_adjoint_step(single_cell: bool):
    """Compile `adjoint_step` for tiles inside a single cell, or with a mask for one of the cells of a tile."""

    @_compiled
    def adjoint_step(w, stored, k, grad_k, row, column, rows, columns):
        """One step of the backward recursion, for the lanes whose y_n is in this cell.

        (grad_x, grad_y) is dL/dx_n and (grad_kx, grad_ky) is the contribution of y_{n+1} to dL/dk_n; their sum is
        kappa. Adds J(y_n)^T kappa to the former, sets the latter to half of it, and adds the gradient of the cell's
        coefficients to grad_k.
        """
        zero, half, one = w.dtype.type(0), w.dtype.type(0.5), w.dtype.type(1)
        width, height = w.dtype.type(columns), w.dtype.type(rows)
        left, top = w.dtype.type(column), w.dtype.type(row)
        c = row * columns + column
        cell = w.dtype.type(c)
        a1, a2, a3, a4 = k[c, 1], k[c, 2], k[c, 3], k[c, 4]
        b1, b2, b3, b4 = k[c, 6], k[c, 7], k[c, 8], k[c, 9]
        d0 = d1 = d2 = d3 = d4 = zero
        e0 = e1 = e2 = e3 = e4 = zero
        for lane in range(LANES):
            at_x, at_y = stored[lane], stored[LANES + lane]
            x = at_x if at_x > zero else zero
            x = x if x < width else width
            y = at_y if at_y > zero else zero
            y = y if y < height else height
            in_cell = True if single_cell else stored[2 * LANES + lane] == cell
            s, t = x - left, y - top
            grad_x, grad_y = w[_GRAD_X * LANES + lane], w[_GRAD_Y * LANES + lane]
            grad_kx, grad_ky = w[_GRAD_KX * LANES + lane], w[_GRAD_KY * LANES + lane]
            u = grad_x + grad_kx if in_cell else zero
            v = grad_y + grad_ky if in_cell else zero
            falling, rising = s - t, s + t - one
            p, q = abs(falling), abs(rising)
            across_falling = (u * a3 + v * b3) * (one if falling >= zero else -one)
            across_rising = (u * a4 + v * b4) * (one if rising >= zero else -one)
            grad_s = u * a1 + v * b1 + across_falling + across_rising
            grad_t = u * a2 + v * b2 - across_falling + across_rising
            # Outside the square the field is constant along the outward normal.
            grad_s = grad_s if x == at_x else zero
            grad_t = grad_t if y == at_y else zero
            w[_GRAD_X * LANES + lane], w[_GRAD_Y * LANES + lane] = grad_x + grad_s, grad_y + grad_t
            w[_GRAD_KX * LANES + lane] = half * grad_s if in_cell else grad_kx
            w[_GRAD_KY * LANES + lane] = half * grad_t if in_cell else grad_ky
            d0 += u
            d1 += u * s
            d2 += u * t
            d3 += u * p
            d4 += u * q
            e0 += v
            e1 += v * s
            e2 += v * t
            e3 += v * p
            e4 += v * q
        grad_k[c, 0] += d0
        grad_k[c, 1] += d1
        grad_k[c, 2] += d2
        grad_k[c, 3] += d3
        grad_k[c, 4] += d4
        grad_k[c, 5] += e0
        grad_k[c, 6] += e1
        grad_k[c, 7] += e2
        grad_k[c, 8] += e3
        grad_k[c, 9] += e4

    return adjoint_step


_adjoint_in_single_cell, _adjoint_in_cell = _make_adjoint_step(True), _make_adjoint_step(False)


@_compiled
def _adjoint_by_lookup(w, stored, k, grad_k, rows, columns):
    """As `_make_adjoint_step`, for a tile that touches many cells."""
    zero, half, one = w.dtype.type(0), w.dtype.type(0.5), w.dtype.type(1)
    width, height = w.dtype.type(columns), w.dtype.type(rows)
    for lane in range(LANES):
        at_x, at_y = stored[lane], stored[LANES + lane]
        x = at_x if at_x > zero else zero
        x = x if x < width else width
        y = at_y if at_y > zero else zero
        y = y if y < height else height
        c = int(stored[2 * LANES + lane])
        s, t = x - w.dtype.type(c % columns), y - w.dtype.type(c // columns)
        u = w[_GRAD_X * LANES + lane] + w[_GRAD_KX * LANES + lane]
        v = w[_GRAD_Y * LANES + lane] + w[_GRAD_KY * LANES + lane]
        falling, rising = s - t, s + t - one
        p, q = abs(falling), abs(rising)
        across_falling = (u * k[c, 3] + v * k[c, 8]) * (one if falling >= zero else -one)
        across_rising = (u * k[c, 4] + v * k[c, 9]) * (one if rising >= zero else -one)
        grad_s = u * k[c, 1] + v * k[c, 6] + across_falling + across_rising
        grad_t = u * k[c, 2] + v * k[c, 7] - across_falling + across_rising
        grad_s = grad_s if x == at_x else zero
        grad_t = grad_t if y == at_y else zero
        w[_GRAD_X * LANES + lane] += grad_s
        w[_GRAD_Y * LANES + lane] += grad_t
        w[_GRAD_KX * LANES + lane], w[_GRAD_KY * LANES + lane] = half * grad_s, half * grad_t
        grad_k[c, 0] += u
        grad_k[c, 1] += u * s
        grad_k[c, 2] += u * t
        grad_k[c, 3] += u * p
        grad_k[c, 4] += u * q
        grad_k[c, 5] += v
        grad_k[c, 6] += v * s
        grad_k[c, 7] += v * t
        grad_k[c, 8] += v * p
        grad_k[c, 9] += v * q


@_compiled
def _load_points(w, points, width, top, left, bottom, right):
    """Load the points of pixels [top, bottom) x [left, right) into a tile; `points` is x, y, x, y, ..."""
    # Unsigned, because numba adds a wrap-around branch to every signed index.
    lane = np.uint64(0)
    for i in range(top, bottom):
        at = np.uint64(2 * (i * width + left))
        for _ in range(left, right):
            w[np.uint64(_POINT_X * LANES) + lane] = points[at]
            w[np.uint64(_POINT_Y * LANES) + lane] = points[at + np.uint64(1)]
            at += np.uint64(2)
            lane += np.uint64(1)
    # Unused lanes repeat the first point, so that they touch no additional cell.
    for empty in range(lane, LANES):
        w[_POINT_X * LANES + empty] = w[_POINT_X * LANES]
        w[_POINT_Y * LANES + empty] = w[_POINT_Y * LANES]


@_compiled
def _to_cells(w, rows, columns):
    """Convert a loaded tile to cell coordinates, with zero velocity."""
    zero, one, half = w.dtype.type(0), w.dtype.type(1), w.dtype.type(0.5)
    to_columns, to_rows = half * w.dtype.type(columns), half * w.dtype.type(rows)
    for lane in range(LANES):
        x = (w[_POINT_X * LANES + lane] + one) * to_columns
        y = (w[_POINT_Y * LANES + lane] + one) * to_rows
        w[_START_X * LANES + lane], w[_START_Y * LANES + lane] = x, y
        w[_X * LANES + lane], w[_Y * LANES + lane] = x, y
        w[_KX * LANES + lane], w[_KY * LANES + lane] = zero, zero


@_compiled
def _integrate(w, k, steps, rows, columns):
    """Integrate a tile for all steps; k is in cells per step."""
    for n in range(steps + 1):
        # k_0 only initialises the scheme: the first step is along k_1.
        least, largest = _locate(w, w, w.dtype.type(n > 1), rows, columns)
        _velocity(w, k, least, largest, columns)
    for lane in range(2 * LANES):
        w[_X * LANES + lane] += w[_KX * LANES + lane]


@_compiled
def _integrate_and_store(w, visited, boxes, k, steps, rows, columns):
    """As `_integrate`, also storing the points y_n and the range of rows and columns of their cells."""
    for n in range(steps + 1):
        least, largest = _locate_and_store(w, visited[n], w.dtype.type(n > 1), rows, columns)
        _velocity(w, k, least, largest, columns)
        boxes[n, 0], boxes[n, 1] = least // columns, largest // columns
        boxes[n, 2], boxes[n, 3] = _columns(w, least, largest, columns)
    for lane in range(2 * LANES):
        w[_X * LANES + lane] += w[_KX * LANES + lane]


@_compiled
def _integrate_adjoint(w, visited, boxes, k, grad_k, steps, rows, columns):
    """Propagate (grad_x, grad_y) from the end of the flow to its start, along the stored points."""
    zero = w.dtype.type(0)
    for lane in range(2 * LANES):
        w[_GRAD_KX * LANES + lane] = zero
    for n in range(steps, -1, -1):
        if n == 0:
            # x_1 = x_0 + k_1: k_0 enters only through y_1, so kappa is that contribution alone.
            for lane in range(2 * LANES):
                w[_START_X * LANES + lane] = w[_GRAD_X * LANES + lane]
                w[_GRAD_X * LANES + lane] = zero
        first_row, last_row, first, last = boxes[n]
        cells = (last_row - first_row + 1) * (last - first + 1)
        if cells == 1:
            _adjoint_in_single_cell(w, visited[n], k, grad_k, first_row, first, rows, columns)
        elif cells > _MAX_CELLS_PER_TILE:
            _adjoint_by_lookup(w, visited[n], k, grad_k, rows, columns)
        else:
            for row in range(first_row, last_row + 1):
                for column in range(first, last + 1):
                    _adjoint_in_cell(w, visited[n], k, grad_k, row, column, rows, columns)
    for lane in range(2 * LANES):
        w[_GRAD_X * LANES + lane] += w[_START_X * LANES + lane]


@_compiled
def _to_square(w, rows, columns):
    """The tile's end points in `[-1, 1]^2`.

    Adds the displacement, so that zero displacement gives exactly the identity.
    """
    across, down = w.dtype.type(2 / columns), w.dtype.type(2 / rows)
    for lane in range(LANES):
        displacement = w[_X * LANES + lane] - w[_START_X * LANES + lane]
        w[_END_X * LANES + lane] = w[_POINT_X * LANES + lane] + displacement * across
    for lane in range(LANES):
        displacement = w[_Y * LANES + lane] - w[_START_Y * LANES + lane]
        w[_END_Y * LANES + lane] = w[_POINT_Y * LANES + lane] + displacement * down


@_compiled
def _find_pixels(w, pixel, height, width):
    """The upper left of the four pixels around each end point, and the bilinear weights across and down.

    Clamped so that the pixels to the right and below exist, unless the image is a single pixel wide or high.
    """
    zero, half, one = w.dtype.type(0), w.dtype.type(0.5), w.dtype.type(1)
    wide, high = w.dtype.type(width), w.dtype.type(height)
    last_column, last_row = w.dtype.type(width - 1), w.dtype.type(height - 1)
    before_last_column, before_last_row = np.int32(max(width - 2, 0)), np.int32(max(height - 2, 0))
    for lane in range(LANES):
        x, y = w[_END_X * LANES + lane], w[_END_Y * LANES + lane]
        # NaN reads the centre of the image, as in `base.resample`.
        x, y = x if x == x else zero, y if y == y else zero
        x, y = (x + one) * half * wide - half, (y + one) * half * high - half
        x = x if x > zero else zero
        x = x if x < last_column else last_column
        y = y if y > zero else zero
        y = y if y < last_row else last_row
        column, row = min(np.int32(x), before_last_column), min(np.int32(y), before_last_row)
        w[_ACROSS * LANES + lane] = x - w.dtype.type(column)
        w[_DOWN * LANES + lane] = y - w.dtype.type(row)
        pixel[lane] = np.uint64(row) * np.uint64(width) + np.uint64(column)


@_compiled
def _interpolate(w, pixel, image, height, width):
    """Interpolate one flat channel at the located pixels, into value."""
    right, below = np.uint64(width > 1), np.uint64(width if height > 1 else 0)
    for lane in range(LANES):
        at = pixel[lane]
        across, down = w[_ACROSS * LANES + lane], w[_DOWN * LANES + lane]
        upper = image[at] + across * (image[at + right] - image[at])
        lower = image[at + below] + across * (image[at + below + right] - image[at + below])
        w[_VALUE * LANES + lane] = upper + down * (lower - upper)


@_compiled
def _interpolate_adjoint(w, pixel, image, grad_image, height, width):
    """The adjoint of `_interpolate` for the cotangent in value; adds to (grad_x, grad_y), per pixel, and grad_image."""
    one = w.dtype.type(1)
    right, below = np.uint64(width > 1), np.uint64(width if height > 1 else 0)
    for lane in range(LANES):
        at, g = pixel[lane], w[_VALUE * LANES + lane]
        across, down = w[_ACROSS * LANES + lane], w[_DOWN * LANES + lane]
        over_upper, over_lower = image[at + right] - image[at], image[at + below + right] - image[at + below]
        over_left, over_right = image[at + below] - image[at], image[at + below + right] - image[at + right]
        w[_GRAD_X * LANES + lane] += g * (over_upper + down * (over_lower - over_upper))
        w[_GRAD_Y * LANES + lane] += g * (over_left + across * (over_right - over_left))
    if len(grad_image):
        for lane in range(LANES):
            at, g = pixel[lane], w[_VALUE * LANES + lane]
            across, down = w[_ACROSS * LANES + lane], w[_DOWN * LANES + lane]
            lower = g * down
            upper = g - lower
            grad_image[at] += upper * (one - across)
            grad_image[at + right] += upper * across
            grad_image[at + below] += lower * (one - across)
            grad_image[at + below + right] += lower * across


@_compiled
def _scale_gradient(w, height, width):
    """Convert (grad_x, grad_y) from pixels to `[-1, 1]^2`, and set it to zero beyond the centres of the edge pixels."""
    zero, half, one = w.dtype.type(0), w.dtype.type(0.5), w.dtype.type(1)
    edge_x, edge_y = one - one / w.dtype.type(width), one - one / w.dtype.type(height)
    across, down = half * w.dtype.type(width), half * w.dtype.type(height)
    for lane in range(LANES):
        inside = abs(w[_END_X * LANES + lane]) < edge_x
        w[_GRAD_X * LANES + lane] = w[_GRAD_X * LANES + lane] * across if inside else zero
    for lane in range(LANES):
        inside = abs(w[_END_Y * LANES + lane]) < edge_y
        w[_GRAD_Y * LANES + lane] = w[_GRAD_Y * LANES + lane] * down if inside else zero


@_compiled
def _store(w, slot, target, width, top, left, bottom, right):
    """Write a slot's lanes to the pixels [top, bottom) x [left, right) of a flat channel."""
    lane = np.uint64(slot * LANES)
    for i in range(top, bottom):
        at = np.uint64(i * width + left)
        for _ in range(left, right):
            target[at] = w[lane]
            at += np.uint64(1)
            lane += np.uint64(1)


@_compiled
def _store_points(w, slot, target, width, top, left, bottom, right):
    """Write two adjacent slots to the pixels [top, bottom) x [left, right) of points x, y, x, y, ..."""
    lane = np.uint64(slot * LANES)
    for i in range(top, bottom):
        at = np.uint64(2 * (i * width + left))
        for _ in range(left, right):
            target[at] = w[lane]
            target[at + np.uint64(1)] = w[lane + np.uint64(LANES)]
            at += np.uint64(2)
            lane += np.uint64(1)


@_compiled
def _load(w, slot, source, width, top, left, bottom, right):
    """Load the pixels [top, bottom) x [left, right) of a flat channel into a slot's lanes, and zeros into the rest."""
    lane = np.uint64(slot * LANES)
    for i in range(top, bottom):
        at = np.uint64(i * width + left)
        for _ in range(left, right):
            w[lane] = source[at]
            at += np.uint64(1)
            lane += np.uint64(1)
    w[lane : (slot + 1) * LANES] = 0


@_compiled
def _forward(k, steps, points, ends, images, out, rows, columns, height, width, tile, begin, end):
    """For samples begin to end: sample images at the end points, or store the end points if there are no channels."""
    w = np.zeros(_SLOTS * LANES, k.dtype)
    pixel = np.zeros(LANES, np.uint64)
    for b in range(begin, end):
        sample_points = points[b % len(points)]
        for top in range(0, height, tile[0]):
            for left in range(0, width, tile[1]):
                bottom, right = min(height, top + tile[0]), min(width, left + tile[1])
                _load_points(w, sample_points, width, top, left, bottom, right)
                _to_cells(w, rows, columns)
                _integrate(w, k[b], steps[b], rows, columns)
                _to_square(w, rows, columns)
                if images.shape[1]:
                    _find_pixels(w, pixel, height, width)
                    for c in range(images.shape[1]):
                        _interpolate(w, pixel, images[b, c], height, width)
                        _store(w, _VALUE, out[b, c], width, top, left, bottom, right)
                else:
                    _store_points(w, _END_X, ends[b], width, top, left, bottom, right)


@_compiled
def _backward(
    k, steps, max_steps, points, images, cotangent, grad_k, grad_points, grad_images, rows, columns, height, width,
    tile, begin, end,
):  # fmt: skip
    """The adjoint of `_forward` for the cotangent of `out`, or that of `ends` if images have no channels."""
    w = np.zeros(_SLOTS * LANES, k.dtype)
    pixel = np.zeros(LANES, np.uint64)
    visited = np.empty((max_steps + 1, 3 * LANES), k.dtype)
    boxes = np.empty((max_steps + 1, 4), np.int64)
    across, down = w.dtype.type(2 / columns), w.dtype.type(2 / rows)
    no_image = w[:0]
    for b in range(begin, end):
        sample_points = points[b % len(points)]
        for top in range(0, height, tile[0]):
            for left in range(0, width, tile[1]):
                bottom, right = min(height, top + tile[0]), min(width, left + tile[1])
                _load_points(w, sample_points, width, top, left, bottom, right)
                _to_cells(w, rows, columns)
                _integrate_and_store(w, visited, boxes, k[b], steps[b], rows, columns)
                if images.shape[1]:
                    _to_square(w, rows, columns)
                    _find_pixels(w, pixel, height, width)
                    w[_GRAD_X * LANES : (_GRAD_Y + 1) * LANES] = 0
                    for c in range(images.shape[1]):
                        _load(w, _VALUE, cotangent[b, c], width, top, left, bottom, right)
                        grad_image = grad_images[b, c] if grad_images.shape[1] else no_image
                        _interpolate_adjoint(w, pixel, images[b, c], grad_image, height, width)
                    _scale_gradient(w, height, width)
                else:
                    _load(w, _GRAD_X, cotangent[b, 0], width, top, left, bottom, right)
                    _load(w, _GRAD_Y, cotangent[b, 1], width, top, left, bottom, right)
                for lane in range(LANES):
                    w[_GRAD_X * LANES + lane] *= across
                    w[_GRAD_Y * LANES + lane] *= down
                _integrate_adjoint(w, visited, boxes, k[b], grad_k[b], steps[b], rows, columns)
                if grad_points.shape[1]:
                    for lane in range(LANES):
                        w[_GRAD_X * LANES + lane] /= across
                        w[_GRAD_Y * LANES + lane] /= down
                    _store_points(w, _GRAD_X, grad_points[b], width, top, left, bottom, right)


@lru_cache
def _tile(height: int, width: int, rows: int, columns: int) -> tuple[int, int]:
    """Height and width of the tiles, 8 to 16 pixels wide, chosen to give few tiles that touch few cells.

    The cost model is two units per tile plus one for each cell that it touches, with half a cell added in each
    direction for the deformation. On the benchmark's images and meshes this picks the fastest size or nearly so.
    """

    def touched(size: int, cells: int, length: int) -> float:
        starts = range(0, size, length)
        return sum((min(at + length, size) - 1) * cells // size - at * cells // size + 1.5 for at in starts)

    def cost(tile: tuple[int, int]) -> float:
        tiles = -(-height // tile[0]) * -(-width // tile[1])
        return 2 * tiles + touched(height, rows, tile[0]) * touched(width, columns, tile[1])

    if min(height, width) < 8:
        across = max(1, min(LANES, width))
        return max(1, min(LANES // across, height)), across
    return min(((min(LANES // across, height), min(across, width)) for across in range(8, 17)), key=cost)


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="vitae")


# A forked child process does not inherit its parent's threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _run_in_threads(kernel: Callable, batch: int, *arguments) -> None:
    """Run a kernel over all samples, divided among torch's number of threads."""
    threads = min(torch.get_num_threads(), batch)
    if threads <= 1:
        kernel(*arguments, 0, batch)
        return
    bounds = [batch * n // threads for n in range(threads + 1)]
    first_range, *other_ranges = pairwise(bounds)
    # This thread takes a range too: waking another thread takes about as long as a small kernel runs.
    futures = [_pool(threads - 1).submit(kernel, *arguments, *samples) for samples in other_ranges]
    kernel(*arguments, *first_range)
    for future in futures:
        future.result()


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.contiguous().numpy()


def _flat_inputs(points: Tensor, images: Tensor, cotangent: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The inputs of a backward pass as arrays: points as x, y, x, y, ..., and each channel flat."""
    return _numpy(points.flatten(1)), _numpy(images.flatten(2)), _numpy(cotangent.flatten(2))


def _flat_buffers(grad_parameters: Tensor, grad_points: Tensor, grad_images: Tensor) -> tuple[np.ndarray, ...]:
    """The gradient buffers in the same layout, sharing memory with the tensors, which are contiguous."""
    return grad_parameters.numpy(), grad_points.flatten(1).numpy(), grad_images.flatten(2).numpy()


def flow(
    coefficients: Tensor, steps: Tensor, points: Tensor, rows: int, columns: int, height: int, width: int
) -> Tensor:
    """As `cpab_reference.flow`; the points are the pixels of a height x width image row by row."""
    ends = points.new_empty(len(coefficients), points.shape[1], 2)
    no_images = _numpy(points.new_empty(len(coefficients), 0, height * width))
    mesh = (rows, columns, height, width, _tile(height, width, rows, columns))
    inputs = (_numpy(coefficients_per_step(coefficients, steps)), _numpy(steps), _numpy(points.flatten(1)))
    _run_in_threads(_forward, len(coefficients), *inputs, _numpy(ends.flatten(1)), no_images, no_images, *mesh)
    return ends


def sample(coefficients: Tensor, steps: Tensor, points: Tensor, images: Tensor, rows: int, columns: int) -> Tensor:
    """As `cpab_reference.sample`."""
    batch, channels, height, width = images.shape
    out = images.new_empty(batch, channels, height * width)
    mesh = (rows, columns, height, width, _tile(height, width, rows, columns))
    inputs = (_numpy(coefficients_per_step(coefficients, steps)), _numpy(steps), _numpy(points.flatten(1)))
    no_ends = _numpy(points.new_empty(batch, 0))
    _run_in_threads(_forward, batch, *inputs, no_ends, _numpy(images.flatten(2)), _numpy(out), *mesh)
    return out.unflatten(2, (height, width))


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
    height, width = images.shape[2:]
    buffers = grad_k, grad_points, grad_images = gradient_buffers(
        coefficients, points, images, needs_points, needs_images
    )
    mesh = (rows, columns, height, width, _tile(height, width, rows, columns))
    inputs = (
        _numpy(coefficients_per_step(coefficients, steps)),
        _numpy(steps),
        max_steps,
        *_flat_inputs(points, images, cotangent),
    )
    _run_in_threads(_backward, len(images), *inputs, *_flat_buffers(*buffers), *mesh)
    return grad_k / steps[:, None, None], grad_points, grad_images


@_compiled
def _doublings(gamma, levels):
    """Store (r, q), (P, Q) and y of `affine_reference.expm` at every doubling in `levels`; returns sigma."""
    a, b, c, d = gamma[0], gamma[1], gamma[2], gamma[3]
    s, e = (a + d) / 2, (a - d) / 2
    sigma, y = s * _SCALE, (e * e + b * c) * _SCALE**2
    r, q = _INVERSE_FACTORIALS[TERMS], 0.0
    for n in range(TERMS - 1, 0, -1):
        r, q = _INVERSE_FACTORIALS[n] + sigma * r + y * q, r + sigma * q
    P, Q = 1 + sigma * r + y * q, r + sigma * q
    levels[0] = r, q, P, Q, y
    for n in range(DOUBLINGS):
        r, q = (r * (P + 1) + y * q * Q) / 2, (r * Q + q * (P + 1)) / 4
        P, Q, y = P * P + y * Q * Q, P * Q, 4 * y
        levels[n + 1] = r, q, P, Q, y
    return sigma


@_compiled
def _expm(gamma, maps, begin, end):
    levels = np.empty((DOUBLINGS + 1, 5))
    for n in range(begin, end):
        a, b, c, d, tx, ty = gamma[n]
        e = (a - d) / 2
        _doublings(gamma[n], levels)
        r, q, P, Q, _ = levels[DOUBLINGS]
        maps[n, 0], maps[n, 1], maps[n, 2], maps[n, 3] = P + Q * e, Q * b, Q * c, P - Q * e
        maps[n, 4], maps[n, 5] = r * tx + q * (e * tx + b * ty), r * ty + q * (c * tx - e * ty)


@_compiled
def _expm_adjoint(gamma, cotangent, grad_gamma, begin, end):
    levels = np.empty((DOUBLINGS + 1, 5))
    pairs = np.empty((TERMS + 1, 2))
    for n in range(begin, end):
        a, b, c, d, tx, ty = gamma[n]
        e = (a - d) / 2
        g0, g1, g2, g3, g4, g5 = cotangent[n]
        sigma = _doublings(gamma[n], levels)
        r, q, P, Q, _ = levels[DOUBLINGS]

        grad_P, grad_Q = g0 + g3, (g0 - g3) * e + g1 * b + g2 * c
        grad_r = g4 * tx + g5 * ty
        grad_q = g4 * (e * tx + b * ty) + g5 * (c * tx - e * ty)
        grad_e = Q * (g0 - g3) + q * (g4 * tx - g5 * ty)
        grad_b, grad_c = Q * g1 + q * g4 * ty, Q * g2 + q * g5 * tx
        grad_tx, grad_ty = (r + q * e) * g4 + q * c * g5, q * b * g4 + (r - q * e) * g5

        grad_y = 0.0
        for level in range(DOUBLINGS - 1, -1, -1):
            r, q, P, Q, y = levels[level]
            grad_y = 4 * grad_y + grad_P * Q * Q + grad_r * q * Q / 2
            grad_P, grad_Q = (
                2 * P * grad_P + Q * grad_Q + grad_r * r / 2 + grad_q * q / 4,
                2 * y * Q * grad_P + P * grad_Q + grad_r * y * q / 2 + grad_q * r / 4,
            )
            grad_r, grad_q = grad_r * (P + 1) / 2 + grad_q * Q / 4, grad_r * y * Q / 2 + grad_q * (P + 1) / 4

        # Back through the series from its last pair; (P, Q) is one more iteration of the same recursion.
        y = levels[0, 4]
        pairs[TERMS] = _INVERSE_FACTORIALS[TERMS], 0.0
        for m in range(TERMS - 1, 0, -1):
            r, q = pairs[m + 1]
            pairs[m] = _INVERSE_FACTORIALS[m] + sigma * r + y * q, r + sigma * q
        r, q = pairs[1]
        grad_sigma = grad_P * r + grad_Q * q
        grad_y += grad_P * q
        grad_r, grad_q = grad_r + grad_P * sigma + grad_Q, grad_q + grad_P * y + grad_Q * sigma
        for m in range(1, TERMS):
            r, q = pairs[m + 1]
            grad_sigma += grad_r * r + grad_q * q
            grad_y += grad_r * q
            grad_r, grad_q = grad_r * sigma + grad_q, grad_r * y + grad_q * sigma

        grad_s, grad_delta = grad_sigma * _SCALE, grad_y * _SCALE**2
        grad_e += 2 * e * grad_delta
        grad_gamma[n, 0], grad_gamma[n, 3] = (grad_s + grad_e) / 2, (grad_s - grad_e) / 2
        grad_gamma[n, 1], grad_gamma[n, 2] = grad_b + c * grad_delta, grad_c + b * grad_delta
        grad_gamma[n, 4], grad_gamma[n, 5] = grad_tx, grad_ty


@_compiled
def _map_points(w, m):
    """The end points of a loaded tile under an affine map."""
    a, b, c, d, tx, ty = m
    for lane in range(LANES):
        x, y = w[_POINT_X * LANES + lane], w[_POINT_Y * LANES + lane]
        w[_END_X * LANES + lane] = a * x + b * y + tx
        w[_END_Y * LANES + lane] = c * x + d * y + ty


@_compiled
def _affine_forward(maps, points, images, out, height, width, begin, end):
    w = np.zeros(_SLOTS * LANES, maps.dtype)
    pixel = np.zeros(LANES, np.uint64)
    n = height * width
    for b in range(begin, end):
        for first in range(0, n, LANES):
            last = min(n, first + LANES)
            _load_points(w, points[b % len(points)], n, 0, first, 1, last)
            _map_points(w, maps[b])
            _find_pixels(w, pixel, height, width)
            for c in range(images.shape[1]):
                _interpolate(w, pixel, images[b, c], height, width)
                _store(w, _VALUE, out[b, c], n, 0, first, 1, last)


@_compiled
def _affine_backward(maps, points, images, cotangent, grad_maps, grad_points, grad_images, height, width, begin, end):
    w = np.zeros(_SLOTS * LANES, maps.dtype)
    pixel = np.zeros(LANES, np.uint64)
    n = height * width
    no_image = w[:0]
    for sample in range(begin, end):
        a, b, c, d, _, _ = maps[sample]
        for first in range(0, n, LANES):
            last = min(n, first + LANES)
            _load_points(w, points[sample % len(points)], n, 0, first, 1, last)
            _map_points(w, maps[sample])
            _find_pixels(w, pixel, height, width)
            w[_GRAD_X * LANES : (_GRAD_Y + 1) * LANES] = 0
            for channel in range(images.shape[1]):
                _load(w, _VALUE, cotangent[sample, channel], n, 0, first, 1, last)
                grad_image = grad_images[sample, channel] if grad_images.shape[1] else no_image
                _interpolate_adjoint(w, pixel, images[sample, channel], grad_image, height, width)
            _scale_gradient(w, height, width)
            d0 = d1 = d2 = d3 = d4 = d5 = w.dtype.type(0)
            for lane in range(LANES):
                x, y = w[_POINT_X * LANES + lane], w[_POINT_Y * LANES + lane]
                grad_x, grad_y = w[_GRAD_X * LANES + lane], w[_GRAD_Y * LANES + lane]
                d0 += grad_x * x
                d1 += grad_x * y
                d2 += grad_y * x
                d3 += grad_y * y
                d4 += grad_x
                d5 += grad_y
                w[_GRAD_X * LANES + lane], w[_GRAD_Y * LANES + lane] = a * grad_x + c * grad_y, b * grad_x + d * grad_y
            grad_maps[sample, 0] += d0
            grad_maps[sample, 1] += d1
            grad_maps[sample, 2] += d2
            grad_maps[sample, 3] += d3
            grad_maps[sample, 4] += d4
            grad_maps[sample, 5] += d5
            if grad_points.shape[1]:
                _store_points(w, _GRAD_X, grad_points[sample], n, 0, first, 1, last)


def expm(gamma: Tensor) -> Tensor:
    """As `affine_reference.expm`."""
    maps = torch.empty_like(gamma, dtype=torch.float64, memory_format=torch.contiguous_format)
    _expm(_numpy(gamma.double()), _numpy(maps), 0, len(gamma))
    return maps.to(gamma.dtype)


def expm_adjoint(gamma: Tensor, cotangent: Tensor) -> Tensor:
    """The gradient of `expm` for a cotangent `batch x 6`."""
    grad_gamma = torch.empty_like(gamma, dtype=torch.float64, memory_format=torch.contiguous_format)
    _expm_adjoint(_numpy(gamma.double()), _numpy(cotangent.double()), _numpy(grad_gamma), 0, len(gamma))
    return grad_gamma.to(gamma.dtype)


def affine_sample(maps: Tensor, points: Tensor, images: Tensor) -> Tensor:
    """Images `batch x channels x height x width`, sampled where the maps, `batch x 6`, take the points."""
    out = images.new_empty(*images.shape[:2], points.shape[1])
    inputs = (_numpy(maps), _numpy(points.flatten(1)), _numpy(images.flatten(2)))
    _run_in_threads(_affine_forward, len(maps), *inputs, _numpy(out), *images.shape[2:])
    return out.unflatten(2, images.shape[2:])


def affine_adjoint(
    maps: Tensor, points: Tensor, images: Tensor, cotangent: Tensor, needs_points: bool, needs_images: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `affine_sample` for maps, points and images; without points or channels if not needed."""
    buffers = gradient_buffers(maps, points, images, needs_points, needs_images)
    inputs = (_numpy(maps), *_flat_inputs(points, images, cotangent))
    _run_in_threads(_affine_backward, len(maps), *inputs, *_flat_buffers(*buffers), *images.shape[2:])
    return buffers

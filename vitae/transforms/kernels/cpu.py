"""The transformations on the CPU: compiled by numba, fused with bilinear sampling, gradients by the discrete adjoint.

The mathematics is that of `flow` (CPAB) and `base.resample`; only the order of the work differs. A tile of 128 points
that lie close together, for pixels a small rectangle, is carried through all its steps at once and never leaves the
core's first cache. Its velocities are computed cell by cell, for all points of the tile and kept where the cell is
right: most tiles lie in one to four cells, and an arithmetic loop over 128 lanes is many times faster than as many
table look-ups. A tile that lies in very many cells looks them up after all.

The backward pass carries the tile forward once more, keeping the points y_n, and returns along them. What the whole
pass needs beyond its inputs and outputs is a scratch of some hundred kilobytes for each thread.

Compiled code is cached beside this file, or in the user's cache where that is not writable.
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
from vitae.transforms.kernels.cpab_reference import per_step, room_for_gradients

LANES = 128
# A tile that touches more cells looks coefficients up point by point: about where one costs what the other does.
_MOST_CELLS_A_TILE = 12

# Without "nnan" and "ninf": points that are not numbers have to stay recognisable.
_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})

# All arrays of a tile live in one scratch array, lane by lane: the compiler then knows that they do not overlap,
# without which it does not vectorise. These are their numbers.
_X, _Y, _KX, _KY, _S, _T, _CELL, _COLUMN, _OF_X, _OF_Y, _OF_KX, _OF_KY = range(12)
_POINT_X, _POINT_Y, _START_X, _START_Y, _END_X, _END_Y, _ACROSS, _DOWN, _VALUE = range(12, 21)
_SLOTS = 21

_SCALE = 2.0**-DOUBLINGS
_INVERSE_FACTORIALS = tuple(1 / math.factorial(n) for n in range(TERMS + 1))


def _locator(keeps: bool):
    """Two functions from one text: with and without keeping the points y_n and their cells for the way back."""

    @_compiled
    def locate(w, kept, advance, rows, columns):
        """x += advance k, then (s, t) and the cell of y = x + k / 2; returns the least and largest cell of the tile."""
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
            if keeps:
                kept[lane], kept[LANES + lane] = x, y
            # Written so that what is not a number becomes zero: it must never become an index.
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
            if keeps:
                kept[2 * LANES + lane] = cell
            least, largest = min(least, np.int32(cell)), max(largest, np.int32(cell))
        return least, largest

    return locate


_locate, _locate_and_keep = _locator(False), _locator(True)


@_compiled
def _columns(w, least, largest, columns):
    """The range of columns of a tile whose least and largest cell are known."""
    if least // columns == largest // columns:
        return least % columns, largest % columns
    first, last = np.int32(columns), np.int32(0)
    for lane in range(LANES):
        column = np.int32(w[_COLUMN * LANES + lane])
        first, last = min(first, column), max(last, column)
    return first, last


@_compiled
def _velocity(w, k, least, largest, columns):
    """v(y) of a located tile, into the tile's k."""
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
    if (largest // columns - least // columns + 1) * (last - first + 1) > _MOST_CELLS_A_TILE:
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
                here = w[_CELL * LANES + lane] == cell
                w[_KX * LANES + lane] = x if here else w[_KX * LANES + lane]
                w[_KY * LANES + lane] = y if here else w[_KY * LANES + lane]


def _way_back(alone: bool):
    """Two functions from one text: for a tile that lies in one cell and for one of the cells of a tile."""

    @_compiled
    def back(w, kept, k, of_k, row, column, rows, columns):
        """One step back for the lanes whose y_n is in this cell.

        With (of_x, of_y) = dL/dx_n and (of_kx, of_ky) what y_{n+1} handed down, kappa is their sum, J(y_n)^T kappa is
        added to the former and half of it becomes the latter, and kappa's share of the coefficients goes to of_k.
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
            at_x, at_y = kept[lane], kept[LANES + lane]
            x = at_x if at_x > zero else zero
            x = x if x < width else width
            y = at_y if at_y > zero else zero
            y = y if y < height else height
            here = True if alone else kept[2 * LANES + lane] == cell
            s, t = x - left, y - top
            of_x, of_y = w[_OF_X * LANES + lane], w[_OF_Y * LANES + lane]
            of_kx, of_ky = w[_OF_KX * LANES + lane], w[_OF_KY * LANES + lane]
            u = of_x + of_kx if here else zero
            v = of_y + of_ky if here else zero
            falling, rising = s - t, s + t - one
            p, q = abs(falling), abs(rising)
            across_falling = (u * a3 + v * b3) * (one if falling >= zero else -one)
            across_rising = (u * a4 + v * b4) * (one if rising >= zero else -one)
            of_s = u * a1 + v * b1 + across_falling + across_rising
            of_t = u * a2 + v * b2 - across_falling + across_rising
            # Outside the square the field does not change along the outward normal.
            of_s = of_s if x == at_x else zero
            of_t = of_t if y == at_y else zero
            w[_OF_X * LANES + lane], w[_OF_Y * LANES + lane] = of_x + of_s, of_y + of_t
            w[_OF_KX * LANES + lane] = half * of_s if here else of_kx
            w[_OF_KY * LANES + lane] = half * of_t if here else of_ky
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
        of_k[c, 0] += d0
        of_k[c, 1] += d1
        of_k[c, 2] += d2
        of_k[c, 3] += d3
        of_k[c, 4] += d4
        of_k[c, 5] += e0
        of_k[c, 6] += e1
        of_k[c, 7] += e2
        of_k[c, 8] += e3
        of_k[c, 9] += e4

    return back


_back_in_the_cell, _back_in_a_cell = _way_back(True), _way_back(False)


@_compiled
def _back_by_look_up(w, kept, k, of_k, rows, columns):
    """As `_way_back`, for a tile that lies in very many cells."""
    zero, half, one = w.dtype.type(0), w.dtype.type(0.5), w.dtype.type(1)
    width, height = w.dtype.type(columns), w.dtype.type(rows)
    for lane in range(LANES):
        at_x, at_y = kept[lane], kept[LANES + lane]
        x = at_x if at_x > zero else zero
        x = x if x < width else width
        y = at_y if at_y > zero else zero
        y = y if y < height else height
        c = int(kept[2 * LANES + lane])
        s, t = x - w.dtype.type(c % columns), y - w.dtype.type(c // columns)
        u = w[_OF_X * LANES + lane] + w[_OF_KX * LANES + lane]
        v = w[_OF_Y * LANES + lane] + w[_OF_KY * LANES + lane]
        falling, rising = s - t, s + t - one
        p, q = abs(falling), abs(rising)
        across_falling = (u * k[c, 3] + v * k[c, 8]) * (one if falling >= zero else -one)
        across_rising = (u * k[c, 4] + v * k[c, 9]) * (one if rising >= zero else -one)
        of_s = u * k[c, 1] + v * k[c, 6] + across_falling + across_rising
        of_t = u * k[c, 2] + v * k[c, 7] - across_falling + across_rising
        of_s = of_s if x == at_x else zero
        of_t = of_t if y == at_y else zero
        w[_OF_X * LANES + lane] += of_s
        w[_OF_Y * LANES + lane] += of_t
        w[_OF_KX * LANES + lane], w[_OF_KY * LANES + lane] = half * of_s, half * of_t
        of_k[c, 0] += u
        of_k[c, 1] += u * s
        of_k[c, 2] += u * t
        of_k[c, 3] += u * p
        of_k[c, 4] += u * q
        of_k[c, 5] += v
        of_k[c, 6] += v * s
        of_k[c, 7] += v * t
        of_k[c, 8] += v * p
        of_k[c, 9] += v * q


@_compiled
def _load(w, points, width, top, left, bottom, right):
    """The points of pixels [top, bottom) x [left, right) into a tile; `points` is x, y, x, y, ..."""
    # Unsigned, because numba guards every signed index against being negative.
    lane = np.uint64(0)
    for i in range(top, bottom):
        at = np.uint64(2 * (i * width + left))
        for _ in range(left, right):
            w[np.uint64(_POINT_X * LANES) + lane] = points[at]
            w[np.uint64(_POINT_Y * LANES) + lane] = points[at + np.uint64(1)]
            at += np.uint64(2)
            lane += np.uint64(1)
    # Lanes without a point do what the first one does, so that the tile touches no further cell.
    for empty in range(lane, LANES):
        w[_POINT_X * LANES + empty] = w[_POINT_X * LANES]
        w[_POINT_Y * LANES + empty] = w[_POINT_Y * LANES]


@_compiled
def _start(w, rows, columns):
    """A loaded tile to cell coordinates, at rest."""
    zero, one, half = w.dtype.type(0), w.dtype.type(1), w.dtype.type(0.5)
    to_columns, to_rows = half * w.dtype.type(columns), half * w.dtype.type(rows)
    for lane in range(LANES):
        x = (w[_POINT_X * LANES + lane] + one) * to_columns
        y = (w[_POINT_Y * LANES + lane] + one) * to_rows
        w[_START_X * LANES + lane], w[_START_Y * LANES + lane] = x, y
        w[_X * LANES + lane], w[_Y * LANES + lane] = x, y
        w[_KX * LANES + lane], w[_KY * LANES + lane] = zero, zero


@_compiled
def _carry(w, k, steps, rows, columns):
    """A loaded tile to the end of its flow; k is in cells per step."""
    for n in range(steps + 1):
        # k_0 only starts the scheme: the first of all steps is along k_1.
        least, largest = _locate(w, w, w.dtype.type(n > 1), rows, columns)
        _velocity(w, k, least, largest, columns)
    for lane in range(2 * LANES):
        w[_X * LANES + lane] += w[_KX * LANES + lane]


@_compiled
def _carry_and_keep(w, visited, boxes, k, steps, rows, columns):
    """As `_carry`, keeping the points y_n and the rows and columns of cells that they lie in."""
    for n in range(steps + 1):
        least, largest = _locate_and_keep(w, visited[n], w.dtype.type(n > 1), rows, columns)
        _velocity(w, k, least, largest, columns)
        boxes[n, 0], boxes[n, 1] = least // columns, largest // columns
        boxes[n, 2], boxes[n, 3] = _columns(w, least, largest, columns)
    for lane in range(2 * LANES):
        w[_X * LANES + lane] += w[_KX * LANES + lane]


@_compiled
def _carry_back(w, visited, boxes, k, of_k, steps, rows, columns):
    """From dL/dx at the end of the flow, in (of_x, of_y), to dL/dx at its start, along the points that it visited."""
    zero = w.dtype.type(0)
    for lane in range(2 * LANES):
        w[_OF_KX * LANES + lane] = zero
    for n in range(steps, -1, -1):
        if n == 0:
            # k_0 = v(x_0) moves nothing by itself; it only hands on what y_1 asks of it.
            for lane in range(2 * LANES):
                w[_START_X * LANES + lane] = w[_OF_X * LANES + lane]
                w[_OF_X * LANES + lane] = zero
        first_row, last_row, first, last = boxes[n]
        cells = (last_row - first_row + 1) * (last - first + 1)
        if cells == 1:
            _back_in_the_cell(w, visited[n], k, of_k, first_row, first, rows, columns)
        elif cells > _MOST_CELLS_A_TILE:
            _back_by_look_up(w, visited[n], k, of_k, rows, columns)
        else:
            for row in range(first_row, last_row + 1):
                for column in range(first, last + 1):
                    _back_in_a_cell(w, visited[n], k, of_k, row, column, rows, columns)
    for lane in range(2 * LANES):
        w[_OF_X * LANES + lane] += w[_START_X * LANES + lane]


@_compiled
def _end(w, rows, columns):
    """Where a carried tile ended, in `[-1, 1]^2`: the way gone is added, so that no way is exactly the identity."""
    across, down = w.dtype.type(2 / columns), w.dtype.type(2 / rows)
    for lane in range(LANES):
        way = w[_X * LANES + lane] - w[_START_X * LANES + lane]
        w[_END_X * LANES + lane] = w[_POINT_X * LANES + lane] + way * across
    for lane in range(LANES):
        way = w[_Y * LANES + lane] - w[_START_Y * LANES + lane]
        w[_END_Y * LANES + lane] = w[_POINT_Y * LANES + lane] + way * down


@_compiled
def _aim(w, pixel, height, width):
    """Of each place in (end_x, end_y): the pixel above and left of it, never the last, and its share of the next."""
    zero, half, one = w.dtype.type(0), w.dtype.type(0.5), w.dtype.type(1)
    wide, high = w.dtype.type(width), w.dtype.type(height)
    last_column, last_row = w.dtype.type(width - 1), w.dtype.type(height - 1)
    before_last_column, before_last_row = np.int32(max(width - 2, 0)), np.int32(max(height - 2, 0))
    for lane in range(LANES):
        x, y = w[_END_X * LANES + lane], w[_END_Y * LANES + lane]
        # What is not a number reads the centre, as in `base.resample`.
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
def _read(w, pixel, image, height, width):
    """One channel, flat, at the places aimed at, into value."""
    right, below = np.uint64(width > 1), np.uint64(width if height > 1 else 0)
    for lane in range(LANES):
        at = pixel[lane]
        across, down = w[_ACROSS * LANES + lane], w[_DOWN * LANES + lane]
        upper = image[at] + across * (image[at + right] - image[at])
        lower = image[at + below] + across * (image[at + below + right] - image[at + below])
        w[_VALUE * LANES + lane] = upper + down * (lower - upper)


@_compiled
def _read_adjoint(w, pixel, image, of_image, height, width):
    """The derivative of `_read` times the cotangent in value: added to (of_x, of_y) in pixels, and to of_image."""
    one = w.dtype.type(1)
    right, below = np.uint64(width > 1), np.uint64(width if height > 1 else 0)
    for lane in range(LANES):
        at, g = pixel[lane], w[_VALUE * LANES + lane]
        across, down = w[_ACROSS * LANES + lane], w[_DOWN * LANES + lane]
        over_upper, over_lower = image[at + right] - image[at], image[at + below + right] - image[at + below]
        over_left, over_right = image[at + below] - image[at], image[at + below + right] - image[at + right]
        w[_OF_X * LANES + lane] += g * (over_upper + down * (over_lower - over_upper))
        w[_OF_Y * LANES + lane] += g * (over_left + across * (over_right - over_left))
    if len(of_image):
        for lane in range(LANES):
            at, g = pixel[lane], w[_VALUE * LANES + lane]
            across, down = w[_ACROSS * LANES + lane], w[_DOWN * LANES + lane]
            lower = g * down
            upper = g - lower
            of_image[at] += upper * (one - across)
            of_image[at + right] += upper * across
            of_image[at + below] += lower * (one - across)
            of_image[at + below + right] += lower * across


@_compiled
def _to_places(w, height, width):
    """(of_x, of_y) from pixels to `[-1, 1]^2`; beyond the centres of the edge pixels the image does not change."""
    zero, half, one = w.dtype.type(0), w.dtype.type(0.5), w.dtype.type(1)
    edge_x, edge_y = one - one / w.dtype.type(width), one - one / w.dtype.type(height)
    across, down = half * w.dtype.type(width), half * w.dtype.type(height)
    for lane in range(LANES):
        inside = abs(w[_END_X * LANES + lane]) < edge_x
        w[_OF_X * LANES + lane] = w[_OF_X * LANES + lane] * across if inside else zero
    for lane in range(LANES):
        inside = abs(w[_END_Y * LANES + lane]) < edge_y
        w[_OF_Y * LANES + lane] = w[_OF_Y * LANES + lane] * down if inside else zero


@_compiled
def _write(w, slot, target, width, top, left, bottom, right):
    """A slot's lanes to the pixels [top, bottom) x [left, right) of a flat channel."""
    lane = np.uint64(slot * LANES)
    for i in range(top, bottom):
        at = np.uint64(i * width + left)
        for _ in range(left, right):
            target[at] = w[lane]
            at += np.uint64(1)
            lane += np.uint64(1)


@_compiled
def _write_pairs(w, slot, target, width, top, left, bottom, right):
    """Two neighbouring slots to the pixels [top, bottom) x [left, right) of points x, y, x, y, ..."""
    lane = np.uint64(slot * LANES)
    for i in range(top, bottom):
        at = np.uint64(2 * (i * width + left))
        for _ in range(left, right):
            target[at] = w[lane]
            target[at + np.uint64(1)] = w[lane + np.uint64(LANES)]
            at += np.uint64(2)
            lane += np.uint64(1)


@_compiled
def _fetch(w, slot, source, width, top, left, bottom, right):
    """The pixels [top, bottom) x [left, right) of a flat channel to a slot's lanes, and zeros to those left over."""
    lane = np.uint64(slot * LANES)
    for i in range(top, bottom):
        at = np.uint64(i * width + left)
        for _ in range(left, right):
            w[lane] = source[at]
            at += np.uint64(1)
            lane += np.uint64(1)
    w[lane : (slot + 1) * LANES] = 0


@_compiled
def _forward(k, steps, points, moved, images, out, rows, columns, height, width, tile, begin, end):
    """Samples begin to end: images read where points end, or with images of no channels where that is."""
    w = np.zeros(_SLOTS * LANES, k.dtype)
    pixel = np.zeros(LANES, np.uint64)
    for b in range(begin, end):
        own = points[b % len(points)]
        for top in range(0, height, tile[0]):
            for left in range(0, width, tile[1]):
                bottom, right = min(height, top + tile[0]), min(width, left + tile[1])
                _load(w, own, width, top, left, bottom, right)
                _start(w, rows, columns)
                _carry(w, k[b], steps[b], rows, columns)
                _end(w, rows, columns)
                if images.shape[1]:
                    _aim(w, pixel, height, width)
                    for c in range(images.shape[1]):
                        _read(w, pixel, images[b, c], height, width)
                        _write(w, _VALUE, out[b, c], width, top, left, bottom, right)
                else:
                    _write_pairs(w, _END_X, moved[b], width, top, left, bottom, right)


@_compiled
def _backward(
    k, steps, most_steps, points, images, cotangent, of_k, of_points, of_images, rows, columns, height, width, tile,
    begin, end,
):  # fmt: skip
    """The derivative of `_forward`; the cotangent is that of `out`, or with images of no channels that of `moved`."""
    w = np.zeros(_SLOTS * LANES, k.dtype)
    pixel = np.zeros(LANES, np.uint64)
    visited = np.empty((most_steps + 1, 3 * LANES), k.dtype)
    boxes = np.empty((most_steps + 1, 4), np.int64)
    across, down = w.dtype.type(2 / columns), w.dtype.type(2 / rows)
    no_image = w[:0]
    for b in range(begin, end):
        own = points[b % len(points)]
        for top in range(0, height, tile[0]):
            for left in range(0, width, tile[1]):
                bottom, right = min(height, top + tile[0]), min(width, left + tile[1])
                _load(w, own, width, top, left, bottom, right)
                _start(w, rows, columns)
                _carry_and_keep(w, visited, boxes, k[b], steps[b], rows, columns)
                if images.shape[1]:
                    _end(w, rows, columns)
                    _aim(w, pixel, height, width)
                    w[_OF_X * LANES : (_OF_Y + 1) * LANES] = 0
                    for c in range(images.shape[1]):
                        _fetch(w, _VALUE, cotangent[b, c], width, top, left, bottom, right)
                        of_image = of_images[b, c] if of_images.shape[1] else no_image
                        _read_adjoint(w, pixel, images[b, c], of_image, height, width)
                    _to_places(w, height, width)
                else:
                    _fetch(w, _OF_X, cotangent[b, 0], width, top, left, bottom, right)
                    _fetch(w, _OF_Y, cotangent[b, 1], width, top, left, bottom, right)
                for lane in range(LANES):
                    w[_OF_X * LANES + lane] *= across
                    w[_OF_Y * LANES + lane] *= down
                _carry_back(w, visited, boxes, k[b], of_k[b], steps[b], rows, columns)
                if of_points.shape[1]:
                    for lane in range(LANES):
                        w[_OF_X * LANES + lane] /= across
                        w[_OF_Y * LANES + lane] /= down
                    _write_pairs(w, _OF_X, of_points[b], width, top, left, bottom, right)


@lru_cache
def _tile(height: int, width: int, rows: int, columns: int) -> tuple[int, int]:
    """Height and width of the tiles: no longer than twice their width or wider, few, and touching few cells.

    A tile's cost is taken as two units and one for every cell that it touches, with half a cell more each way for what
    the deformation adds. On the images and meshes of the benchmark this picks the fastest or nearly so.
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


# A forked child has none of its parent's threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _in_threads(kernel: Callable, batch: int, *arguments) -> None:
    """Run a kernel over all samples, shared out among as many threads as torch may use."""
    threads = min(torch.get_num_threads(), batch)
    if threads <= 1:
        kernel(*arguments, 0, batch)
        return
    bounds = [batch * n // threads for n in range(threads + 1)]
    own, *others = pairwise(bounds)
    # This thread takes a part too: waking another one takes about as long as a small kernel runs.
    parts = [_pool(threads - 1).submit(kernel, *arguments, *part) for part in others]
    kernel(*arguments, *own)
    for part in parts:
        part.result()


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.contiguous().numpy()


def _flat(points: Tensor, images: Tensor, cotangent: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs of a way back: points as x, y, x, y, ..., and channels as rows of pixels."""
    return _array(points.flatten(1)), _array(images.flatten(2)), _array(cotangent.flatten(2))


def _flat_room(of_parameters: Tensor, of_points: Tensor, of_images: Tensor) -> tuple[np.ndarray, ...]:
    """Its outputs, laid out alike, in the same memory: they are contiguous."""
    return of_parameters.numpy(), of_points.flatten(1).numpy(), of_images.flatten(2).numpy()


def moved(
    coefficients: Tensor, steps: Tensor, points: Tensor, rows: int, columns: int, height: int, width: int
) -> Tensor:
    """As `flow.moved`; the points are the pixels of a height x width image in order, or 1 x n points in a row."""
    ends = points.new_empty(len(coefficients), points.shape[1], 2)
    none = _array(points.new_empty(len(coefficients), 0, height * width))
    mesh = (rows, columns, height, width, _tile(height, width, rows, columns))
    given = (_array(per_step(coefficients, steps)), _array(steps), _array(points.flatten(1)))
    _in_threads(_forward, len(coefficients), *given, _array(ends.flatten(1)), none, none, *mesh)
    return ends


def sample(coefficients: Tensor, steps: Tensor, points: Tensor, images: Tensor, rows: int, columns: int) -> Tensor:
    """As `flow.sample`."""
    batch, channels, height, width = images.shape
    out = images.new_empty(batch, channels, height * width)
    mesh = (rows, columns, height, width, _tile(height, width, rows, columns))
    given = (_array(per_step(coefficients, steps)), _array(steps), _array(points.flatten(1)))
    nowhere = _array(points.new_empty(batch, 0))
    _in_threads(_forward, batch, *given, nowhere, _array(images.flatten(2)), _array(out), *mesh)
    return out.unflatten(2, (height, width))


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
    height, width = images.shape[2:]
    room = of_k, of_points, of_images = room_for_gradients(coefficients, points, images, needs_points, needs_images)
    mesh = (rows, columns, height, width, _tile(height, width, rows, columns))
    given = (_array(per_step(coefficients, steps)), _array(steps), most_steps, *_flat(points, images, cotangent))
    _in_threads(_backward, len(images), *given, *_flat_room(*room), *mesh)
    return of_k / steps[:, None, None], of_points, of_images


@_compiled
def _doublings(gamma, levels):
    """The pairs (r, q), (P, Q) and y at every doubling of `exponential.expm`, into `levels`; returns sigma."""
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
def _expm_adjoint(gamma, cotangent, of_gamma, begin, end):
    levels = np.empty((DOUBLINGS + 1, 5))
    pairs = np.empty((TERMS + 1, 2))
    for n in range(begin, end):
        a, b, c, d, tx, ty = gamma[n]
        e = (a - d) / 2
        g0, g1, g2, g3, g4, g5 = cotangent[n]
        sigma = _doublings(gamma[n], levels)
        r, q, P, Q, _ = levels[DOUBLINGS]

        of_P, of_Q = g0 + g3, (g0 - g3) * e + g1 * b + g2 * c
        of_r = g4 * tx + g5 * ty
        of_q = g4 * (e * tx + b * ty) + g5 * (c * tx - e * ty)
        of_e = Q * (g0 - g3) + q * (g4 * tx - g5 * ty)
        of_b, of_c = Q * g1 + q * g4 * ty, Q * g2 + q * g5 * tx
        of_tx, of_ty = (r + q * e) * g4 + q * c * g5, q * b * g4 + (r - q * e) * g5

        of_y = 0.0
        for level in range(DOUBLINGS - 1, -1, -1):
            r, q, P, Q, y = levels[level]
            of_y = 4 * of_y + of_P * Q * Q + of_r * q * Q / 2
            of_P, of_Q = (
                2 * P * of_P + Q * of_Q + of_r * r / 2 + of_q * q / 4,
                2 * y * Q * of_P + P * of_Q + of_r * y * q / 2 + of_q * r / 4,
            )
            of_r, of_q = of_r * (P + 1) / 2 + of_q * Q / 4, of_r * y * Q / 2 + of_q * (P + 1) / 4

        # The series, back from its last pair; (P, Q) is one more turn of the same recursion.
        y = levels[0, 4]
        pairs[TERMS] = _INVERSE_FACTORIALS[TERMS], 0.0
        for m in range(TERMS - 1, 0, -1):
            r, q = pairs[m + 1]
            pairs[m] = _INVERSE_FACTORIALS[m] + sigma * r + y * q, r + sigma * q
        r, q = pairs[1]
        of_sigma = of_P * r + of_Q * q
        of_y += of_P * q
        of_r, of_q = of_r + of_P * sigma + of_Q, of_q + of_P * y + of_Q * sigma
        for m in range(1, TERMS):
            r, q = pairs[m + 1]
            of_sigma += of_r * r + of_q * q
            of_y += of_r * q
            of_r, of_q = of_r * sigma + of_q, of_r * y + of_q * sigma

        of_s, of_delta = of_sigma * _SCALE, of_y * _SCALE**2
        of_e += 2 * e * of_delta
        of_gamma[n, 0], of_gamma[n, 3] = (of_s + of_e) / 2, (of_s - of_e) / 2
        of_gamma[n, 1], of_gamma[n, 2] = of_b + c * of_delta, of_c + b * of_delta
        of_gamma[n, 4], of_gamma[n, 5] = of_tx, of_ty


@_compiled
def _map(w, m):
    """A loaded tile to where an affine map takes it."""
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
            _load(w, points[b % len(points)], n, 0, first, 1, last)
            _map(w, maps[b])
            _aim(w, pixel, height, width)
            for c in range(images.shape[1]):
                _read(w, pixel, images[b, c], height, width)
                _write(w, _VALUE, out[b, c], n, 0, first, 1, last)


@_compiled
def _affine_backward(maps, points, images, cotangent, of_maps, of_points, of_images, height, width, begin, end):
    w = np.zeros(_SLOTS * LANES, maps.dtype)
    pixel = np.zeros(LANES, np.uint64)
    n = height * width
    no_image = w[:0]
    for sample in range(begin, end):
        a, b, c, d, _, _ = maps[sample]
        for first in range(0, n, LANES):
            last = min(n, first + LANES)
            _load(w, points[sample % len(points)], n, 0, first, 1, last)
            _map(w, maps[sample])
            _aim(w, pixel, height, width)
            w[_OF_X * LANES : (_OF_Y + 1) * LANES] = 0
            for channel in range(images.shape[1]):
                _fetch(w, _VALUE, cotangent[sample, channel], n, 0, first, 1, last)
                of_image = of_images[sample, channel] if of_images.shape[1] else no_image
                _read_adjoint(w, pixel, images[sample, channel], of_image, height, width)
            _to_places(w, height, width)
            d0 = d1 = d2 = d3 = d4 = d5 = w.dtype.type(0)
            for lane in range(LANES):
                x, y = w[_POINT_X * LANES + lane], w[_POINT_Y * LANES + lane]
                of_x, of_y = w[_OF_X * LANES + lane], w[_OF_Y * LANES + lane]
                d0 += of_x * x
                d1 += of_x * y
                d2 += of_y * x
                d3 += of_y * y
                d4 += of_x
                d5 += of_y
                w[_OF_X * LANES + lane], w[_OF_Y * LANES + lane] = a * of_x + c * of_y, b * of_x + d * of_y
            of_maps[sample, 0] += d0
            of_maps[sample, 1] += d1
            of_maps[sample, 2] += d2
            of_maps[sample, 3] += d3
            of_maps[sample, 4] += d4
            of_maps[sample, 5] += d5
            if of_points.shape[1]:
                _write_pairs(w, _OF_X, of_points[sample], n, 0, first, 1, last)


def expm(gamma: Tensor) -> Tensor:
    """As `exponential.expm`."""
    maps = torch.empty_like(gamma, dtype=torch.float64, memory_format=torch.contiguous_format)
    _expm(_array(gamma.double()), _array(maps), 0, len(gamma))
    return maps.to(gamma.dtype)


def expm_adjoint(gamma: Tensor, cotangent: Tensor) -> Tensor:
    """The derivative of `expm`, times a cotangent `batch x 6`."""
    of_gamma = torch.empty_like(gamma, dtype=torch.float64, memory_format=torch.contiguous_format)
    _expm_adjoint(_array(gamma.double()), _array(cotangent.double()), _array(of_gamma), 0, len(gamma))
    return of_gamma.to(gamma.dtype)


def affine_sample(maps: Tensor, points: Tensor, images: Tensor) -> Tensor:
    """Images `batch x channels x height x width`, read where maps `batch x 6` take the points."""
    out = images.new_empty(*images.shape[:2], points.shape[1])
    given = (_array(maps), _array(points.flatten(1)), _array(images.flatten(2)))
    _in_threads(_affine_forward, len(maps), *given, _array(out), *images.shape[2:])
    return out.unflatten(2, images.shape[2:])


def affine_adjoint(
    maps: Tensor, points: Tensor, images: Tensor, cotangent: Tensor, needs_points: bool, needs_images: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The derivatives of `affine_sample`, with no points and no channels where these are not needed."""
    room = room_for_gradients(maps, points, images, needs_points, needs_images)
    given = (_array(maps), *_flat(points, images, cotangent))
    _in_threads(_affine_backward, len(maps), *given, *_flat_room(*room), *images.shape[2:])
    return room

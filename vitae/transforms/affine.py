"""Affine maps that are the matrix exponential of their velocity field; their determinant is positive.

A velocity field v(p) = A p + t, flowed for unit time, moves p to expm(A) p + V t with V the integral of expm(u A) over
u from 0 to 1: the matrix exponential of the generator [[g11 g12 g13], [g21 g22 g14], [0 0 0]] (the poster's second
column), and running the field backwards, -gamma, is the exact inverse.

For a 2 x 2 matrix everything is closed. With s = tr(A) / 2, B = A - s I and delta = -det(B)::

    expm(u A) = e^{u s} (cosh_root(u^2 delta) I + u sinhc_root(u^2 delta) B),

where cosh_root(d) = cosh(sqrt d) and sinhc_root(d) = sinh(sqrt d) / sqrt d are entire functions of d, cosines and
sines for negative d. Entire means that nothing happens at the identity (A = 0), at equal eigenvalues (delta = 0) or
at a singular A: values and gradients are finite wherever the map is, which a norm-scaled or eigenvalue formula does
not give. The integral V is smooth in u, so eight Gauss-Legendre nodes give it to rounding while A's eigenvalues are
below 4 in size (a scaling by e^4).
"""

import math

import numpy as np
import torch
from torch import Tensor

from vitae.transforms.base import Transformation

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2
# Below |d| = 1 the power series reaches float64 rounding with this many terms (1 / 22! = 1e-21).
_SERIES_TERMS = 11


def _growing_cosh_and_sinhc(s: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """e^s cosh(sqrt d) and e^s sinh(sqrt d) / sqrt d for real d of either sign, with finite gradients everywhere."""
    small = d.abs() < 1
    near = torch.where(small, d, 0)
    cosh_near, sinhc_near = torch.zeros_like(d), torch.zeros_like(d)
    for k in reversed(range(_SERIES_TERMS)):
        cosh_near = cosh_near * near + 1 / math.factorial(2 * k)
        sinhc_near = sinhc_near * near + 1 / math.factorial(2 * k + 1)
    # The branch that is not taken gets a harmless argument: torch.where passes its gradient on, times zero.
    growing = torch.where(d >= 1, d, 1).sqrt()
    turning = torch.where(d <= -1, -d, 1).sqrt()
    growth = s.exp()
    # In one exponent: for a strong contraction e^s underflows while cosh overflows, and their product is finite.
    up, down = torch.exp(s + growing), torch.exp(s - growing)
    cosh_far = torch.where(d >= 1, (up + down) / 2, growth * torch.cos(turning))
    sinhc_far = torch.where(d >= 1, (up - down) / (2 * growing), growth * torch.sin(turning) / turning)
    return torch.where(small, growth * cosh_near, cosh_far), torch.where(small, growth * sinhc_near, sinhc_far)


def expm_affine(generator: Tensor) -> Tensor:
    """The top two rows of expm of a generator with a zero third row.

    Args:
        generator: `batch x 2 x 3`, the velocity field [A | t].

    Returns:
        `batch x 2 x 3`, the affine map [expm(A) | V t].
    """
    A, t = generator[..., :2], generator[..., 2]
    identity = torch.eye(2, dtype=generator.dtype, device=generator.device)
    s = (A[..., 0, 0] + A[..., 1, 1]) / 2
    B = A - s[..., None, None] * identity
    delta = B[..., 0, 0] ** 2 + B[..., 0, 1] * B[..., 1, 0]

    u = generator.new_tensor([*_NODES, 1.0])
    along_identity, along_B = _growing_cosh_and_sinhc(s[..., None] * u, delta[..., None] * u**2)
    along_B = along_B * u

    w = generator.new_tensor(_WEIGHTS)
    Bt = (B @ t[..., None])[..., 0]
    V_identity, V_B = (along_identity[..., :-1] * w).sum(-1), (along_B[..., :-1] * w).sum(-1)
    translation = V_identity[..., None] * t + V_B[..., None] * Bt
    linear = along_identity[..., -1, None, None] * identity + along_B[..., -1, None, None] * B
    return torch.cat([linear, translation[..., None]], dim=-1)


class Affine(Transformation):
    """The six-parameter family; gamma = (g11, g12, g21, g22, g13, g14): the 2 x 2 part, then the translation.

    Translations are in units of half the image; a pure rotation by r radians is gamma = (0, -r, r, 0, 0, 0).
    """

    dim = 6

    def matrix(self, gamma: Tensor, *, inverse: bool = False) -> Tensor:
        """The affine map of each gamma as `batch x 2 x 3`."""
        self.check(gamma)
        gamma = -gamma if inverse else gamma
        return expm_affine(torch.cat([gamma[:, :4].reshape(-1, 2, 2), gamma[:, 4:, None]], dim=-1))

    def apply(self, gamma: Tensor, points: Tensor, *, inverse: bool = False) -> Tensor:
        matrix = self.matrix(gamma, inverse=inverse)[..., None]
        x, y = points[..., 0], points[..., 1]
        # Written out, because a batched product of 2 x 2 matrices costs five times as much on a CPU.
        moved = [matrix[:, row, 0] * x + matrix[:, row, 1] * y + matrix[:, row, 2] for row in range(2)]
        return torch.stack(moved, dim=-1)

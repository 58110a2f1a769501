"""The matrix exponential of an affine generator, in plain torch: the reference for the kernel.

With A the generator's 2 x 2 part and t its translation, the map is p -> expm(A) p + phi(A) t, where phi(A) is the
integral of expm(u A) over u from 0 to 1. With s = tr(A) / 2 and B = A - s I, every function of A is a number times I
plus a number times B, because B^2 = delta I with delta = -det(B). In this algebra of pairs the exponential is a power
series at A / 2^8 and eight doublings::

    expm(2 A) = expm(A)^2,    phi(2 A) = phi(A) (expm(A) + I) / 2.

There is no branch, no division by a variable and no root in it, so nothing happens at the identity (A = 0), at equal
eigenvalues (delta = 0) or at a singular A: values and gradients are finite wherever the map is, which a formula with
eigenvalues or with a scaling by the norm does not give. Nor does it ask the device for a number, as
`torch.linalg.matrix_exp` does. It is computed in float64, six numbers an image, so that the doublings cost no accuracy;
up to a norm of 128 it is right to rounding.
"""

import math

import torch
from torch import Tensor

# The series at a norm of 1/2 is right to float64 rounding with this many terms.
DOUBLINGS, TERMS = 8, 14


def expm(gamma: Tensor) -> Tensor:
    """The map of each generator, in plain torch.

    Args:
        gamma: `batch x 6`, the generator's (g11, g12, g21, g22, g13, g14).

    Returns:
        `batch x 6`, the map's entries in the same order: the 2 x 2 part row by row, then the translation.
    """
    a, b, c, d, tx, ty = gamma.double().unbind(-1)
    scale = 2.0**-DOUBLINGS
    s, e = (a + d) / 2, (a - d) / 2
    sigma, y = s * scale, (e * e + b * c) * scale**2
    # Horner in the algebra, with B scaled: (sigma + B)(r + q B) = (sigma r + y q) + (r + sigma q) B.
    r, q = torch.full_like(s, 1 / math.factorial(TERMS)), torch.zeros_like(s)
    for n in reversed(range(1, TERMS)):
        r, q = 1 / math.factorial(n) + sigma * r + y * q, r + sigma * q
    P, Q = 1 + sigma * r + y * q, r + sigma * q
    for _ in range(DOUBLINGS):
        r, q = (r * (P + 1) + y * q * Q) / 2, (r * Q + q * (P + 1)) / 4
        P, Q = P * P + y * Q * Q, P * Q
        y = 4 * y
    linear = [P + Q * e, Q * b, Q * c, P - Q * e]
    translation = [r * tx + q * (e * tx + b * ty), r * ty + q * (c * tx - e * ty)]
    return torch.stack(linear + translation, dim=-1).to(gamma.dtype)

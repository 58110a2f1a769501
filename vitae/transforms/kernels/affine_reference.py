"""The matrix exponential of an affine generator, in plain torch.

This is the reference implementation that the compiled kernel is tested against, and the fallback without it.

With A the 2 x 2 part of the generator and t its translation, the map is p -> expm(A) p + phi(A) t, where phi(A) is the
integral of expm(u A) over u from 0 to 1. With s = tr(A) / 2 and B = A - s I, Cayley-Hamilton gives B^2 = delta I with
delta = -det(B), so every power series in A has the form r I + q B. The exponential is computed on such pairs (r, q) by
scaling and squaring, a power series at A / 2^8 followed by eight doublings::

    expm(2 A) = expm(A)^2,    phi(2 A) = phi(A) (expm(A) + I) / 2.

The computation has no branches, no division by a variable and no square roots, so the identity (A = 0), equal
eigenvalues (delta = 0) and a singular A need no special treatment: values and gradients are finite wherever the map is.
Formulas that use eigenvalues or scale by the norm lack this property. It also needs no device synchronisation, unlike
`torch.linalg.matrix_exp`. It runs in float64, on only six numbers per image, so that the doublings lose no accuracy; it
is accurate to rounding up to a norm of 128.
"""

import math

import torch
from torch import Tensor

# With this many terms, the series is accurate to float64 rounding at a norm of 1/2, which is 128 / 2^8.
DOUBLINGS, TERMS = 8, 14


def expm(gamma: Tensor) -> Tensor:
    """The affine map of each generator.

    Args:
        gamma: `batch x 6`, the entries (g11, g12, g21, g22, g13, g14) of the generator.

    Returns:
        `batch x 6`, the entries of the map in the same order: the 2 x 2 part row by row, then the translation.
    """
    a, b, c, d, tx, ty = gamma.double().unbind(-1)
    scale = 2.0**-DOUBLINGS
    s, e = (a + d) / 2, (a - d) / 2
    sigma, y = s * scale, (e * e + b * c) * scale**2
    # Horner's scheme on the pairs, with B scaled: (sigma + B)(r + q B) = (sigma r + y q) + (r + sigma q) B.
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

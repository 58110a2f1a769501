"""Diffeomorphic transformations of the image plane, tied to images by a spatial transformer.

The conventions, stated once. Points are `(x, y)` in `[-1, 1]^2`, x to the right and y down; the corners are the
outer edges of the corner pixels, not their centres (`align_corners=False`), so a pixel of an image of width w is
2 / w wide. A transformation T_gamma moves points, and warping an image pulls back along it::

    T_gamma(image)(p) = image(T_gamma(p)),

which makes warping with gamma and then with the inverse the identity, up to interpolation. gamma = 0 is the identity
map. Where a warp looks outside the image it sees the nearest edge pixel (`padding_mode="border"`): a border filled
with zeros would be a part of the picture that the decoder cannot paint, and would add or remove likelihood for no
reason.
"""

from vitae.transforms.affine import Affine
from vitae.transforms.base import Transformation, fitted, pixel_grid, resample
from vitae.transforms.cpab import CPAB
from vitae.transforms.named import TRANSFORMS, register_transform, transformation_named
from vitae.transforms.sequential import Sequential

__all__ = [
    "CPAB",
    "TRANSFORMS",
    "Affine",
    "Sequential",
    "Transformation",
    "fitted",
    "pixel_grid",
    "register_transform",
    "resample",
    "transformation_named",
]

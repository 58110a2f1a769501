"""Diffeomorphic transformations of the image plane, applied to images by a spatial transformer.

All of the package uses these conventions. Points are `(x, y)` in `[-1, 1]^2`, with x to the right and y down. The
corners of this square are the outer corners of the corner pixels, not their centres (`align_corners=False`), so a pixel
of an image of width w is 2 / w wide. A transformation T_gamma moves points, and warping an image pulls it back::

    T_gamma(image)(p) = image(T_gamma(p)).

Warping with gamma and then with the inverse is therefore the identity, up to interpolation. gamma = 0 is the identity
map. Points outside the image read the nearest edge pixel (`padding_mode="border"`): zeros there would be image content
that the decoder cannot change, and would change the likelihood for no reason.
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

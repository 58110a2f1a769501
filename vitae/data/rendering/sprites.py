"""The shapes of dSprites: a square, an ellipse or a heart, white on black, with the geometry of the published images.

The constants were recovered from published images; the book's page on dSprites reports how well they agree. A pixel is
white if its centre lies inside the shape.
"""

import numpy as np

from vitae.support.jit import compiled

SHAPES = ("square", "ellipse", "heart")

# In pixels of the published images, which are 64 x 64, at scale 1.
_SIDE = 64
_UNIT = 9.597  # half the side of the square
_ELLIPSE = (12.765, 7.2125)  # semi-axes
_REACH = 14.0  # upper bound of the distance from the centre to the outline of any shape
# Positions 0 and 1 are a quarter of the image from either edge.
_FIRST, _RANGE = 16.0, 32.0


@compiled
def _draw(factors, on, images):
    for number in range(len(factors)):
        shape = int(factors[number, 0])
        side = images.shape[-1]
        scale = factors[number, 1] * side / _SIDE
        cos, sin = np.cos(factors[number, 2]), np.sin(factors[number, 2])
        centre_x = (_FIRST + _RANGE * factors[number, 3]) * side / _SIDE
        centre_y = (_FIRST + _RANGE * factors[number, 4]) * side / _SIDE
        images[number] = 0
        reach = _REACH * scale + 1
        for row in range(max(0, int(centre_y - reach)), min(side, int(centre_y + reach) + 1)):
            dy = (row + 0.5 - centre_y) / scale
            for column in range(max(0, int(centre_x - reach)), min(side, int(centre_x + reach) + 1)):
                dx = (column + 0.5 - centre_x) / scale
                # In the sprite's frame; a larger angle rotates the sprite counter-clockwise on the screen.
                x, y = cos * dx - sin * dy, sin * dx + cos * dy
                if shape == 0:
                    inside = abs(x) <= _UNIT and abs(y) <= _UNIT
                elif shape == 1:
                    inside = (x / _ELLIPSE[0]) ** 2 + (y / _ELLIPSE[1]) ** 2 <= 1
                else:
                    inside = False
                    if abs(x) <= _UNIT:
                        # The outline is x = sin^3 t, y = (13 cos t - 5 cos 2t - 2 cos 3t - cos 4t) / 14.5 + 0.15,
                        # y up. At each x it has two points, with cos t of either sign: the lower and upper bound.
                        height = -y / _UNIT - 0.15
                        sin_squared = np.cbrt(x / _UNIT) ** 2
                        cos_t = np.sqrt(max(1 - sin_squared, 0.0))
                        cos_2t = 1 - 2 * sin_squared
                        even = (-5 * cos_2t - (2 * cos_2t * cos_2t - 1)) / 14.5
                        odd = (13 * cos_t - 2 * cos_t * (4 * cos_t * cos_t - 3)) / 14.5
                        inside = even - odd <= height <= even + odd
                if inside:
                    images[number, row, column] = on


def draw(factors: np.ndarray, images: np.ndarray) -> None:
    """Draw one sprite per image.

    Args:
        factors: float64, `n x 5`: index into `SHAPES`, scale (1 is the largest published), orientation (radians,
            counter-clockwise), x and y from 0 to 1.
        images: uint8, `n x side x side`; overwritten with 0 and 255.
    """
    _draw(factors, 255, images)

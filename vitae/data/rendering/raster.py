"""A z-buffer rasteriser: triangles to samples, one image at a time.

It is deterministic: triangles are drawn in order, and of two at the same depth the first wins.
"""

import numpy as np

from vitae.support.jit import compiled


@compiled
def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals, averaged over the adjacent faces with their areas as weights; `vertices x 3`."""
    normals = np.zeros_like(vertices)
    for face in range(len(faces)):
        i, j, k = faces[face]
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        ax, ay, az = vertices[j, 0] - x, vertices[j, 1] - y, vertices[j, 2] - z
        bx, by, bz = vertices[k, 0] - x, vertices[k, 1] - y, vertices[k, 2] - z
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for corner in (i, j, k):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    for vertex in range(len(normals)):
        x, y, z = normals[vertex, 0], normals[vertex, 1], normals[vertex, 2]
        length = np.sqrt(x * x + y * y + z * z)
        if length > 0:
            for i in range(3):
                normals[vertex, i] /= length
    return normals


@compiled
def rasterize(screen: np.ndarray, faces: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the visible triangle at each sample.

    Args:
        screen: projected vertices: samples to the right, samples down, depth (smaller is nearer); `vertices x 3`.
        faces: vertex indices, counter-clockwise seen from outside; back faces are not drawn; `faces x 3`.
        height, width: in samples.

    Returns:
        The index of the visible face, -1 for none, `height x width`; and the barycentric weights of its second and
        third corner, `height x width x 2`.
    """
    nearest = np.full((height, width), np.inf)
    seen = np.full((height, width), -1, np.int32)
    weights = np.zeros((height, width, 2))
    for face in range(len(faces)):
        i, j, k = faces[face]
        x0, y0, z0 = screen[i, 0], screen[i, 1], screen[i, 2]
        x1, y1, z1 = screen[j, 0] - x0, screen[j, 1] - y0, screen[j, 2] - z0
        x2, y2, z2 = screen[k, 0] - x0, screen[k, 1] - y0, screen[k, 2] - z0
        area = x1 * y2 - y1 * x2
        # The screen's y points down, so the front has negative area.
        if not area < -1e-9:
            continue
        left = max(0, int(np.ceil(x0 + min(0.0, x1, x2) - 0.5)))
        right = min(width - 1, int(np.floor(x0 + max(0.0, x1, x2) - 0.5)))
        top = max(0, int(np.ceil(y0 + min(0.0, y1, y2) - 0.5)))
        bottom = min(height - 1, int(np.floor(y0 + max(0.0, y1, y2) - 0.5)))
        for row in range(top, bottom + 1):
            dy = row + 0.5 - y0
            for column in range(left, right + 1):
                dx = column + 0.5 - x0
                second = (y2 * dx - x2 * dy) / area
                third = (x1 * dy - y1 * dx) / area
                if second >= 0 and third >= 0 and second + third <= 1:
                    depth = z0 + second * z1 + third * z2
                    if depth < nearest[row, column]:
                        nearest[row, column] = depth
                        seen[row, column] = face
                        weights[row, column, 0] = second
                        weights[row, column, 1] = third
    return seen, weights


@compiled
def shade_grey(
    seen: np.ndarray, weights: np.ndarray, faces: np.ndarray, light: np.ndarray, samples: int, image: np.ndarray
) -> None:
    """Draw a grey image on black: interpolate the light between vertices, then average the samples of each pixel.

    Args:
        seen, weights: from `rasterize`.
        faces: vertex indices; `faces x 3`.
        light: brightness of each vertex in [0, 1]; `vertices`.
        samples: samples per pixel, along each side.
        image: uint8, `height x width`; overwritten.
    """
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            total = 0.0
            for y in range(row * samples, (row + 1) * samples):
                for x in range(column * samples, (column + 1) * samples):
                    face = seen[y, x]
                    if face >= 0:
                        second, third = weights[y, x, 0], weights[y, x, 1]
                        i, j, k = faces[face]
                        total += (1 - second - third) * light[i] + second * light[j] + third * light[k]
            image[row, column] = np.uint8(np.floor(total / (samples * samples) * 255 + 0.5))

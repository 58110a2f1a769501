import numpy as np
import pytest

from vitae.data.rendering.raster import rasterize, shade_grey, vertex_normals

# Two triangles that form a square on the screen, counter-clockwise seen from the front (the screen's y points down).
SQUARE = np.array([[2.0, 2, 5], [10, 2, 5], [10, 10, 5], [2, 10, 5]])
FACES = np.array([[0, 2, 1], [0, 3, 2]], np.int32)


def test_a_square_covers_the_samples_whose_centres_are_inside():
    seen, weights = rasterize(SQUARE, FACES, 12, 12)
    expected = np.zeros((12, 12), bool)
    expected[2:10, 2:10] = True
    np.testing.assert_array_equal(seen >= 0, expected)
    assert set(np.unique(seen)) == {-1, 0, 1}
    assert weights[~expected].max() == 0


def test_barycentric_weights_interpolate_to_the_sample_positions():
    triangle = np.array([[1.3, 0.7, 2.0], [11.2, 3.1, 4.0], [4.4, 10.9, 1.0]])
    seen, weights = rasterize(triangle, np.array([[0, 2, 1]], np.int32), 12, 12)
    rows, columns = np.nonzero(seen >= 0)
    assert len(rows) > 20
    second, third = weights[rows, columns].T
    first_corner, third_corner, second_corner = triangle
    position = first_corner + np.outer(second, second_corner - first_corner)
    position += np.outer(third, third_corner - first_corner)
    np.testing.assert_allclose(position[:, 0], columns + 0.5, atol=1e-12)
    np.testing.assert_allclose(position[:, 1], rows + 0.5, atol=1e-12)


def test_the_nearer_triangle_is_visible_in_any_order():
    behind = SQUARE + [3, 3, 1]
    for first, second, front in ((SQUARE, behind, {0, 1}), (behind, SQUARE, {2, 3})):
        seen, _ = rasterize(np.concatenate([first, second]), np.concatenate([FACES, FACES + 4]), 16, 16)
        assert set(np.unique(seen[5:10, 5:10])) <= front


def test_of_two_triangles_at_the_same_depth_the_first_wins():
    seen, _ = rasterize(np.concatenate([SQUARE, SQUARE]), np.concatenate([FACES + 4, FACES]), 12, 12)
    assert seen.max() == 1


def test_back_faces_and_triangles_outside_the_screen_are_not_drawn():
    seen, _ = rasterize(SQUARE, FACES[:, ::-1].copy(), 12, 12)
    assert (seen < 0).all()
    seen, _ = rasterize(SQUARE + [100, 0, 0], FACES, 12, 12)
    assert (seen < 0).all()
    seen, _ = rasterize(SQUARE - [5, 5, 0], FACES, 12, 12)
    assert (seen >= 0).sum() == 25


def test_a_pixel_is_the_mean_of_its_samples():
    seen, weights = rasterize(SQUARE + [1, 0, 0], FACES, 12, 12)
    image = np.empty((6, 6), np.uint8)
    shade_grey(seen, weights, FACES, np.full(4, 0.8), 2, image)
    assert image[3, 3] == round(0.8 * 255)
    assert image[3, 1] == round(0.8 * 255 / 2), "the left half of this pixel is outside the square"
    assert image[0, 0] == 0


def test_normals_of_a_sphere_point_outwards():
    """The sphere is an octahedron subdivided four times and projected to radius 1."""
    points = [np.array(p, float) for p in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))]
    faces = [(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)]
    for _ in range(4):
        finer = []
        for i, j, k in faces:
            middles = [len(points), len(points) + 1, len(points) + 2]
            for a, b in ((i, j), (j, k), (k, i)):
                middle = points[a] + points[b]
                points.append(middle / np.linalg.norm(middle))
            ij, jk, ki = middles
            finer += [(i, ij, ki), (ij, j, jk), (ki, jk, k), (ij, jk, ki)]
        faces = finer
    # Merge vertices at the same position.
    unique, inverse = np.unique(np.round(points, 12), axis=0, return_inverse=True)
    normals = vertex_normals(unique, inverse.reshape(-1)[np.array(faces)].astype(np.int32))
    assert np.einsum("vi,vi->v", normals, unique).min() > 0.999
    assert np.linalg.norm(normals, axis=1) == pytest.approx(np.ones(len(unique)))

"""Transformations by name."""

import pytest

from vitae import InputError
from vitae.transforms import TRANSFORMS, Affine, register_transform, transformation_named


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("affine", "Affine()"),
        ("cpab", "CPAB((2, 4))"),
        ("cpab-3x5", "CPAB((3, 5))"),
        ("cpab-12steps", "CPAB((2, 4), steps=12)"),
        ("affine+cpab-4x4-12steps", "Sequential(Affine(), CPAB((4, 4), steps=12))"),
    ],
)
def test_name_gives_the_transformation(name, expected):
    assert repr(transformation_named(name)) == expected


@pytest.mark.parametrize("name", ["afine", "cpab-0x4", "cpab-2x4x6", "affine+", ""])
def test_unknown_name_lists_the_known_ones(name):
    with pytest.raises(InputError, match=r"unknown transformation .* Known: affine, cpab, cpab-ROWSxCOLUMNS"):
        transformation_named(name)


def test_registered_function_must_return_a_transformation(monkeypatch):
    monkeypatch.setattr(TRANSFORMS, "_added_by", dict(TRANSFORMS._added_by))
    for name, factory in (("shear", Affine), ("not-one", lambda: 3)):
        register_transform(name)(factory)
        monkeypatch.setitem(TRANSFORMS, name, TRANSFORMS.pop(name))
    assert isinstance(transformation_named("shear"), Affine)
    with pytest.raises(InputError, match=r"'not-one' must return a vitae.transforms.Transformation, got int"):
        transformation_named("not-one")
    with pytest.raises(InputError, match="the transformation name 'affine' is taken"):
        register_transform("affine")(Affine)

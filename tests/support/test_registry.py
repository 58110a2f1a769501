import pytest

from vitae import InputError
from vitae.support.registry import Registry


@pytest.fixture
def fruits():
    """One entry added by the package and one added by a user's module."""
    registry = Registry("fruit")
    registry.add("apple", 1, module="vitae.fruits")
    registry.add("pear", 2, module="my_fruits")
    return registry


@pytest.mark.parametrize("name", ["", "Apple", "red apple", "a.b", "a/b", "a+b", "-", 3, None])
def test_names_with_other_characters_are_refused(fruits, name):
    with pytest.raises(InputError, match=r"the name of a fruit must be lower-case letters, digits, - and _, got"):
        fruits.add(name, 3, module="my_fruits")
    assert list(fruits) == ["apple", "pear"]


def test_letters_digits_dashes_and_underscores_are_allowed(fruits):
    fruits.add("red-apple_2", 3, module="my_fruits")
    assert fruits.named("red-apple_2") == 3


def test_an_unknown_name_gets_the_closest_match_and_all_names(fruits):
    with pytest.raises(InputError, match=r"^unknown fruit 'aple'\. Did you mean 'apple'\? Known: apple, pear\.$"):
        fruits.named("aple")
    with pytest.raises(InputError, match=r"^unknown fruit 'banana'\. Known: apple, pear\.$"):
        fruits.named("banana")


def test_the_same_module_outside_the_package_may_register_a_name_again(fruits):
    fruits.add("pear", 3, module="my_fruits")
    assert fruits.named("pear") == 3


@pytest.mark.parametrize(
    ("name", "module"),
    [("pear", "other_fruits"), ("pear", "vitae.fruits"), ("apple", "my_fruits"), ("apple", "vitae.fruits")],
)
def test_taken_and_built_in_names_are_refused(fruits, name, module):
    before = dict(fruits)
    with pytest.raises(InputError, match=f"the fruit name '{name}' is taken: choose another name"):
        fruits.add(name, 3, module=module)
    assert fruits == before


def test_require_free_checks_without_adding(fruits):
    fruits.require_free("plum", module="my_fruits")
    assert "plum" not in fruits
    with pytest.raises(InputError, match="is taken"):
        fruits.require_free("apple", module="my_fruits")

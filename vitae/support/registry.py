"""Named things of one kind, which code outside the package can add to."""

from typing import TypeVar

from vitae.support.errors import InputError, require_known

T = TypeVar("T")


class Registry(dict[str, T]):
    """A dictionary by name that refuses a name twice and suggests near matches for an unknown one.

    Attributes:
        kind: what the entries are, for error messages, for instance `dataset`.
    """

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        self._added_by: dict[str, str] = {}

    def add(self, name: str, entry: T, *, module: str) -> None:
        """Register an entry.

        Args:
            module: the name of the module that registers it. A module outside the package may register a name again,
                so that a notebook can reload it.

        Raises:
            InputError: the name is empty or taken.
        """
        if not isinstance(name, str) or not name.replace("-", "").replace("_", "").isalnum() or name != name.lower():
            raise InputError(f"the name of a {self.kind} is made of lower-case letters, digits, - and _, got {name!r}.")
        reloaded = self._added_by.get(name) == module and module.partition(".")[0] != "vitae"
        if name in self and not reloaded:
            raise InputError(f"there is already a {self.kind} named '{name}': choose another name.")
        self._added_by[name] = module
        self[name] = entry

    def named(self, name: str) -> T:
        """The entry of a name.

        Raises:
            InputError: there is none; the message names the nearest match and all known names.
        """
        return self[require_known(self.kind, name, self)]

"""Registries: entries by name, to which code outside the package can add."""

from typing import TypeVar

from vitae.support.errors import InputError, require_known

T = TypeVar("T")


class Registry(dict[str, T]):
    """A dictionary of entries by name, which refuses to overwrite and suggests close matches of unknown names.

    Attributes:
        kind: what the entries are, for error messages, for instance `dataset`.
    """

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        self._added_by: dict[str, str] = {}

    def require_free(self, name: str, *, module: str) -> None:
        """Check that `add` would accept a name.

        Raises:
            InputError: the name is not made of lower-case letters, digits, - and _, or is taken by another module or by
                the package.
        """
        if not isinstance(name, str) or not name.replace("-", "").replace("_", "").isalnum() or name != name.lower():
            raise InputError(f"the name of a {self.kind} must be lower-case letters, digits, - and _, got {name!r}.")
        reloaded = self._added_by.get(name) == module and module.partition(".")[0] != "vitae"
        if name in self and not reloaded:
            raise InputError(f"the {self.kind} name '{name}' is taken: choose another name.")

    def add(self, name: str, entry: T, *, module: str) -> None:
        """Register an entry.

        Args:
            module: name of the module that registers it. A module outside the package may register the same name again,
                so that a notebook can rerun a cell.

        Raises:
            InputError: the name is not allowed or taken, see `require_free`.
        """
        self.require_free(name, module=module)
        self._added_by[name] = module
        self[name] = entry

    def named(self, name: str) -> T:
        """The entry of a name.

        Raises:
            InputError: the name is unknown; the message suggests the closest one and lists all.
        """
        return self[require_known(self.kind, name, self)]

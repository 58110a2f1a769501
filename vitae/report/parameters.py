"""Whether a notebook's parameters are its own, and of their type: papermill passes on whatever it was given.

A notebook declares each parameter once, in the cell tagged `parameters`, as `seed: int = 0  # what it is`, which
`papermill --help-notebook` prints too. IPython keeps the source of every executed cell, and there the declaration is
read.
"""

import ast
from collections.abc import Callable, Collection, Iterator

from vitae.data import SOURCES
from vitae.experiments.configuration import architecture_and_objective
from vitae.experiments.declaration import EXPERIMENTS, MOST_RUNS, PROFILES
from vitae.models.likelihoods import LIKELIHOODS
from vitae.support.devices import pick_device
from vitae.support.errors import InputError, require_known, require_number

# How papermill begins the cell in which it sets parameters.
_INJECTED = "# Parameters\n"


def check(namespace: dict, **choices: Collection[str]) -> None:
    """Refuse parameters that the notebook does not have, or whose values it cannot use.

    Args:
        namespace: the notebook's `globals()`.
        choices: parameter -> the values that this notebook allows, where they are fewer than `vitae` knows.

    Raises:
        InputError: one sentence with the parameter, what is wrong with it, and the parameters that the notebook has.
    """
    cells = list(_cells(namespace.get("In", ())))
    declared = {
        statement.target.id: ast.unparse(statement.annotation)
        for _, statements in cells
        for statement in statements
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }
    injected = [statements for source, statements in cells if source.startswith(_INJECTED)]
    given = [each.targets[0].id for each in (injected[-1] if injected else ()) if isinstance(each, ast.Assign)]
    for name in given:
        require_known("parameter of this notebook", name, declared)
    try:
        for name, kind in declared.items():
            _require_kind(name, namespace[name], kind)
            if name in choices:
                require_known(name, namespace[name], choices[name])
            if name in _RULES:
                _RULES[name](namespace[name])
    except InputError as error:
        raise InputError(f"{str(error).rstrip('.')} (parameters of this notebook: {', '.join(declared)}).") from None


def _cells(sources: Collection[str]) -> Iterator[tuple[str, list[ast.stmt]]]:
    for source in sources:
        try:
            yield source, ast.parse(source).body
        except SyntaxError:
            continue


def _require_kind(name: str, value, kind: str) -> None:
    if kind == "int":
        require_number(name, value, 0, whole=True)
    elif kind == "str" and not isinstance(value, str):
        raise InputError(f"{name} must be text, got {value!r}; papermill takes it as text by -r {name} {value}")
    elif kind == "bool" and not isinstance(value, bool):
        raise InputError(f"{name} must be True or False, got {value!r}")


def _words(name: str, require: Callable[[str], object]) -> Callable[[str], None]:
    """A rule: at least one word, each of which is accepted by `require`."""

    def rule(text: str) -> None:
        if not text.split():
            raise InputError(f"{name} is empty: name at least one")
        for word in text.split():
            require(word)

    return rule


def _require_few(seeds: int) -> None:
    if seeds > MOST_RUNS:
        raise InputError(f"seeds must be at most {MOST_RUNS:,}, got {seeds:,}")


# What a parameter of that name must be, in whatever notebook.
_RULES: dict[str, Callable] = {
    "profile": lambda name: name and require_known("profile", name, PROFILES),
    "models": _words("models", architecture_and_objective),
    "likelihoods": _words("likelihoods", lambda name: require_known("likelihood", name, LIKELIHOODS)),
    "datasets": _words("datasets", lambda name: require_known("dataset", name, EXPERIMENTS)),
    "data": lambda name: require_known("data", name, EXPERIMENTS),
    "seeds": _require_few,
    "source": lambda name: require_known("source", name, SOURCES),
    "device": pick_device,
}

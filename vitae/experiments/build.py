"""A configuration's model, and models from outside the package."""

from collections.abc import Callable

from vitae.experiments.configuration import Configuration, architecture_and_objective
from vitae.experiments.declaration import ROWS, Row, register_row
from vitae.models.architectures import (
    ARCHITECTURES,
    Builder,
    initial_model,
    register_architecture,
    require_objective,
)
from vitae.models.base import GenerativeModel
from vitae.models.networks import Shape
from vitae.support.errors import InputError
from vitae.support.randomness import stream


def build(configuration: Configuration, shape: Shape) -> GenerativeModel:
    """The configuration's model with its initial weights, on the CPU.

    Args:
        shape: channels, height and width of the images.
    """
    architecture, _ = architecture_and_objective(configuration.model)
    return initial_model(architecture, configuration, shape, stream(configuration.seed, "weights"))


def register_model(
    name: str,
    *,
    title: str = "",
    objective: str = "elbo",
    own_objective: bool = False,
    transforms: bool = False,
    conditional: bool = False,
) -> Callable[[Builder], Builder]:
    """Decorator: register a function `(settings, shape) -> GenerativeModel`, so that `--model NAME` trains it.

    The name becomes an architecture and a row that pairs it with an objective; every other general objective can train
    it too, as `NAME+OBJECTIVE`.

    Args:
        title: as it is printed in tables and figures; by default the name.
        objective: of the row.
        own_objective: whether this objective was made for the model, and trains no other.
        transforms: whether the model has a perspective space and a transformation.
        conditional: whether the posterior of one latent space depends on the draw from another, as in C-VITAE.

    Raises:
        InputError: the name is taken, the objective is unknown or belongs to another architecture, or
            `own_objective` would take it from another row. Nothing is registered then.
    """

    def registered(builder: Builder) -> Builder:
        own = (objective,) if own_objective else ()
        # Check everything first, so that a refused model leaves nothing behind.
        ROWS.require_free(name, module=builder.__module__)
        require_objective(name, objective, own, conditional)
        if own and (users := _other_users_of(objective, name)):
            raise InputError(
                f"objective {objective} also trains {', '.join(users)}, so it cannot be reserved for {name}: leave out "
                f"own_objective."
            )
        register_architecture(name, objectives=own, transforms=transforms, conditional=conditional)(builder)
        register_row(name, Row(title or name, name, objective), module=builder.__module__)
        return builder

    return registered


def _other_users_of(objective: str, architecture: str) -> list[str]:
    """The rows of other architectures that an objective trains without belonging to their architecture."""
    return [
        name
        for name, row in ROWS.items()
        if row.objective == objective
        and row.architecture in ARCHITECTURES.keys() - {architecture}
        and objective not in ARCHITECTURES[row.architecture].objectives
    ]

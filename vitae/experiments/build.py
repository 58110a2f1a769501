"""A configuration's model, and models from outside the package."""

from collections.abc import Callable

from vitae.experiments.configuration import Configuration, architecture_and_objective
from vitae.experiments.declaration import Row, register_row
from vitae.models.architectures import Builder, initial_weights, register_architecture, require_trainable
from vitae.models.base import GenerativeModel
from vitae.models.networks import Shape
from vitae.support.randomness import stream


def build(configuration: Configuration, shape: Shape) -> GenerativeModel:
    """The configuration's model with its initial weights, on the CPU.

    Args:
        shape: channels, height and width of the images.
    """
    architecture, _ = architecture_and_objective(configuration.model)
    return initial_weights(architecture, configuration, shape, stream(configuration.seed, "weights"))


def register_model(
    name: str, *, title: str = "", objective: str = "elbo", own_objective: bool = False, transforms: bool = False
) -> Callable[[Builder], Builder]:
    """Decorator: register a function `(settings, shape) -> GenerativeModel`, so that `--model NAME` trains it.

    The name becomes an architecture and a row that pairs it with an objective; every other general objective can train
    it too, as `NAME+OBJECTIVE`.

    Args:
        title: as it is printed in tables and figures; by default the name.
        objective: of the row.
        own_objective: whether this objective was made for the model, and trains no other.
        transforms: whether the model has a perspective space and a transformation.

    Raises:
        InputError: the name is taken, or there is no such objective.
    """

    def registered(builder: Builder) -> Builder:
        owned = (objective,) if own_objective else ()
        register_architecture(name, objectives=owned, transforms=transforms)(builder)
        require_trainable(name, objective)
        register_row(name, Row(title or name, name, objective), module=builder.__module__)
        return builder

    return registered

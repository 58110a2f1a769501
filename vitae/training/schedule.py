"""How long and how fast to train: the learning rate rises, stays, and falls; linear KL annealing."""

import math
from dataclasses import dataclass

from vitae.support.errors import InputError, require_number
from vitae.support.settings import setting

# More epochs than this, or images per step than any dataset has, are a typing error.
_MOST_EPOCHS, _MOST_PER_STEP = 100_000, 10_000_000
_FRACTIONS = ("kl_annealing", "learning_rate_warmup", "learning_rate_decay")


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train. All fractions are of the training's steps.

    Attributes:
        epochs: passes through the training images; 0 leaves the initial weights.
        batch: images per step.
        learning_rate: Adam's peak learning rate. It starts at a 25th of that, reaches the peak after
            `learning_rate_warmup` of the steps, stays there, and falls to 0 along a cosine over the last
            `learning_rate_decay` of the steps. A decay of 1 starts right after the rise: a one-cycle schedule. A
            smaller one leaves a phase of constant rate in which `vitae.training.convergence` can tell whether the
            training was long enough.
        kl_annealing: fraction of the steps over which the weight of the KL grows from 0 to 1.
        learning_rate_warmup: fraction of the steps over which the learning rate rises.
        learning_rate_decay: fraction of the steps over which it falls, at most those after the rise.

    Raises:
        InputError: a number that is out of range.
    """

    epochs: int = setting("passes through the training images")
    batch: int = setting("images per step", 256)
    learning_rate: float = setting("peak learning rate", 2e-3)
    kl_annealing: float = setting("fraction of the steps over which the weight of the KL grows to 1", 0.2)
    learning_rate_warmup: float = setting("fraction of the steps over which the learning rate rises to its peak", 0.1)
    learning_rate_decay: float = setting(
        "fraction of the steps over which the learning rate falls to 0 at the end", 1.0
    )

    def __post_init__(self):
        require_number("epochs", self.epochs, 0, whole=True, largest=_MOST_EPOCHS)
        require_number("batch", self.batch, 1, whole=True, largest=_MOST_PER_STEP)
        for name in ("learning_rate", *_FRACTIONS):
            require_number(name, getattr(self, name), 0)
        for name in _FRACTIONS:
            if getattr(self, name) > 1:
                raise InputError(f"{name} is a fraction of all steps, at most 1, got {getattr(self, name)}.")

    @property
    def constant_phase(self) -> tuple[float, float]:
        """Where the learning rate and the weight of the KL are both constant, as fractions of all steps.

        The second is not above the first if there is no such phase.
        """
        return max(self.learning_rate_warmup, self.kl_annealing), 1 - self.learning_rate_decay

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate after a fraction `progress` in [0, 1) of all steps."""
        rise = self.learning_rate_warmup
        if progress < rise:
            return self.learning_rate * (0.04 + 0.96 * progress / rise)
        fall = max(rise, 1 - self.learning_rate_decay)
        if progress < fall:
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (progress - fall) / max(1 - fall, 1e-9)))

    def kl_weight_at(self, progress: float) -> float:
        """The weight of the KL after a fraction `progress` of all steps."""
        return min(1.0, progress / self.kl_annealing) if self.kl_annealing > 0 else 1.0

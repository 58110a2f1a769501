"""How long and how fast to train: a one-cycle learning rate and linear KL annealing."""

import math
from dataclasses import dataclass

from vitae.support.errors import InputError, require_number
from vitae.support.settings import setting


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train. All fractions are of the training's steps.

    Attributes:
        epochs: passes through the training images; 0 leaves the initial weights.
        batch: images per step.
        learning_rate: Adam's peak learning rate. It starts at a 25th of that, reaches the peak after
            `learning_rate_warmup` of the steps, and then falls to 0 along a cosine.
        kl_annealing: fraction of the steps over which the weight of the KL grows from 0 to 1.
        learning_rate_warmup: fraction of the steps over which the learning rate rises.

    Raises:
        InputError: a number that is out of range.
    """

    epochs: int = setting("passes through the training images")
    batch: int = setting("images per step", 256)
    learning_rate: float = setting("peak of the one-cycle learning rate", 2e-3)
    kl_annealing: float = setting("fraction of the steps over which the weight of the KL grows to 1", 0.2)
    learning_rate_warmup: float = setting("fraction of the steps over which the learning rate rises to its peak", 0.1)

    def __post_init__(self):
        for name, smallest in (("epochs", 0), ("batch", 1)):
            require_number(name, getattr(self, name), smallest, whole=True)
        for name in ("learning_rate", "kl_annealing", "learning_rate_warmup"):
            require_number(name, getattr(self, name), 0)
        for name in ("kl_annealing", "learning_rate_warmup"):
            if getattr(self, name) > 1:
                raise InputError(f"{name} is a fraction of all steps, at most 1, got {getattr(self, name)}.")

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate after a fraction `progress` in [0, 1) of all steps."""
        rise = self.learning_rate_warmup
        if progress < rise:
            return self.learning_rate * (0.04 + 0.96 * progress / rise)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (progress - rise) / max(1 - rise, 1e-9)))

    def kl_weight_at(self, progress: float) -> float:
        """The weight of the KL after a fraction `progress` of all steps."""
        return min(1.0, progress / self.kl_annealing) if self.kl_annealing > 0 else 1.0

"""How long and how fast to train: a one-cycle learning rate and a linear warm-up of the KL."""

import math
from dataclasses import dataclass

from vitae.errors import InputError, require_number


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        epochs: passes through the training images; 0 leaves the initial weights.
        batch: images a step.
        learning_rate: Adam's peak rate, reached after `rise` of all steps from a 25th, then falling as a cosine to 0.
        warmup: the part of all steps over which the weight of the KL grows from 0 to 1.
        rise: see learning_rate.
    """

    epochs: int
    batch: int = 256
    learning_rate: float = 2e-3
    warmup: float = 0.2
    rise: float = 0.1

    def __post_init__(self):
        for name, smallest in (("epochs", 0), ("batch", 1)):
            require_number(name, getattr(self, name), smallest, whole=True)
        for name in ("learning_rate", "warmup", "rise"):
            require_number(name, getattr(self, name), 0)
        for name in ("warmup", "rise"):
            if getattr(self, name) > 1:
                raise InputError(f"{name} is a part of all steps, so at most 1, got {getattr(self, name)}.")

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate when a part `progress` in [0, 1) of all steps is done."""
        if progress < self.rise:
            return self.learning_rate * (0.04 + 0.96 * progress / self.rise)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (progress - self.rise) / max(1 - self.rise, 1e-9)))

    def kl_weight_at(self, progress: float) -> float:
        """The weight of the KL when a part `progress` of all steps is done."""
        return min(1.0, progress / self.warmup) if self.warmup > 0 else 1.0

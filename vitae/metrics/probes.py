"""kNN probes of a whole latent space: how well it predicts each factor, and how much of that is beyond guessing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitae.metrics import knn
from vitae.metrics.arrays import Arrays, classes_of, names_of, train_and_test


@dataclass(frozen=True)
class Probe:
    """How well a space predicts one factor.

    Attributes:
        reached: test accuracy for a class factor, test R^2 for a continuous one, see `vitae.metrics.knn`.
        guessing: test accuracy of the most frequent class; -1/11 for a continuous factor, see `vitae.metrics.knn`.
        score: (reached - guessing) / (1 - guessing), at least 0. For a factor that the space should not encode, this is
            its leak.
    """

    reached: float
    guessing: float
    score: float


@dataclass(frozen=True)
class Predictability:
    """`by_factor`: the probe of each factor, by the factor's name."""

    by_factor: dict[str, Probe]


def predictability(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    fast: bool = False,
) -> Predictability:
    """Probe one latent space with 11 nearest neighbours.

    Args: see `vitae.metrics`; one code or one factor is enough.

    Raises:
        InputError: as `vitae.metrics.arrays.train_and_test`.
    """
    train, held_out = train_and_test(codes, factors, test=test, seed=seed)
    moved = [
        knn.jittered(part[0], train[0], seed, name)
        for part, name in ((train, "training codes"), (held_out, "test codes"))
    ]
    classes, names = classes_of(train[1], classes), names_of(train[1].shape[1], names)
    return Predictability(
        {
            name: _probe(moved[0], train[1][:, j], moved[1], held_out[1][:, j], is_class)
            for j, (name, is_class) in enumerate(zip(names, classes, strict=True))
        }
    )


def _probe(train_codes, train_factor, test_codes, test_factor, is_class: bool) -> Probe:
    predict = knn.accuracy if is_class else knn.r_squared
    reached = predict(train_codes, train_factor, test_codes, test_factor)
    guessing = knn.majority_rate(train_factor, test_factor) if is_class else knn.GUESSED_R_SQUARED
    gain = (reached - guessing) / (1 - guessing) if guessing < 1 else 0.0
    return Probe(reached, guessing, max(0.0, gain))

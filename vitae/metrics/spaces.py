"""How well each latent space as a whole predicts each factor: the poster's claim in words, as a table."""

from dataclasses import dataclass

import numpy as np

from vitae.metrics import neighbours


def predictability(
    train_codes: np.ndarray,
    train_factors: np.ndarray,
    test_codes: np.ndarray,
    test_factors: np.ndarray,
    classes: tuple[bool, ...],
) -> list[float]:
    """Test accuracy (classes) or test R^2 (continuous) for each factor, 10 nearest neighbours.

    Args:
        train_codes, test_codes: posterior means of one latent space, `n x d`.
        train_factors, test_factors: `n x k`.
        classes: for each factor whether its values are classes.

    Raises:
        InputError: arrays that do not belong together, or codes that are not finite.
    """
    train_codes, train_factors, test_codes, test_factors = neighbours.checked_arrays(
        train_codes, train_factors, test_codes, test_factors, classes
    )
    return [
        (neighbours.accuracy if is_class else neighbours.r_squared)(
            train_codes, train_factors[:, j], test_codes, test_factors[:, j]
        )
        for j, is_class in enumerate(classes)
    ]


@dataclass(frozen=True)
class Leak:
    """What a space knows of one factor: what it reaches, what guessing reaches, and the part it gains of the way to 1.

    Attributes:
        reached: test accuracy for a class, test R^2 for a continuous factor.
        guessing: the rate of the most frequent class; 0 for a continuous factor.
        score: (reached - guessing) / (1 - guessing), 0 if that is negative.
    """

    reached: float
    guessing: float
    score: float


def leak(
    train_codes: np.ndarray,
    train_factor: np.ndarray,
    test_codes: np.ndarray,
    test_factor: np.ndarray,
    *,
    is_class: bool,
) -> Leak:
    """How much a latent space knows of a factor, 10 nearest neighbours: of one that is not its own, how much leaked.

    Args:
        train_codes, test_codes: posterior means of the space, `n x d`.
        train_factor, test_factor: `n`.
        is_class: whether the factor's values are classes.

    Raises:
        InputError: arrays that do not belong together, or codes that are not finite.
    """
    train_factor, test_factor = np.reshape(train_factor, (-1, 1)), np.reshape(test_factor, (-1, 1))
    (reached,) = predictability(train_codes, train_factor, test_codes, test_factor, (is_class,))
    guessing = neighbours.majority_rate(train_factor[:, 0], test_factor[:, 0]) if is_class else 0.0
    gained = (reached - guessing) / (1 - guessing) if guessing < 1 else 0.0
    return Leak(reached, guessing, max(0.0, gained))

"""How well each latent space as a whole predicts each factor: the poster's claim in words, as a table."""

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
    neighbours.check_arrays(train_codes, train_factors, test_codes, test_factors, classes)
    return [
        (neighbours.accuracy if is_class else neighbours.r_squared)(
            train_codes, train_factors[:, j], test_codes, test_factors[:, j]
        )
        for j, is_class in enumerate(classes)
    ]

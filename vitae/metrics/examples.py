"""Synthetic codes whose scores are known or understood: for the book, the benchmarks and the tests."""

from collections.abc import Callable

import numpy as np
import torch

from vitae.support.randomness import generator

# The numbers of values of each factor in the two datasets on which these scores are usually computed.
SIZES = {"dsprites": (3, 6, 40, 32, 32), "shapes3d": (10, 10, 10, 8, 4, 15)}
_NOISES = 10


def drawn_factors(sizes: tuple[int, ...], count: int, seed: int) -> np.ndarray:
    """Independent factors, each uniform on 0 to size - 1; int64, `count x k`."""
    random = generator("cpu", seed, "factors of examples")
    return torch.stack([torch.randint(size, (count,), generator=random) for size in sizes], 1).numpy()


def drawn_noise(count: int, seed: int, columns: int = _NOISES) -> np.ndarray:
    """Standard normal numbers, float64, `count x columns`."""
    random = generator("cpu", seed, "noise of examples")
    return torch.randn((count, columns), generator=random, dtype=torch.float64).numpy()


def standardised(factors: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Factors scaled to mean 0 and variance 1, given that each is uniform on 0 to size - 1; `n x k`."""
    counts = np.array(sizes)
    return (factors - (counts - 1) / 2) / np.sqrt((counts**2 - 1) / 12)


def noisy_and_mixed(factors: np.ndarray, sizes: tuple[int, ...], noise: np.ndarray) -> np.ndarray:
    """Each factor with noise; factors 4 and 5 mixed; factor 2, weak; noise; tiny noise. `n x (k + 4)`, k >= 5."""
    y, k = standardised(factors, sizes), len(sizes)
    clear = y + 0.3 * noise[:, :k]
    mixed = 0.7 * y[:, 3] + 0.7 * y[:, 4] + 0.1 * noise[:, k]
    weak = 0.5 * y[:, 1] + noise[:, k + 1]
    return np.column_stack([clear, mixed, weak, noise[:, k + 2], 0.01 * noise[:, k + 3]])


def perfect(factors: np.ndarray, sizes: tuple[int, ...], noise: np.ndarray) -> np.ndarray:
    """The factors themselves."""
    return factors.astype(np.float64)


def perfect_beside_noise(factors: np.ndarray, sizes: tuple[int, ...], noise: np.ndarray) -> np.ndarray:
    """One code per factor, and codes of noise up to ten codes."""
    return np.hstack([standardised(factors, sizes), noise[:, len(sizes) :]])


def perfect_rotated(factors: np.ndarray, sizes: tuple[int, ...], noise: np.ndarray) -> np.ndarray:
    """Perfect codes beside little noise, rotated: nothing is lost, but no axis is a factor."""
    axes = np.linalg.qr(drawn_noise(noise.shape[1], 1, noise.shape[1]))[0]
    return np.hstack([standardised(factors, sizes), 0.1 * noise[:, len(sizes) :]]) @ axes


def each_factor_twice(factors: np.ndarray, sizes: tuple[int, ...], noise: np.ndarray) -> np.ndarray:
    """Two codes per factor, each with independent noise."""
    y = standardised(factors, sizes)
    return np.hstack([y, y]) + 0.2 * np.resize(noise.T, (2 * len(sizes), len(noise))).T


def only_noise(factors: np.ndarray, sizes: tuple[int, ...], noise: np.ndarray) -> np.ndarray:
    """Codes that are independent of the factors."""
    return noise


EXAMPLES: dict[str, Callable[[np.ndarray, tuple[int, ...], np.ndarray], np.ndarray]] = {
    "noisy and mixed": noisy_and_mixed,
    "perfect, beside noise": perfect_beside_noise,
    "perfect, turned": perfect_rotated,
    "each factor twice": each_factor_twice,
    "noise": only_noise,
}

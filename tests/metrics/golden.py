"""The sample with known scores, drawn with numpy's legacy generator, whose streams never change."""

import numpy as np

from vitae.metrics.examples import SIZES, noisy_and_mixed

NAMES = ("shape", "scale", "orientation", "x", "y")


def sample(seed, count, sizes=SIZES["dsprites"]):
    random = np.random.RandomState(seed)
    factors = np.stack([random.randint(size, size=count) for size in sizes], 1)
    return noisy_and_mixed(factors, sizes, random.randn(10, count).T), factors

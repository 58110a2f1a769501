"""Scores of codes: how well they tell apart the factors behind images. Pure functions of arrays, one file a score.

>>> import numpy as np
>>> from vitae.metrics import mig
>>> factors = np.stack(np.meshgrid(range(4), range(5)), -1).reshape(-1, 2)
>>> round(mig(codes=factors, factors=factors).score, 6)
1.0

Every function takes `codes`, `n x d`, and `factors`, `n x k`; `report` computes all scores at once.
"""

from vitae.metrics.beta_vae import beta_vae_score
from vitae.metrics.dci import dci
from vitae.metrics.dscore import d_score
from vitae.metrics.explicitness import explicitness
from vitae.metrics.factor_vae import factor_vae_score
from vitae.metrics.irs import irs
from vitae.metrics.mig import mig
from vitae.metrics.modularity import modularity
from vitae.metrics.registry import SCORES, register_score
from vitae.metrics.report import Report, report
from vitae.metrics.sap import sap
from vitae.metrics.spaces import leak, predictability
from vitae.metrics.total_correlation import total_correlation

__all__ = [
    "SCORES",
    "Report",
    "beta_vae_score",
    "d_score",
    "dci",
    "explicitness",
    "factor_vae_score",
    "irs",
    "leak",
    "mig",
    "modularity",
    "predictability",
    "register_score",
    "report",
    "sap",
    "total_correlation",
]

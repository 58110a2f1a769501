"""Disentanglement scores: how well codes separate the ground-truth factors of images. Pure functions of arrays.

>>> import numpy as np
>>> from vitae.metrics import mig
>>> factors = np.stack(np.meshgrid(range(4), range(5)), -1).reshape(-1, 2)
>>> round(mig(codes=factors, factors=factors).score, 6)
1.0

All scores have one signature, `(codes, factors, *, test=None, classes=None, names=None, seed=0, fast=False)`, and
return a dataclass:

- `codes`: one row per image, usually its posterior mean, `n x d`.
- `factors`: ground-truth factors of the same images, `n x k`.
- `test`: codes and factors of test images. Without it, scores that need a test set split the given points: 10,000 for
  training and 5,000 for testing or, of fewer points, two thirds and one third.
- `classes`: for each factor, whether its values are classes. By default, factors with at most 100 distinct values are.
  Others are continuous; where a score needs classes, they are cut into ten equally frequent ones.
- `names`: of the factors, for error messages; "factor 1" and so on by default.
- `seed`: of the split and of the votes.
- `fast`: fewer trees and votes, for monitoring. The result's `shortfall` says so.

All raise `InputError` for arrays that they cannot score.

Some scores ignore some arguments. `mig`, `modularity`, `irs` and `total_correlation` learn nothing: they ignore
`test`, `seed` and `fast`; `total_correlation` also ignores the factors. `factor_vae_score` and `beta_vae_score` draw
their votes from all points, those of `test` included. Only `dci`, `factor_vae_score` and `beta_vae_score` have a fast
mode. `d_score` ignores `names`.

`report` computes every registered score; `register_score` adds one.
"""

# Reports list scores in the order of their registration, which is the order of these imports.
# isort: off
from vitae.metrics.dci import dci
from vitae.metrics.mig import mig
from vitae.metrics.sap import sap
from vitae.metrics.modularity import modularity
from vitae.metrics.explicitness import explicitness
from vitae.metrics.factor_vae import factor_vae_score
from vitae.metrics.beta_vae import beta_vae_score
from vitae.metrics.irs import irs
from vitae.metrics.d_star import d_star
from vitae.metrics.d_score_knn import d_score
from vitae.metrics.total_correlation import total_correlation
from vitae.metrics.probes import predictability
from vitae.metrics.registry import SCORES, Column, register_score
from vitae.metrics.report import Report, report
# isort: on

__all__ = [
    "SCORES",
    "Column",
    "Report",
    "beta_vae_score",
    "d_score",
    "d_star",
    "dci",
    "explicitness",
    "factor_vae_score",
    "irs",
    "mig",
    "modularity",
    "predictability",
    "register_score",
    "report",
    "sap",
    "total_correlation",
]

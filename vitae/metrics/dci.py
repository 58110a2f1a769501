r"""DCI: disentanglement, completeness and informativeness (Eastwood & Williams, 2018, section 2).

With the importance r_ij of code i for factor j, here what gradient-boosted trees that predict the factor gain by splits
on that code::

    D = sum_i rho_i (1 - H_k(r_i. / sum_j r_ij)),   rho_i = sum_j r_ij / sum_ij r_ij
    C = sum_j rho_j (1 - H_d(r_.j / sum_i r_ij)),   rho_j = sum_i r_ij / sum_ij r_ij

with entropies in base k and d, the numbers of factors and codes. D = 1 if each code matters for one factor only, C = 1
if one code only matters for each factor. Informativeness is the trees' test accuracy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from vitae.metrics.arrays import Arrays, parts, shortfall
from vitae.metrics.registry import Column, register_score

# scikit-learn's usual number of boosting stages, and that of the fast mode.
_STAGES, _STAGES_OF_FAST = 100, 20


@dataclass(frozen=True)
class DCI:
    """
    Attributes:
        disentanglement: D, in [0, 1].
        completeness: C, in [0, 1].
        informativeness: mean accuracy over the factors, on test points.
        informativeness_train: the same on the points that were learned from.
        importance: r, each factor's sums to 1, or to 0 where no code tells anything of it; `d x k`.
        per_code: 1 - H for each code; `per_factor` for each factor; `accuracy` of each factor on test points.
        shortfall: what is less than the full protocol, in words; empty if nothing. Numbers with and without one must
            not stand side by side: from fewer points D comes out too low.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    informativeness_train: float
    importance: np.ndarray
    per_code: np.ndarray
    per_factor: np.ndarray
    accuracy: np.ndarray
    shortfall: str


def disentanglement(importance: np.ndarray) -> tuple[float, np.ndarray]:
    """D and each code's 1 - H from an importance matrix `codes x factors`.

    A code that knows nothing has no say; codes that know nothing at all have D = 0.
    """
    total = importance.sum(1, keepdims=True)
    share = np.divide(importance, total, out=np.zeros_like(importance), where=total > 0)
    entropy = -(share * np.log(np.where(share > 0, share, 1))).sum(1) / np.log(importance.shape[1])
    per_code = np.where(total[:, 0] > 0, 1 - entropy, 0.0)
    if importance.sum() == 0:
        return 0.0, per_code
    return float((total[:, 0] / total.sum()) @ per_code), per_code


def completeness(importance: np.ndarray) -> tuple[float, np.ndarray]:
    """C and each factor's 1 - H from an importance matrix `codes x factors`: D of its transpose."""
    return disentanglement(importance.T)


@register_score(
    "dci",
    column=(
        Column("DCI disentanglement", "dci", asks="does each code know one factor only?"),
        Column("DCI completeness", "dci_completeness", asks="is each factor known by one code only?"),
        Column("DCI informativeness", "dci_informativeness", asks="how well do all codes predict each factor?"),
    ),
    stored={
        "dci": "disentanglement",
        "dci_completeness": "completeness",
        "dci_informativeness": "informativeness",
        "dci_importance": "importance",
        "dci_shortfall": "shortfall",
    },
    always=False,
)
def dci(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    classes: Sequence[bool] | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    fast: bool = False,
) -> DCI:
    """DCI by the full protocol: 10,000 points to learn from, 5,000 to test on, all trees, see `boosting`.

    Args:
        codes, factors, test, classes, names, seed: see `vitae.metrics.arrays.parts`.
        fast: a fifth of the trees, which the result says; for a look during training.

    Raises:
        InputError: as `parts`.
    """
    # Here, because it imports numba, which `import vitae` does without.
    from vitae.metrics.boosting import boosted

    train, tested = parts(codes, factors, test=test, classes=classes, names=names, seed=seed)
    stages = _STAGES_OF_FAST if fast else _STAGES
    labels = list(train.labels.T)
    with tqdm(total=len(labels), desc="DCI", unit="factor", disable=None, leave=False, delay=1) as bar:
        trees = boosted(train.codes, labels, tested.codes, stages=stages, done=bar.update)
    importance = np.stack([found.importance for found in trees], 1)
    accuracy = np.array([np.mean(found.test == own) for found, own in zip(trees, tested.labels.T, strict=True)])
    known = [np.mean(found.train == own) for found, own in zip(trees, labels, strict=True)]
    d, per_code = disentanglement(importance)
    c, per_factor = completeness(importance)
    less = [f"{stages} trees a class instead of {_STAGES}"] if fast else []
    return DCI(
        disentanglement=d,
        completeness=c,
        informativeness=float(accuracy.mean()),
        informativeness_train=float(np.mean(known)),
        importance=importance,
        per_code=per_code,
        per_factor=per_factor,
        accuracy=accuracy,
        shortfall="; ".join(filter(None, [*less, shortfall(train, tested)])),
    )

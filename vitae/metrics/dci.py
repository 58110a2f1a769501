r"""DCI: disentanglement, completeness and informativeness (Eastwood & Williams, 2018, section 2).

The importance r_ij of code i for factor j is the total gain of the splits on that code in gradient-boosted trees that
predict the factor::

    D = sum_i rho_i (1 - H_k(r_i. / sum_j r_ij)),   rho_i = sum_j r_ij / sum_ij r_ij
    C = sum_j rho_j (1 - H_d(r_.j / sum_i r_ij)),   rho_j = sum_i r_ij / sum_ij r_ij

with entropies in base k and d, the numbers of factors and codes. D = 1 if each code is important for one factor only,
C = 1 if only one code is important for each factor. Informativeness is the test accuracy of the trees.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from vitae.metrics.arrays import Arrays, parts, shortfall
from vitae.metrics.registry import Column, register_score

# Boosting stages: scikit-learn's default, and those of the fast mode.
_STAGES, _FAST_STAGES = 100, 20


@dataclass(frozen=True)
class DCI:
    """
    Attributes:
        disentanglement: D, in [0, 1].
        completeness: C, in [0, 1].
        informativeness: test accuracy, averaged over the factors.
        informativeness_train: the same on the training points.
        importance: r, `d x k`; each column sums to 1, or to 0 if the trees found no split that gains anything.
        per_code: 1 - H of each code, `d`.
        per_factor: 1 - H of each factor, `k`.
        accuracy: test accuracy for each factor, `k`.
        shortfall: how the result falls short of the full protocol; empty if it does not. Do not compare results with
            and without a shortfall: D from fewer points is too low.
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
    """D, and 1 - H of each code, from an importance matrix `codes x factors`.

    Codes without importance have weight 0; if no code has any, D = 0.
    """
    total = importance.sum(1, keepdims=True)
    share = np.divide(importance, total, out=np.zeros_like(importance), where=total > 0)
    entropy = -(share * np.log(np.where(share > 0, share, 1))).sum(1) / np.log(importance.shape[1])
    per_code = np.where(total[:, 0] > 0, 1 - entropy, 0.0)
    if importance.sum() == 0:
        return 0.0, per_code
    return float((total[:, 0] / total.sum()) @ per_code), per_code


def completeness(importance: np.ndarray) -> tuple[float, np.ndarray]:
    """C, and 1 - H of each factor, from an importance matrix `codes x factors`: D of its transpose."""
    return disentanglement(importance.T)


@register_score(
    "dci",
    column=(
        Column("DCI disentanglement", "dci", asks="is each code important for one factor only?"),
        Column("DCI completeness", "dci_completeness", asks="is only one code important for each factor?"),
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
    """DCI; the full protocol has 10,000 training and 5,000 test points, and 100 stages of trees (20 if `fast`).

    Args: see `vitae.metrics`.

    Raises:
        InputError: as `vitae.metrics.arrays.parts`.
    """
    # Imported here because it needs numba, which is slow to import.
    from vitae.metrics.boosting import boosted

    train, held_out = parts(codes, factors, test=test, classes=classes, names=names, seed=seed)
    stages = _FAST_STAGES if fast else _STAGES
    labels, test_labels = list(train.labels.T), list(held_out.labels.T)
    with tqdm(total=len(labels), desc="DCI", unit="factor", disable=None, leave=False, delay=1) as bar:
        trees = boosted(train.codes, labels, held_out.codes, stages=stages, done=bar.update)
    importance = np.stack([each.importance for each in trees], 1)
    accuracy = np.array([np.mean(each.test == truth) for each, truth in zip(trees, test_labels, strict=True)])
    train_accuracy = [np.mean(each.train == truth) for each, truth in zip(trees, labels, strict=True)]
    d, per_code = disentanglement(importance)
    c, per_factor = completeness(importance)
    fewer_trees = f"{stages} trees a class instead of {_STAGES}" if fast else ""
    return DCI(
        disentanglement=d,
        completeness=c,
        informativeness=float(accuracy.mean()),
        informativeness_train=float(np.mean(train_accuracy)),
        importance=importance,
        per_code=per_code,
        per_factor=per_factor,
        accuracy=accuracy,
        shortfall="; ".join(filter(None, [fewer_trees, shortfall(train, held_out)])),
    )

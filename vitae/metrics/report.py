"""All scores of one set of codes: computed from the same points, told as a table, kept as JSON, drawn by `plots`."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from vitae.metrics.arrays import Arrays, checked_names, parts, shortfall
from vitae.metrics.beta_vae import BetaVAEScore, beta_vae_score
from vitae.metrics.dci import DCI, dci
from vitae.metrics.dscore import DScore, d_score
from vitae.metrics.explicitness import Explicitness, explicitness
from vitae.metrics.factor_vae import FactorVAEScore, factor_vae_score
from vitae.metrics.irs import IRS, irs
from vitae.metrics.mig import MIG, mig
from vitae.metrics.modularity import Modularity, modularity
from vitae.metrics.sap import SAP, sap
from vitae.metrics.spaces import Leak, leak
from vitae.metrics.total_correlation import TotalCorrelation, total_correlation
from vitae.support.errors import InputError, require_number


@dataclass(frozen=True)
class Report:
    """Every score of one set of codes.

    Attributes:
        factors: names.
        codes: names.
        train: how many points were learned from.
        test: how many were tested on.
        seed: of splits and votes.
        spaces: latent space -> factor -> what it knows of it; empty if no spaces were named.
        seconds: spent on each score.
    """

    factors: tuple[str, ...]
    codes: tuple[str, ...]
    train: int
    test: int
    seed: int
    dci: DCI
    mig: MIG
    sap: SAP
    modularity: Modularity
    explicitness: Explicitness
    factor_vae: FactorVAEScore
    beta_vae: BetaVAEScore
    irs: IRS
    d_score: DScore
    total_correlation: TotalCorrelation
    spaces: dict[str, dict[str, Leak]]
    shortfall: str
    seconds: dict[str, float]

    def values(self) -> dict[str, float]:
        """Every score's number, by the name under which the table has it."""
        return {
            "DCI disentanglement": self.dci.disentanglement,
            "DCI completeness": self.dci.completeness,
            "DCI informativeness": self.dci.informativeness,
            "MIG": self.mig.score,
            "SAP": self.sap.score,
            "modularity": self.modularity.score,
            "explicitness": self.explicitness.score,
            "FactorVAE score": self.factor_vae.score,
            "β-VAE score": self.beta_vae.score,
            "IRS": self.irs.score,
            "D_score (kNN)": self.d_score.score,
            "total correlation": self.total_correlation.gaussian,
            "pairwise information": self.total_correlation.pairwise,
        }

    def rows(self) -> list[list[str]]:
        """Score, value and what it asks, a row each, the heading first."""
        found = [[name, f"{value:.3f}", _ASKS[name]] for name, value in self.values().items()]
        rows = [["score", "value", "asks"], *found]
        for space, known in self.spaces.items():
            for factor, what in known.items():
                reached = f"reached {what.reached:.3f}, guessing {what.guessing:.3f}"
                rows.append([f"{factor} from {space}", f"{what.score:.3f}", f"part gained over guessing: {reached}"])
        return rows

    def __str__(self) -> str:
        rows = self.rows()
        width = max(len(name) for name, *_ in rows)
        lines = [f"{name:<{width}}  {value:>6}  {asks}" for name, value, asks in rows]
        return "\n".join([*lines, self.caption()])

    def caption(self) -> str:
        """What a reader of the numbers must know."""
        said = f"{self.train:,} points to learn from, {self.test:,} to test on, seed {self.seed}."
        if self.shortfall:
            said += f" NOT the full protocol: {self.shortfall}. Do not put these numbers beside full ones."
        return said

    def as_json(self) -> dict:
        """Plain values: all numbers and matrices, nan and infinity as null."""
        return plain(dataclasses.asdict(self))


# What each score asks of the codes.
_ASKS = {
    "DCI disentanglement": "does each code know one factor only?",
    "DCI completeness": "is each factor known by one code only?",
    "DCI informativeness": "how well do all codes predict each factor?",
    "MIG": "how far is one code ahead in knowing each factor?",
    "SAP": "how far is one code ahead in predicting each factor linearly?",
    "modularity": "does each code know one factor only? noise scores high",
    "explicitness": "can each value be read off linearly? guessing is 0.5",
    "FactorVAE score": "which code stands still when a factor does?",
    "β-VAE score": "is a shared factor seen linearly in distances?",
    "IRS": "how far do codes move that should stand still?",
    "D_score (kNN)": "the book's reading of the poster's score",
    "total correlation": "nats, if Gaussian: how dependent are the codes?",
    "pairwise information": "nats: the same, two codes at a time",
}


def plain(value):
    """What JSON can say of numbers and arrays, nan and infinity as null."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def report(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    test: Arrays | None = None,
    names: Sequence[str] | None = None,
    classes: Sequence[bool] | None = None,
    spaces: Mapping[str, int] | None = None,
    seed: int = 0,
    fast: bool = False,
) -> Report:
    """Every score of one set of codes.

    Args:
        codes: `n x d`, d >= 2. The full protocol wants 15,000 points; with fewer the report says so.
        factors: `n x k`, k >= 2; a factor of at most 100 values is taken for classes, any other is cut into ten equally
            frequent ones.
        test: codes and factors to test on; None: drawn from those given, which are then not learned from.
        names: of the factors.
        classes: for each factor whether its values are classes, if that rule is not to decide.
        spaces: latent spaces and their sizes in the order of the codes, for instance `{"z_A": 2, "z_P": 3}`: what each
            as a whole knows of each factor is then told too.
        seed: of splits and votes.
        fast: fewer trees and votes, which the report says.

    Raises:
        InputError: naming what does not fit, and where; see `vitae.metrics.arrays.parts`.
    """
    train, tested = parts(codes, factors, test=test, classes=classes, names=names, seed=seed)
    d = train.codes.shape[1]
    if spaces is not None and not isinstance(spaces, Mapping):
        raise InputError("spaces must map the names of latent spaces to their sizes.")
    spaces = dict(zip(checked_names("spaces", spaces or ()), (spaces or {}).values(), strict=True))
    for name, size in spaces.items():
        require_number(f"the size of {name}", size, 1, whole=True)
    if spaces and sum(spaces.values()) != d:
        raise InputError(f"spaces have {sum(spaces.values())} codes together, and there are {d}.")
    every = {"classes": train.classes, "names": train.names}
    own = (train.codes, train.values)
    learned = {**every, "seed": seed, "test": (tested.codes, tested.values)}
    both = np.vstack([train.codes, tested.codes]), np.vstack([train.values, tested.values])

    jobs: dict[str, Callable[[], object]] = {
        "mig": lambda: mig(*own, **every),
        "modularity": lambda: modularity(*own, **every),
        "irs": lambda: irs(*own, **every),
        "total_correlation": lambda: total_correlation(own[0]),
        "factor_vae": lambda: factor_vae_score(*both, **every, seed=seed, fast=fast),
        "beta_vae": lambda: beta_vae_score(*both, **every, seed=seed, fast=fast),
        "sap": lambda: sap(*own, **learned),
        "explicitness": lambda: explicitness(*own, **learned),
        "d_score": lambda: d_score(*own, tested.codes, tested.values, train.classes),
        "spaces": lambda: _knowledge(train, tested, spaces),
        "dci": lambda: dci(*own, **learned, fast=fast),
    }
    found, seconds = {}, {}
    with tqdm(jobs.items(), unit="score", disable=None, delay=1) as bar:
        for name, job in bar:
            bar.set_description(name)
            started = time.perf_counter()
            found[name] = job()
            seconds[name] = round(time.perf_counter() - started, 3)
    less = [found["dci"].shortfall, found["factor_vae"].shortfall]
    return Report(
        factors=train.names,
        codes=tuple(_code_names(spaces)) or tuple(f"code {i + 1}" for i in range(d)),
        train=len(train),
        test=len(tested),
        seed=seed,
        shortfall="; ".join(filter(None, less)) or shortfall(train, tested),
        seconds=seconds,
        **found,
    )


def _code_names(spaces: Mapping[str, int]) -> list[str]:
    return [f"{name}, {i + 1}" for name, size in spaces.items() for i in range(size)]


def _knowledge(train, tested, spaces: Mapping[str, int]) -> dict[str, dict[str, Leak]]:
    found, start = {}, 0
    for space, size in spaces.items():
        columns = slice(start, start + size)
        start += size
        found[space] = {
            name: leak(
                train.codes[:, columns],
                train.values[:, j],
                tested.codes[:, columns],
                tested.values[:, j],
                is_class=train.classes[j],
            )
            for j, name in enumerate(train.names)
        }
    return found

"""The scores of a trained model, as plain numbers for its record.

Scores of codes are in `vitae.metrics`; the scores here need the model itself. The declaration of an experiment lists
which of them it wants.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from vitae.data import Dataset
from vitae.evaluation import codes as inference
from vitae.evaluation import effects, likelihood
from vitae.metrics import d_score
from vitae.metrics.probes import Probe, predictability
from vitae.metrics.registry import SCORES, Column, Score, register_score
from vitae.metrics.separability import auc, separability
from vitae.models import VITAE
from vitae.models.base import GenerativeModel
from vitae.support.errors import InputError, reason, require_known

# Test images for the effects of latents and for the inversion of transformations: both need several passes per image.
_INSPECTED = 200


@dataclass(frozen=True)
class Codes:
    """Codes of training and of test images: latent space -> `n x d`."""

    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]

    @property
    def joint(self) -> tuple[np.ndarray, np.ndarray]:
        """Codes of training and of test images with all latent spaces side by side, each `n x d`."""
        train, test = (np.concatenate(list(codes.values()), 1) for codes in (self.train, self.test))
        return train, test

    @property
    def spaces(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Codes of training and of test images by space; with several spaces, also those of `all` together."""
        by_space = {name: (codes, self.test[name]) for name, codes in self.train.items()}
        return by_space | {"all": self.joint} if len(by_space) > 1 else by_space


@dataclass
class Trained:
    """A trained model and the images to score it on. Codes are computed once, when first needed.

    Attributes:
        model: on the device of the images.
        train: training images as the model sees them, at most 10,000.
        test: images of the evaluation split.
        samples: K of the importance-weighted log p(x).
        label: prefix of the progress bar.
    """

    model: GenerativeModel
    train: Dataset
    test: Dataset
    samples: int
    label: str = ""

    @cached_property
    def means(self) -> Codes:
        """Posterior means."""
        return Codes(inference.codes(self.model, self.train.images), inference.codes(self.model, self.test.images))

    @cached_property
    def draws(self) -> Codes:
        """One draw from each posterior."""
        parts = enumerate((self.train, self.test))
        return Codes(*(inference.draws(self.model, part.images, seed=seed) for seed, part in parts))


def names_of(listed: Iterable[str]) -> list[str]:
    """The names of all scores of an experiment: those that are always computed, then those that it lists.

    Raises:
        InputError: an unknown score is listed.
    """
    always = [name for name, score in SCORES.items() if score.always]
    return list(dict.fromkeys([*always, *(require_known("score", name, SCORES) for name in listed)]))


def columns_by_name() -> dict[str, Column]:
    """Every column of every registered score, by the name of its number."""
    return {column.name: column for score in SCORES.values() for column in score.columns}


def scores_of(trained: Trained, names: Iterable[str]) -> dict:
    """Scores of a trained model as plain numbers; `vitae.experiments.records` documents the keys.

    Scores of codes need two factors; for datasets with one, their numbers are None.

    Raises:
        InputError: a score is unknown, or one from outside the package failed.
    """
    entries = {}
    for name in names:
        score = SCORES.named(name)
        try:
            if score.needs == "model":
                entries |= score.function(trained)
            elif len(trained.train.about) > 1:
                entries |= score.record_of(_of_means(score, trained))
            else:
                entries |= {column.name: None for column in score.columns}
        except InputError:
            raise
        except Exception as error:  # whatever a score from outside the package raises
            if score.function.__module__.partition(".")[0] == "vitae":
                raise
            raise InputError(
                f"the score {name} failed ({type(error).__name__}: {reason(error)}): fix it and run the same command "
                f"again, which trains nothing twice."
            ) from error
    return entries


def _of_means(score: Score, trained: Trained):
    """The result of a score of codes on posterior means, all latents side by side."""
    train_codes, test_codes = trained.means.joint
    return score.function(
        train_codes,
        trained.train.factors,
        test=(test_codes, trained.test.factors),
        classes=trained.train.classes if score.declared_classes else None,
        names=trained.train.names,
    )


def _as_dicts(entries: dict) -> dict[str, dict]:
    """A dictionary of dataclasses as plain values."""
    return {key: asdict(value) for key, value in entries.items()}


@register_score(
    "likelihood",
    needs="model",
    column=(
        Column("train ELBO", "train_elbo", 1),
        Column("test ELBO", "test_elbo", 1),
        Column("log p(x)", "log_likelihood", 1),
    ),
)
def _likelihood(trained: Trained) -> dict:
    """ELBO of training and test images, and importance-weighted log p(x) of test images, in nats per image."""
    estimates = {
        "train_elbo": likelihood.elbo(trained.model, trained.train.images, seed=0),
        "test_elbo": likelihood.elbo(trained.model, trained.test.images, seed=0),
        "log_likelihood": likelihood.log_likelihood(
            trained.model, trained.test.images, samples=trained.samples, seed=0, label=f"{trained.label} log p(x)"
        ),
    }
    return {**_as_dicts(estimates), "samples": trained.samples}


# The names of their numbers.
LIKELIHOODS = tuple(column.name for column in SCORES["likelihood"].columns)


@register_score("probes", needs="model")
def _probes(trained: Trained) -> dict:
    """How well 10 nearest neighbours predict each factor from each space, and how well guessing does."""
    of_means, of_draws = _probed(trained.means, trained), _probed(trained.draws, trained)
    by_factor = next(iter(of_means.values()))
    return {
        "latents": [f"{name}{i + 1}" for name, size in trained.model.spaces.items() for i in range(size)],
        "factors": list(trained.train.names),
        "guessing": {name: probe.guessing for name, probe in by_factor.items()},
        "predictability": _reached(of_means),
        "predictability_of_draws": _reached(of_draws),
    }


def _probed(codes: Codes, trained: Trained) -> dict[str, dict[str, Probe]]:
    factors, test_factors = trained.train.factors, trained.test.factors
    how = {"classes": trained.train.classes, "names": trained.train.names}
    return {
        space: predictability(train, factors, test=(test, test_factors), **how).by_factor
        for space, (train, test) in codes.spaces.items()
    }


def _reached(probes: dict[str, dict[str, Probe]]) -> dict[str, dict[str, float]]:
    return {space: {name: probe.reached for name, probe in each.items()} for space, each in probes.items()}


@register_score("d_score_of_draws", needs="model")
def _d_score_of_draws(trained: Trained) -> dict:
    """D (kNN) of posterior draws instead of means; nothing for datasets with one factor."""
    train, test = trained.train, trained.test
    if len(train.about) < 2:
        return {}
    codes, test_codes = trained.draws.joint
    result = d_score(codes, train.factors, test=(test_codes, test.factors), classes=train.classes)
    return {"d_score_of_draws": result.score}


@register_score("reconstruction", needs="model", column=Column("squared error", "reconstruction", 5), always=False)
def _reconstruction(trained: Trained) -> dict:
    """Mean squared error of images decoded from posterior means."""
    return {"reconstruction": asdict(likelihood.reconstruction(trained.model, trained.test.images))}


@register_score("separability", needs="model", always=False)
def _separability(trained: Trained) -> dict:
    """AUC of each class of each class factor, from each space and from each single latent."""
    codes, about, parts = trained.means, trained.train.about, (trained.train, trained.test)
    spaces, latents = codes.spaces, codes.joint[1].T
    by_space: dict[str, dict[str, float]] = {name: {} for name in spaces}
    by_latent: dict[str, list[float]] = {}
    for j, factor in enumerate(about):
        if factor.kind != "class":
            continue
        # With two classes, the second one is enough: the first is its complement.
        for position, label in list(enumerate(factor.values))[-1 if len(factor.values) == 2 else 0 :]:
            name = factor.name if len(factor.values) == 2 else f"{factor.name}: {label}"
            positive = [part.factors[:, j] == position for part in parts]
            for space, (train, test) in spaces.items():
                by_space[space][name] = separability(train, positive[0], test, positive[1])
            areas = [auc(latent, positive[1]) for latent in latents]
            by_latent[name] = [max(area, 1 - area) for area in areas]
    return {"separability": by_space, "separability_of_latents": by_latent}


@register_score("effects", needs="model", always=False)
def _effects(trained: Trained) -> dict:
    """Effect of each latent on images; for transformation models, also of each perspective latent on points."""
    images = trained.test.images[:_INSPECTED]
    entries = {"effects": _as_dicts(effects.latent_effects(trained.model, images))}
    if isinstance(trained.model, VITAE):
        entries["effects_of_transformation"] = _as_dicts(effects.perspective_effects(trained.model, images))
    return entries


@register_score("round_trip", needs="model", always=False)
def _round_trip(trained: Trained) -> dict:
    """Whether the inferred transformations can be inverted; nothing for models without a transformation."""
    if not isinstance(trained.model, VITAE):
        return {}
    return {"round_trip": effects.round_trip(trained.model, trained.test.images[:_INSPECTED])}

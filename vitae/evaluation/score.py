"""Every score of a trained model, as plain numbers for its record.

The scores of codes are in `vitae.metrics`; those here need the model. Which of them an experiment has stands in its
declaration.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from vitae.data import Dataset
from vitae.evaluation import codes as inference
from vitae.evaluation import effects, likelihood
from vitae.metrics.dscore import d_score
from vitae.metrics.neighbours import majority_rate
from vitae.metrics.registry import SCORES, Column, plain, register_score
from vitae.metrics.separability import auc, separability
from vitae.metrics.spaces import predictability
from vitae.models import VITAE
from vitae.models.base import GenerativeModel
from vitae.support.errors import require_known

# Images whose latents are moved, or whose transformations are inverted.
_INSPECTED = 200


@dataclass(frozen=True)
class Codes:
    """Codes of training and of test images, by latent space."""

    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]

    @property
    def joint(self) -> tuple[np.ndarray, np.ndarray]:
        """All latents side by side, of training and of test images."""
        train, test = (np.concatenate(list(codes.values()), 1) for codes in (self.train, self.test))
        return train, test

    @property
    def spaces(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Codes of training and test images by space, and `all` where there are several spaces."""
        found = {name: (codes, self.test[name]) for name, codes in self.train.items()}
        return found | {"all": self.joint} if len(found) > 1 else found


@dataclass
class Trained:
    """A trained model and the images that it is scored on; codes are computed once, when they are first needed.

    Attributes:
        model: on the device of the images.
        train: training images as the model sees them, at most 10,000.
        test: images that it is evaluated on.
        samples: K of the importance-weighted log p(x).
        label: of the progress bar.
    """

    model: GenerativeModel
    train: Dataset
    test: Dataset
    samples: int
    label: str = ""
    seconds: float = field(default=0.0, init=False)

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
    """Scores of a trained model, as plain numbers; see `vitae.experiments.records` for what each key is."""
    found = {}
    for name in names:
        score = SCORES.named(name)
        if score.needs == "model":
            found |= score.function(trained)
        elif len(trained.train.about) > 1:
            found |= score.record_of(_of_codes(score.function, trained))
    return found


def _of_codes(function, trained: Trained):
    """A score of posterior means, of all latents side by side. All factors count as classes: grids have few values."""
    (train, test), about = trained.means.joint, trained.train.about
    return function(
        train,
        trained.train.factors,
        test=(test, trained.test.factors),
        classes=(True,) * len(about),
        names=trained.train.names,
    )


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
    """ELBO of training and test images, and importance-weighted log p(x), in nats per image."""
    estimates = {
        "train_elbo": likelihood.elbo(trained.model, trained.train.images, seed=0),
        "test_elbo": likelihood.elbo(trained.model, trained.test.images, seed=0),
        "log_likelihood": likelihood.log_likelihood(
            trained.model, trained.test.images, samples=trained.samples, seed=0, label=f"{trained.label} log p(x)"
        ),
    }
    return {**plain(estimates), "samples": trained.samples}


@register_score("probes", needs="model")
def _probes(trained: Trained) -> dict:
    """How well nearest neighbours predict each factor from each space, and what guessing reaches."""
    train, test = trained.train, trained.test
    guessing = {
        factor.name: majority_rate(train.factors[:, j], test.factors[:, j]) if factor.kind == "class" else 0.0
        for j, factor in enumerate(train.about)
    }
    return {
        "latents": [f"{name}{i + 1}" for name, size in trained.model.spaces.items() for i in range(size)],
        "factors": list(train.names),
        "guessing": guessing,
        "predictability": _predictability(trained.means, train, test),
        "predictability_of_draws": _predictability(trained.draws, train, test),
    }


def _predictability(codes: Codes, seen: Dataset, unseen: Dataset) -> dict[str, dict[str, float]]:
    return {
        name: dict(
            zip(seen.names, predictability(train, seen.factors, test, unseen.factors, seen.classes), strict=True)
        )
        for name, (train, test) in codes.spaces.items()
    }


@register_score("d_score", needs="model", column=Column("D (kNN, means)", "d_score"))
def _d_score(trained: Trained) -> dict:
    """D (kNN) of posterior means and of draws; null below two factors."""
    train, test = trained.train, trained.test
    if len(train.about) < 2:
        return {"d_score": None}
    of_means, of_draws = (
        d_score(codes.joint[0], train.factors, codes.joint[1], test.factors, train.classes)
        for codes in (trained.means, trained.draws)
    )
    return {
        "d_score": of_means.score,
        "importance": of_means.importance.tolist(),
        "d_score_of_draws": of_draws.score,
    }


@register_score("reconstruction", needs="model", column=Column("squared error", "reconstruction", 5), always=False)
def _reconstruction(trained: Trained) -> dict:
    """Mean squared error of images decoded from posterior means."""
    return {"reconstruction": plain(likelihood.reconstruction(trained.model, trained.test.images))}


@register_score("separability", needs="model", always=False)
def _separability(trained: Trained) -> dict:
    """AUC of every class of every class factor, from each space and from each latent alone."""
    codes, about, parts = trained.means, trained.train.about, (trained.train, trained.test)
    spaces, latents = codes.spaces, codes.joint[1].T
    by_space: dict[str, dict[str, float]] = {name: {} for name in spaces}
    by_latent: dict[str, list[float]] = {}
    for j, factor in enumerate(about):
        if factor.kind != "class":
            continue
        # Of two classes one is the complement of the other.
        for position, label in list(enumerate(factor.values))[-1 if len(factor.values) == 2 else 0 :]:
            name = factor.name if len(factor.values) == 2 else f"{factor.name}: {label}"
            positive = [part.factors[:, j] == position for part in parts]
            for space, (train, test) in spaces.items():
                by_space[space][name] = separability(train, positive[0], test, positive[1])
            found = [auc(latent, positive[1]) for latent in latents]
            by_latent[name] = [max(area, 1 - area) for area in found]
    return {"separability": by_space, "separability_of_latents": by_latent}


@register_score("effects", needs="model", always=False)
def _effects(trained: Trained) -> dict:
    """What moving each latent does to images, and each perspective latent to points."""
    images = trained.test.images[:_INSPECTED]
    found = {"effects": plain(effects.latent_effects(trained.model, images))}
    if isinstance(trained.model, VITAE):
        found["effects_of_transformation"] = plain(effects.perspective_effects(trained.model, images))
    return found


@register_score("round_trip", needs="model", always=False)
def _round_trip(trained: Trained) -> dict:
    """Whether the transformations that the model infers can be inverted; nothing for models without one."""
    if not isinstance(trained.model, VITAE):
        return {}
    return {"round_trip": effects.round_trip(trained.model, trained.test.images[:_INSPECTED])}

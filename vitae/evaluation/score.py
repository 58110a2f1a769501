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
from vitae.metrics.arrays import FULL
from vitae.metrics.d_star import averaged, best_split, probe, score_of
from vitae.metrics.probes import Probe, predictability
from vitae.metrics.registry import SCORES, Column, Score, register_score
from vitae.metrics.separability import auc, separability
from vitae.models.archetypes import Archetypes
from vitae.models.base import GenerativeModel, TransformingModel
from vitae.models.likelihoods import Bernoulli
from vitae.support.errors import InputError, reason, require_known

# Test images for the effects of latents and for the inversion of transformations: both need several passes per image.
_INSPECTED = 200
# Draws from each posterior over which probes and D* are averaged.
_DRAWS = 5
# Test images for D*.
_MOST_TESTED = FULL[1]
# K of the importance-weighted log p(x) that shows how loose the bound is, and at most so many test images for it.
_MORE_SAMPLES, _IMAGES_FOR_MORE = 1_000, 500


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
    def draws(self) -> list[Codes]:
        """Several draws from each posterior."""
        parts = [part.images for part in (self.train, self.test)]
        return [
            Codes(*(inference.draws(self.model, images, seed=2 * n + part) for part, images in enumerate(parts)))
            for n in range(_DRAWS)
        ]

    @cached_property
    def probes_of_means(self) -> dict[str, dict[str, Probe]]:
        """Latent space -> factor -> kNN probe of posterior means."""
        return _probed(self.means, self)

    @cached_property
    def reached_by_draws(self) -> dict[str, dict[str, float]]:
        """Latent space -> factor -> what kNN probes of posterior draws reach, the mean over the draws."""
        found = [_reached(_probed(codes, self)) for codes in self.draws]
        return {
            space: {factor: float(np.mean([each[space][factor] for each in found])) for factor in by_factor}
            for space, by_factor in found[0].items()
        }


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
    version=2,
    column=(
        Column("train ELBO", "train_elbo", 1),
        Column("test ELBO", "test_elbo", 1),
        Column("log p(x)", "log_likelihood", 1),
    ),
)
def _likelihood(trained: Trained) -> dict:
    """ELBO of training and test images, and importance-weighted log p(x) of test images, in nats per image.

    Also what more samples add to log p(x) on some test images: the work of at most once more the same samples.
    """
    images = trained.test.images
    some = images[: max(2, min(_IMAGES_FOR_MORE, len(images) * trained.samples // _MORE_SAMPLES))]
    estimates = {
        "train_elbo": likelihood.elbo(trained.model, trained.train.images, seed=0),
        "test_elbo": likelihood.elbo(trained.model, images, seed=0),
        "log_likelihood": likelihood.log_likelihood(
            trained.model, images, samples=trained.samples, seed=0, label=f"{trained.label} log p(x)"
        ),
        "log_likelihood_gain": likelihood.log_likelihood_gain(
            trained.model, some, samples=trained.samples, more=_MORE_SAMPLES, seed=1
        ),
    }
    entries = {**_as_dicts(estimates), "samples": trained.samples}
    entries["log_likelihood_gain"] |= {"samples": max(_MORE_SAMPLES, trained.samples), "images": len(some)}
    if isinstance(trained.model.likelihood, Bernoulli):
        entries["bernoulli_limit"] = likelihood.bernoulli_limit(images)
    return entries


# The names of their numbers.
LIKELIHOODS = tuple(column.name for column in SCORES["likelihood"].columns)


@register_score("probes", needs="model", version=2)
def _probes(trained: Trained) -> dict:
    """How well 11 nearest neighbours predict each factor from each space, and how well guessing does."""
    by_factor = next(iter(trained.probes_of_means.values()))
    return {
        "latents": [latent.name for latent in trained.model.latents],
        "factors": list(trained.train.names),
        "guessing": {name: probe.guessing for name, probe in by_factor.items()},
        "predictability": _reached(trained.probes_of_means),
        "predictability_of_draws": trained.reached_by_draws,
    }


def _probed(codes: Codes, trained: Trained) -> dict[str, dict[str, Probe]]:
    if not trained.train.about:  # a folder of pictures about which nothing is known
        return {space: {} for space in codes.spaces}
    factors, test_factors = trained.train.factors, trained.test.factors
    how = {"classes": trained.train.classes, "names": trained.train.names}
    return {
        space: predictability(train, factors, test=(test, test_factors), **how).by_factor
        for space, (train, test) in codes.spaces.items()
    }


def _reached(probes: dict[str, dict[str, Probe]]) -> dict[str, dict[str, float]]:
    return {space: {name: probe.reached for name, probe in each.items()} for space, each in probes.items()}


@register_score(
    "accuracy",
    needs="model",
    always=False,
    column=(Column("accuracy", "accuracy"), Column("accuracy, means", "accuracy_of_means")),
)
def _accuracy(trained: Trained) -> dict:
    """Accuracy of the first class factor from z_A or, of a model with one space, from all latents.

    The second reading of the poster's D_score: the paper may have used it for classes.
    """
    space = next(iter(trained.model.spaces))
    factor = next((factor.name for factor in trained.train.about if factor.kind == "class"), None)
    if factor is None:
        return {"accuracy": None, "accuracy_of_means": None}
    return {
        "accuracy": trained.reached_by_draws[space][factor],
        "accuracy_of_means": trained.probes_of_means[space][factor].reached,
    }


@register_score(
    "d_star_of_draws",
    needs="model",
    always=False,
    column=(
        Column("D*", "d_star"),
        Column("coverage", "d_star_coverage"),
        Column("D*, spaces", "d_star_spaces"),
        Column("coverage, spaces", "d_star_spaces_coverage"),
        Column("D*, means", "d_star_of_means"),
        Column("D*, spaces, means", "d_star_spaces_of_means"),
    ),
)
def _d_star(trained: Trained) -> dict:
    """D* of posterior draws, and of means beside it: of single latents for each factor, and of the two spaces.

    The spaces are compared by what they know of all appearance factors together and of all perspective factors
    together. A model with one latent space gets its best division into two, chosen on training images.
    """
    if not trained.train.about:
        return {column.name: None for column in SCORES["d_star_of_draws"].columns}
    train, test = trained.train.factors, trained.test.factors[:_MOST_TESTED]
    classes, latents = trained.train.classes, trained.model.latents
    starts = dict(zip(trained.model.spaces, np.cumsum([0, *trained.model.spaces.values()]).tolist(), strict=False))
    columns = {each.name: [starts[each.space] + column for column in each.columns] for each in latents}
    roles = [factor.role for factor in trained.train.about]
    factor_groups = [[j for j, each in enumerate(roles) if each == role] for role in ("appearance", "perspective")]
    # A categorical latent is one latent, whatever the number of its values.
    grouped = {"latents": (list(columns.values()), None)}
    if all(roles) and all(factor_groups) and (spaces := _spaces(trained, factor_groups)):
        grouped["spaces"] = (spaces, factor_groups)
    entries: dict = {"d_star_importance": {}, "d_star_groups": {}}
    for grouping, (groups, together) in grouped.items():
        entries["d_star_groups"][grouping] = [
            [name for name, own in columns.items() if set(own) <= set(group)] for group in groups
        ]
        for kind, several in (("draws", trained.draws), ("means", [trained.means])):
            probed = []
            for n, codes in enumerate(several):
                train_codes, test_codes = codes.joint
                how = {"test": (test_codes[:_MOST_TESTED], test), "classes": classes, "seed": n, "groups": groups}
                probed.append(probe(train_codes, train, **how))
            found = score_of(averaged(probed), factor_groups=together)
            key = {"latents": "d_star", "spaces": "d_star_spaces"}[grouping]
            suffix = "_of_means" if kind == "means" else ""
            entries |= {f"{key}{suffix}": found.score, f"{key}_coverage{suffix}": found.coverage}
            entries["d_star_importance"].setdefault(kind, {})[grouping] = found.importance.tolist()
    return entries


def _spaces(trained: Trained, factor_groups: list[list[int]]) -> list[list[int]] | None:
    """The latents of each space; of a model with one space, those of its best division, if there are few enough."""
    sizes = list(trained.model.spaces.values())
    if len(sizes) > 1:
        ends = np.cumsum(sizes)
        return [list(range(end - size, end)) for size, end in zip(sizes, ends, strict=True)]
    codes = trained.draws[0].joint[0]
    return best_split(codes, trained.train.factors, classes=trained.train.classes, factor_groups=factor_groups)


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
    if isinstance(trained.model, TransformingModel):
        entries["effects_of_transformation"] = _as_dicts(effects.perspective_effects(trained.model, images))
    return entries


# A template is dead if it is chosen by less than this fraction of its equal share of images.
_DEAD = 0.1


@register_score("templates", needs="model", always=False, column=Column("living templates", "templates_living", 0))
def _templates(trained: Trained) -> dict:
    """How often archetypes choose each template, and how many are alive; nothing for other models."""
    if not isinstance(trained.model, Archetypes):
        return {}
    use = trained.means.test["z_A"][:, : trained.model.count].mean(0)
    return {"template_use": use.tolist(), "templates_living": int((use >= _DEAD / len(use)).sum())}


@register_score("round_trip", needs="model", always=False)
def _round_trip(trained: Trained) -> dict:
    """Whether the inferred transformations can be inverted; nothing for models without a transformation."""
    if not isinstance(trained.model, TransformingModel):
        return {}
    return {"round_trip": effects.round_trip(trained.model, trained.test.images[:_INSPECTED])}

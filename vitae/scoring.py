"""What is computed of a trained model for its record; `results` says what each number is."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vitae import effects, evaluate
from vitae.data import Dataset
from vitae.experiments import EXPERIMENTS, Configuration
from vitae.metrics.dci import dci
from vitae.metrics.dscore import d_score
from vitae.metrics.factor_vae import factor_vae_score
from vitae.metrics.mig import mig
from vitae.metrics.modularity import modularity
from vitae.metrics.sap import sap
from vitae.metrics.separability import auc, separability
from vitae.metrics.spaces import predictability
from vitae.models import VITAE
from vitae.models.base import GenerativeModel

# Images whose latents are moved, or whose transformations are undone.
_LOOKED_AT = 200


@dataclass(frozen=True)
class Codes:
    """Codes of training and of test images, each by latent space."""

    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]

    @property
    def together(self) -> tuple[np.ndarray, np.ndarray]:
        """All latents side by side, of training and of test images."""
        train, test = (np.concatenate(list(codes.values()), 1) for codes in (self.train, self.test))
        return train, test

    @property
    def spaces(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Codes of training and test images by space, and `all` where there are several."""
        found = {name: (codes, self.test[name]) for name, codes in self.train.items()}
        return found | {"all": self.together} if len(found) > 1 else found


@dataclass(frozen=True)
class Measured:
    """What a model gives to be scored: estimates in nats, posterior means, and a draw from each posterior."""

    estimates: dict[str, evaluate.Estimate]
    means: Codes
    draws: Codes


def measure(model: GenerativeModel, seen: Dataset, unseen: Dataset, configuration: Configuration) -> Measured:
    """Estimates and codes of a trained model, of training images and of those it is evaluated on."""
    label = f"{configuration.run} log p(x)"
    estimates = {
        "train_elbo": evaluate.elbo(model, seen.images, seed=0),
        "test_elbo": evaluate.elbo(model, unseen.images, seed=0),
        "log_likelihood": evaluate.log_likelihood(
            model, unseen.images, samples=configuration.samples, seed=0, label=label
        ),
    }
    means = Codes(evaluate.codes(model, seen.images), evaluate.codes(model, unseen.images))
    draws = Codes(*(evaluate.draws(model, part.images, seed=seed) for seed, part in enumerate((seen, unseen))))
    return Measured(estimates, means, draws)


def scores_of(
    measured: Measured, model: GenerativeModel, seen: Dataset, unseen: Dataset, configuration: Configuration
) -> dict:
    """Every score of a trained model, as plain numbers."""
    found = {
        **{name: dataclasses.asdict(estimate) for name, estimate in measured.estimates.items()},
        "samples": configuration.samples,
        "d_score": None,
        "latents": [f"{name}{i + 1}" for name, size in model.spaces.items() for i in range(size)],
        "factors": list(seen.names),
        "predictability": _predictability(measured.means, seen, unseen),
        "predictability_of_draws": _predictability(measured.draws, seen, unseen),
    }
    if len(seen.about) > 1:
        of_means, of_draws = (
            d_score(codes.together[0], seen.factors, codes.together[1], unseen.factors, seen.classes)
            for codes in (measured.means, measured.draws)
        )
        found |= {"d_score": of_means.score, "importance": of_means.importance.tolist()}
        found |= {"d_score_of_draws": of_draws.score}
    for name in EXPERIMENTS[configuration.dataset].scores:
        found |= EXTRA[name](measured.means, model, seen, unseen)
    return found


def _predictability(codes: Codes, seen: Dataset, unseen: Dataset) -> dict[str, dict[str, float]]:
    return {
        name: dict(
            zip(seen.names, predictability(train, seen.factors, test, unseen.factors, seen.classes), strict=True)
        )
        for name, (train, test) in codes.spaces.items()
    }


def _dci(codes: Codes, model: GenerativeModel, seen: Dataset, unseen: Dataset) -> dict:
    """DCI by gradient-boosted trees, with its own importance matrix, and what it falls short of the full protocol."""
    train, test = codes.together
    # Also those that are numbers: the factors of a grid have few values.
    classes = (True,) * len(seen.about)
    found = dci(train, seen.factors, test=(test, unseen.factors), classes=classes, names=seen.names)
    return {
        "dci": found.disentanglement,
        "dci_completeness": found.completeness,
        "dci_importance": found.importance.tolist(),
        "dci_shortfall": found.shortfall,
    }


def _other_scores(codes: Codes, model: GenerativeModel, seen: Dataset, unseen: Dataset) -> dict:
    """The scores that studies of disentanglement print beside DCI, and how well means are turned into images again."""
    train, test = codes.together
    how = {"classes": (True,) * len(seen.about), "names": seen.names}
    both = np.vstack([train, test]), np.vstack([seen.factors, unseen.factors])
    return {
        "mig": mig(train, seen.factors, **how).score,
        "modularity": modularity(train, seen.factors, **how).score,
        "sap": sap(train, seen.factors, test=(test, unseen.factors), **how).score,
        "factor_vae_score": factor_vae_score(*both, **how).score,
        "reconstruction": dataclasses.asdict(evaluate.reconstruction(model, unseen.images)),
    }


def _separability(codes: Codes, model: GenerativeModel, seen: Dataset, unseen: Dataset) -> dict:
    """AUC of every class of every class factor, from each space and, of single latents, from each alone."""
    spaces, latents = codes.spaces, codes.together[1].T
    by_space: dict[str, dict[str, float]] = {name: {} for name in spaces}
    by_latent: dict[str, list[float]] = {}
    for j, factor in enumerate(seen.about):
        if factor.kind != "class":
            continue
        # Of two classes one is the other's opposite.
        for position, label in list(enumerate(factor.values))[-1 if len(factor.values) == 2 else 0 :]:
            name = factor.name if len(factor.values) == 2 else f"{factor.name}: {label}"
            positive = [part.factors[:, j] == position for part in (seen, unseen)]
            for space, (train, test) in spaces.items():
                by_space[space][name] = separability(train, positive[0], test, positive[1])
            found = [auc(latent, positive[1]) for latent in latents]
            by_latent[name] = [max(area, 1 - area) for area in found]
    return {"separability": by_space, "separability_of_latents": by_latent}


def _effects(codes: Codes, model: GenerativeModel, seen: Dataset, unseen: Dataset) -> dict:
    images = unseen.images[:_LOOKED_AT]
    found = {"effects": _plain(effects.latent_effects(model, images))}
    if isinstance(model, VITAE):
        found["effects_of_transformation"] = _plain(effects.perspective_effects(model, images))
    return found


def _plain(found: dict[str, effects.Effects]) -> dict:
    return {name: dataclasses.asdict(each) for name, each in found.items()}


def _round_trip(codes: Codes, model: GenerativeModel, seen: Dataset, unseen: Dataset) -> dict:
    return {"round_trip": effects.round_trip(model, unseen.images[:_LOOKED_AT])} if isinstance(model, VITAE) else {}


# What some datasets' experiments compute besides.
EXTRA: dict[str, Callable[[Codes, GenerativeModel, Dataset, Dataset], dict]] = {
    "dci": _dci,
    "other scores": _other_scores,
    "separability": _separability,
    "effects": _effects,
    "round trip": _round_trip,
}

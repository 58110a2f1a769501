"""One run, one JSON record.

A record states the configuration, where the data came from, how much there was and, under `images`, the hash of the
training images (older records lack it), versions, device, commit, seconds,
the loss of each epoch, under `curves` the KL of each latent and the model's own terms over the training, under
`held_out` the ELBO of held-out images over it (see `vitae.training.step.Progress`; older records lack both), under
`convergence` what twice the steps gained (see `vitae.training.convergence`; null where that cannot be told), under
`score_versions` the version of each score (see `vitae.metrics.registry`), and under `scores`::

    train_elbo, test_elbo    {mean, standard_error} in nats per image
    log_likelihood           the same, importance-weighted with `samples` draws
    log_likelihood_gain      how much higher it is with more `samples`, on the first `images`
    bernoulli_limit          the largest log p(x | z) that Bernoulli pixels allow, in nats
    d_score                  D (kNN, means) with its `importance`, `latents` x `factors`; null below two factors
    guessing                 factor -> what a probe without any information reaches, see `report.statistics.guessing`
    predictability           space -> factor -> test accuracy (classes) or R^2 (continuous) of nearest neighbours
    predictability_of_draws  the same from posterior draws instead of means, averaged over five draws

and, where an experiment lists them::

    d_star, d_star_coverage  D* of single latents, of posterior draws, and its coverage; null where nothing is known
    d_star_spaces            D* of the two spaces (of the best division of one space into two), with its coverage
    ..._of_means             the same of posterior means; `d_star_importance` and `d_star_groups` are behind all four
    accuracy                 of the first class factor from z_A, or from z of a model with one space, by draws
    dci                      D (DCI), with `dci_completeness`, `dci_informativeness` and `dci_importance`
    mig, modularity, sap, factor_vae_score, reconstruction    see `vitae.metrics`, and `likelihood.reconstruction`
    separability             space -> class -> area under the ROC curve; `separability_of_latents`: of each latent alone
    effects                  latent -> scaling, translation, recolouring, see `vitae.evaluation.effects`
    template_use             how often archetypes choose each template, and templates_living, how many they use
    round_trip               error in pixels and smallest area of the inferred transformations, see `effects.round_trip`
"""

import json
import math
from collections.abc import Collection
from pathlib import Path

from vitae.experiments.configuration import OF_IMAGES, Configuration
from vitae.metrics.registry import SCORES
from vitae.support import paths
from vitae.support.errors import DamagedError, InputError
from vitae.support.files import read_json, write_text
from vitae.support.schema import (
    ANY,
    COUNT,
    FLAG,
    MEASURED,
    TEXT,
    WATCHED,
    Each,
    Nullable,
    Optional,
    Values,
    holds_control_characters,
    misfit,
    schema_of,
)

SCHEMA = 2

_ESTIMATE = {"mean": MEASURED, "standard_error": MEASURED}
_BY_SPACE = Values(Values(MEASURED))
# What every record has, and what this package reads of the rest.
_RECORD = {
    "schema": COUNT,
    "run": TEXT,
    "configuration": {
        "dataset": TEXT,
        "model": TEXT,
        "profile": TEXT,
        "seed": COUNT,
        "overrides": Values(ANY),
        **{
            name: Optional(inner.inner if isinstance(inner, Optional) else inner)
            for name, inner in schema_of(Configuration).items()
            if name not in ("dataset", "model", "profile", "seed", "overrides")
        },
    },
    "fingerprint": TEXT,
    "data": {"source": TEXT, "location": TEXT, "train": COUNT, "evaluated": COUNT, "evaluated_on": TEXT},
    "parameters": COUNT,
    "seconds": {"train": MEASURED, "evaluate": MEASURED},
    "losses": Each(MEASURED),
    "curves": Optional(Values(Each(MEASURED))),
    "held_out": Optional(Each(WATCHED)),
    "convergence": Optional(Nullable({"gain": WATCHED, "tolerance": WATCHED, "converged": FLAG})),
    "scores": {
        "train_elbo": _ESTIMATE,
        "test_elbo": _ESTIMATE,
        "log_likelihood": _ESTIMATE,
        "log_likelihood_gain": Optional({**_ESTIMATE, "samples": COUNT, "images": COUNT}),
        "bernoulli_limit": Optional(MEASURED),
        "samples": COUNT,
        "d_score": MEASURED,
        "predictability": _BY_SPACE,
        "predictability_of_draws": Optional(_BY_SPACE),
        "guessing": Optional(Values(MEASURED)),
        "factors": Each(TEXT),
        "latents": Optional(Each(TEXT)),
        "template_use": Optional(Each(MEASURED)),
        "templates_living": Optional(COUNT),
    },
    "score_versions": Values(COUNT),
    "device": TEXT,
}


def write_record(path: Path, record: dict) -> None:
    """Write a record atomically, with its schema. Numbers that are not finite become null."""
    measured = {name: _finite(record[name]) for name in ("scores", "losses", "seconds", "curves") if name in record}
    write_text(path, json.dumps({"schema": SCHEMA, **record, **measured}, indent=1, ensure_ascii=False) + "\n")


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value


def read_record(path: Path) -> dict:
    """Read a record.

    Raises:
        InputError: there is none, it is damaged, or it was written by another version of the schema.
    """
    try:
        record = read_json(path)
    except FileNotFoundError:
        raise InputError(f"there is no record {path}: train that run first.") from None
    except DamagedError as error:
        raise InputError(f"{error}, so it is not a readable record: delete it and train again.") from None
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"{path} has schema {str(schema)[:40]}, this vitae reads {SCHEMA}: delete the record and train again, "
            f"or read it with the version that wrote it."
        )
    if damage := _damage(record):
        raise InputError(f"{path} {damage}: delete the record and train again.")
    return record


def _damage(record: dict) -> str:
    """What is wrong with a record, in words; empty if it can be used."""
    if wrong := misfit(record, _RECORD):
        return wrong
    for score in SCORES.values():
        for name in (column.name for column in score.columns):
            found = record["scores"].get(name)
            if isinstance(found, dict):
                wrong = misfit(found, {"mean": MEASURED}, f"scores.{name}")
            else:
                wrong = misfit(found, MEASURED, f"scores.{name}")
            if wrong:
                return wrong
    return "has control characters in its text" if holds_control_characters(record) else ""


def outdated_scores(record: dict) -> list[str]:
    """The scores of a record that a later version of vitae computes otherwise, by name."""
    versions = record["score_versions"]
    return [name for name, version in versions.items() if name in SCORES and SCORES[name].version != version]


def is_superseded(record: dict) -> bool:
    """Whether a record is of the first, shorter trainings, which were not watched: a new run takes its place."""
    return "convergence" not in record


def load_records(profile: str, dataset: str, models: Collection[str] | None = None, **changes) -> list[dict]:
    """The records of a profile and dataset, by model and seed, without those named by their images, see `OF_IMAGES`.

    Args:
        models: only of these rows.
        changes: settings in which they differ from the profile's own, for instance `transform="cpab"`; no others.
    """
    return [record for record in _records(profile, dataset, models, changes) if OF_IMAGES not in record["run"]]


def load_records_by_images(profile: str, dataset: str) -> list[list[dict]]:
    """The records of a profile and dataset without changes, a list for each set of images they were trained on."""
    groups: dict[str, list[dict]] = {}
    for record in sorted(_records(profile, dataset, None, {}), key=lambda record: OF_IMAGES in record["run"]):
        groups.setdefault(record["data"].get("images", ""), []).append(record)
    unknown, plain = groups.pop("", []), [key for key, group in groups.items() if OF_IMAGES not in group[0]["run"]]
    if unknown and len(plain) == 1:
        # Older records, and newer ones of the same images.
        groups[plain[0]] = _in_order(unknown + groups[plain[0]])
    elif unknown:
        groups = {"": unknown, **groups}
    return list(groups.values())


def _records(profile: str, dataset: str, models: Collection[str] | None, changes: dict) -> list[dict]:
    found = [read_record(path) for path in sorted((paths.records() / profile / dataset).glob("*.json"))]
    own = [record for record in found if record["configuration"]["overrides"] == changes]
    if models is not None:
        own = [record for record in own if record["configuration"]["model"] in models]
    return _in_order(own)


def _in_order(records: list[dict]) -> list[dict]:
    return sorted(records, key=lambda record: (record["configuration"]["model"], record["configuration"]["seed"]))


def load_trials(dataset: str) -> list[dict]:
    """The records of profile full that were evaluated on the validation split, from which settings were chosen.

    Those that come with the clone and those made here, by name.
    """
    found = {
        path.stem: path
        for folder in (paths.committed_records(), paths.records())
        for path in (folder / "full" / dataset).glob("*validation=True*.json")
        if OF_IMAGES not in path.name
    }
    return [read_record(path) for _, path in sorted(found.items())]


def command_for(record: dict) -> str:
    """The command that makes this record again from the same data; the record's `data` says which."""
    stated = record["configuration"]
    words = ["vitae train", stated["dataset"], "--model", stated["model"], "--profile", stated["profile"]]
    for name, value in stated["overrides"].items():
        words.append("--" + name.replace("_", "-") + ("" if value is True else f" {value}"))
    return " ".join([*words, "--seed", str(stated["seed"])])

"""Every experiment, declared: dataset x row x profile x seed, and the one way to run one.

A row of a table is an architecture and an objective. The six rows of the poster have names; any other pair is written
`architecture+objective`, for instance `c-vitae+beta-tc`.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from vitae import evaluate, paths, results
from vitae.compute import PRECISIONS, Ranks, pick_device
from vitae.data import DATASETS, MNIST
from vitae.errors import InputError, require_known, require_number
from vitae.files import read_stated, read_tensors, require_writable, write_tensors
from vitae.likelihoods import Bernoulli, GaussianPixels
from vitae.metrics.dscore import d_score
from vitae.metrics.spaces import predictability
from vitae.models import VAE, VITAE
from vitae.models.base import GenerativeModel
from vitae.nets import (
    ConvDecoder,
    ConvEncoder,
    MLPDecoder,
    MLPEncoder,
    ParameterDecoder,
    SeparateMLPEncoder,
    Shape,
)
from vitae.objectives import OBJECTIVES
from vitae.randomness import stream
from vitae.schedule import Schedule
from vitae.together import Progress, Run
from vitae.train import NonFiniteLoss, diverged, previous_of, train_together
from vitae.transforms import transformation_named

PROFILES = ("smoke", "quick", "full")
# How many seeds each profile's table has.
SEEDS = {"smoke": 1, "quick": 2, "full": 3}
ARCHITECTURES = ("vae", "u-vitae", "c-vitae")

# The transformations that the book compares in C-VITAE, and over how many seeds.
COMPARED_TRANSFORMS = ("affine", "cpab", "affine+cpab")
COMPARED_SEEDS = {"smoke": 1, "quick": 2, "full": 1}

# Values in common use on other data, not tuned for MNIST; the poster gives none.
STRENGTHS: dict[str, dict[str, float]] = {
    "elbo": {},
    "beta": {"beta": 4.0},
    "beta-tc": {"beta": 6.0},
    "dip-ii": {"strength": 10.0},
}

# The rows of the poster's table: name -> (as it is printed, architecture, objective).
ROWS = {
    "vae": ("VAE", "vae", "elbo"),
    "beta-vae": ("β-VAE", "vae", "beta"),
    "beta-tcvae": ("β-TCVAE", "vae", "beta-tc"),
    "dip-vae-ii": ("DIP-VAE-II", "vae", "dip-ii"),
    "u-vitae": ("U-VITAE", "u-vitae", "elbo"),
    "c-vitae": ("C-VITAE", "c-vitae", "elbo"),
}

NETWORKS = {
    "mlp": (MLPEncoder, MLPDecoder, "hidden"),
    "mlp-separate": (SeparateMLPEncoder, MLPDecoder, "hidden"),
    "conv": (ConvEncoder, ConvDecoder, "channels"),
}
LIKELIHOODS = {"bernoulli": Bernoulli, "gaussian": GaussianPixels}


# A code larger than any image of the book is a slip of the keyboard.
_MOST_LATENTS = 10_000


def choose_profile(name: str = "") -> str:
    """A profile's name, by default `$VITAE_PROFILE`, else quick."""
    return require_known("profile", name or os.environ.get("VITAE_PROFILE") or "quick", PROFILES)


def architecture_and_objective(model: str) -> tuple[str, str]:
    """What a row's name stands for: one of the six, or `architecture+objective`."""
    model = str(model)
    if model in ROWS:
        return ROWS[model][1:]
    if "+" in model:
        architecture, objective = model.split("+", 1)
        return require_known("architecture", architecture, ARCHITECTURES), require_known(
            "objective", objective, OBJECTIVES
        )
    require_known("model", model, ROWS)
    raise AssertionError("unreachable")


def printed_name(model: str) -> str:
    """A row's name as it stands in tables and figures."""
    return ROWS[model][0] if model in ROWS else model


@dataclass(frozen=True)
class Configuration:
    """One run, fully stated: with the data and the seed it determines every number of the result.

    Attributes:
        model: a row's name, see `ROWS`.
        strength: the objective's own numbers, see `STRENGTHS`.
        appearance, perspective: latent dimensions; a model with one space gets their sum.
        transform: the transformation's name, see `transforms.named`; models with one space have none.
        network, widths: `mlp` with the widths of the encoder's layers, `mlp-separate` with the same widths twice, for
            mean and variance, or `conv` with its channels.
        widths_of_vae: the same for models with one space, wider so that all rows have as many parameters.
        train_size, test_size: digits used, the first so many; None for all there are.
        samples: K of the importance-weighted log p(x).
        hold_out: keep the last tenth of the training images, train on the others, and evaluate on the kept ones
            instead of the test images: the mode to tune in.
        precision: of matrix products in training, see `compute.precision`.
    """

    dataset: str
    model: str
    profile: str
    seed: int
    schedule: Schedule
    train_size: int | None
    test_size: int | None
    samples: int
    appearance: int = 2
    perspective: int = 3
    transform: str = "affine"
    network: str = "mlp"
    widths: tuple[int, ...] = (512, 256)
    widths_of_vae: tuple[int, ...] = (704, 352)
    likelihood: str = "bernoulli"
    strength: dict[str, float] = field(default_factory=dict)
    hold_out: bool = False
    precision: str = "float32"
    overrides: dict[str, float] = field(default_factory=dict)

    def __post_init__(self):
        require_number("seed", self.seed, 0, whole=True)
        require_number("samples", self.samples, 1, whole=True)
        for name in ("train_size", "test_size"):
            if getattr(self, name) is not None:
                require_number(name, getattr(self, name), 2, whole=True)
        for name in ("appearance", "perspective"):
            require_number(name, getattr(self, name), 1, whole=True)
            if getattr(self, name) > _MOST_LATENTS:
                raise InputError(f"{name} must be at most {_MOST_LATENTS:,}, got {getattr(self, name):,}.")
        for name, value in self.strength.items():
            require_number(name, value, 0)
        if not isinstance(self.hold_out, bool):
            raise InputError(f"hold_out must be True or False, got {self.hold_out!r}.")
        require_known("dataset", self.dataset, EXPERIMENTS)
        require_known("network", self.network, NETWORKS)
        require_known("likelihood", self.likelihood, LIKELIHOODS)
        require_known("precision", self.precision, PRECISIONS)
        transformation_named(self.transform)
        architecture_and_objective(self.model)

    @property
    def run(self) -> str:
        """Name of the run, made of its row, its seed and what was changed from the profile."""
        changes = "".join(f"-{name}={value}" for name, value in sorted(self.overrides.items()))
        return f"{self.model}-seed{self.seed}{changes}"

    def as_json(self) -> dict:
        """Plain values, as they stand in a record."""
        # Numbers of numpy are numbers too.
        return json.loads(json.dumps(dataclasses.asdict(self), default=lambda number: number.item()))


# profile -> what a run on MNIST gets. Tuned on held-out training digits only; the book's MNIST page says what was.
_MNIST_PROFILES = {
    "smoke": {"schedule": Schedule(epochs=2, batch=64), "train_size": 400, "test_size": 200, "samples": 16},
    "quick": {"schedule": Schedule(epochs=80, batch=256), "train_size": 4_000, "test_size": 1_000, "samples": 100},
    "full": {"schedule": Schedule(epochs=40, batch=256), "train_size": 60_000, "test_size": 10_000, "samples": 1_000},
}
# Dataset -> how it is loaded for training, and its profiles. A dataset of the registry without a line here can be
# loaded, drawn and exported, and has no experiment yet.
EXPERIMENTS = {"mnist": (MNIST, _MNIST_PROFILES)}

# What may be changed from the outside, and where it lives.
_SCHEDULE_SETTINGS = tuple(f.name for f in dataclasses.fields(Schedule))
_OWN_SETTINGS = (
    "appearance",
    "perspective",
    "train_size",
    "test_size",
    "samples",
    "hold_out",
    "likelihood",
    "transform",
    "precision",
)
SETTINGS = _SCHEDULE_SETTINGS + _OWN_SETTINGS + ("beta", "strength")


def configure(dataset: str, model: str, profile: str = "quick", seed: int = 0, **changes) -> Configuration:
    """The configuration of one run, with changes from the profile's settings.

    Args:
        changes: any of `SETTINGS`; those that are None or equal to the profile's are no change.

    Raises:
        InputError: an unknown name, or a value that makes no sense.
    """
    if dataset in DATASETS and dataset not in EXPERIMENTS:
        raise InputError(
            f"models are trained on {', '.join(EXPERIMENTS)} so far; {dataset} can be loaded and looked at, see "
            f"'vitae data {dataset}'."
        )
    require_known("dataset", dataset, EXPERIMENTS)
    require_known("profile", profile, PROFILES)
    architecture, objective = architecture_and_objective(model)
    settings = dict(EXPERIMENTS[dataset][1][profile])
    base = Configuration(dataset, model, profile, seed, strength=dict(STRENGTHS[objective]), **settings)

    schedule, own, strength, overrides = {}, {}, dict(base.strength), {}
    for name, value in changes.items():
        require_known("setting", name, SETTINGS)
        if name in _SCHEDULE_SETTINGS:
            current, place = getattr(base.schedule, name), schedule
        elif name in _OWN_SETTINGS:
            current, place = getattr(base, name), own
        elif name in strength:
            current, place = strength[name], strength
        elif value is None:
            continue
        else:
            raise InputError(f"the objective of {model} has no {name}: it belongs to another objective.")
        if isinstance(current, float) and isinstance(value, int):
            value = float(value)
        if name == "transform" and value not in (None, current) and architecture == "vae":
            raise InputError(f"the architecture of {model} has one latent space and no transformation.")
        if value is not None and value != current:
            place[name] = overrides[name] = value
    return dataclasses.replace(
        base, schedule=dataclasses.replace(base.schedule, **schedule), strength=strength, overrides=overrides, **own
    )


def build(configuration: Configuration, shape: Shape) -> GenerativeModel:
    """The configuration's model with its initial weights, on the CPU."""
    encoder, decoder, size_name = NETWORKS[configuration.network]
    architecture, _ = architecture_and_objective(configuration.model)
    likelihood = LIKELIHOODS[configuration.likelihood]()
    d_A, d_P = configuration.appearance, configuration.perspective
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(configuration.seed, "weights"))
        if architecture == "vae":
            size = {size_name: configuration.widths_of_vae}
            return VAE(encoder(shape, d_A + d_P, **size), decoder(shape, d_A + d_P, **size), likelihood, d_A + d_P)
        size = {size_name: configuration.widths}
        transformation = transformation_named(configuration.transform)
        return VITAE(
            encoder(shape, d_A, **size),
            encoder(shape, d_P, **size),
            decoder(shape, d_A, **size),
            ParameterDecoder(d_P, transformation.dim),
            transformation,
            likelihood,
            {"z_A": d_A, "z_P": d_P},
            conditional=architecture == "c-vitae",
        )


@dataclass
class Data:
    """A run's training digits and its evaluation images, on its device."""

    train: object
    train_observed: object
    held_out: object
    evaluated_on: str

    @cached_property
    def fingerprint(self) -> str:
        """Names the training digits; read through once, however many runs ask."""
        return self.train.fingerprint()


# The observed training images on which the train ELBO and the predictors of the scores are computed.
_OBSERVED_TRAINING_IMAGES = 10_000
# Perspectives of the images that are evaluated: one draw for all runs, so that all rows see the same pictures.
_PERSPECTIVE_SEED = 0


def load_data(
    configuration: Configuration, root: str | Path | None, source: str, device: torch.device | str = "cpu"
) -> Data:
    """The configuration's data; training images for evaluation get one perspective each, as test images do."""
    dataset, _ = EXPERIMENTS[configuration.dataset]
    train_digits = dataset.load("train", root=root, source=source, size=configuration.train_size, device=device)
    if configuration.hold_out:
        kept = len(train_digits) - max(1, len(train_digits) // 10)
        held_out, train_digits = train_digits.rows(slice(kept, None)), train_digits.rows(slice(kept))
        evaluated_on = "held-out training images"
    else:
        held_out = dataset.load("test", root=root, source=source, size=configuration.test_size, device=device)
        evaluated_on = "test"
        if held_out.source != train_digits.source:
            raise InputError(
                f"training digits are from {train_digits.source} and test digits from {held_out.source}: choose one "
                f"with --source."
            )
    sample = train_digits.rows(slice(_OBSERVED_TRAINING_IMAGES))
    return Data(
        train_digits,
        sample.observe(_PERSPECTIVE_SEED, "train perspective"),
        held_out.observe(_PERSPECTIVE_SEED, "test perspective"),
        evaluated_on,
    )


def _what_is_trained(stated: dict) -> dict:
    """A configuration less what only evaluation uses."""
    return {name: value for name, value in stated.items() if name not in ("test_size", "samples", "overrides")}


def _fingerprint(configuration: Configuration, data: Data) -> str:
    """Names what determines the weights: the configuration less what only evaluation uses, and the data."""
    stated = _what_is_trained(configuration.as_json())
    stated["digits"] = data.fingerprint
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:16]


def weights_path(configuration: Configuration) -> Path:
    """Where the run's trained weights are kept."""
    return paths.runs(configuration.profile, configuration.dataset) / f"{configuration.run}.safetensors"


def record_path(configuration: Configuration) -> Path:
    """Where the run's record is kept."""
    return paths.records() / configuration.profile / configuration.dataset / f"{configuration.run}.json"


@dataclass(frozen=True)
class _Measured:
    """What a model gives to be scored: estimates in nats, and posterior means of training and test images."""

    estimates: dict[str, evaluate.Estimate]
    train_codes: dict[str, np.ndarray]
    test_codes: dict[str, np.ndarray]


def _measure(model: GenerativeModel, data: Data, configuration: Configuration) -> _Measured:
    train_images, test_images = data.train_observed.images, data.held_out.images
    label = f"{configuration.run} log p(x)"
    estimates = {
        "train_elbo": evaluate.elbo(model, train_images, seed=0),
        "test_elbo": evaluate.elbo(model, test_images, seed=0),
        "log_likelihood": evaluate.log_likelihood(
            model, test_images, samples=configuration.samples, seed=0, label=label
        ),
    }
    return _Measured(estimates, evaluate.codes(model, train_images), evaluate.codes(model, test_images))


def _scores(measured: _Measured, model: GenerativeModel, data: Data, configuration: Configuration) -> dict:
    """Every score of a trained model, as plain numbers; see `results` for what each is."""
    train_images, test_images = data.train_observed, data.held_out
    both = [np.concatenate(list(codes.values()), axis=1) for codes in (measured.train_codes, measured.test_codes)]
    d = d_score(both[0], train_images.factors, both[1], test_images.factors, train_images.classes)
    spaces = {name: (measured.train_codes[name], measured.test_codes[name]) for name in model.spaces}
    if len(spaces) > 1:
        spaces["all"] = tuple(both)
    return {
        **{name: dataclasses.asdict(estimate) for name, estimate in measured.estimates.items()},
        "samples": configuration.samples,
        "d_score": d.score,
        "importance": d.importance.tolist(),
        "latents": [f"{name}{i + 1}" for name, size in model.spaces.items() for i in range(size)],
        "factors": list(train_images.names),
        "predictability": {
            name: dict(
                zip(
                    train_images.names,
                    predictability(seen, train_images.factors, unseen, test_images.factors, train_images.classes),
                    strict=True,
                )
            )
            for name, (seen, unseen) in spaces.items()
        },
    }


def _difference(record: dict, configuration: Configuration, data: Data) -> str:
    """In which setting a record is not of this configuration, or that it is of other data."""
    theirs, ours = record["configuration"], configuration.as_json()
    for name in sorted(ours):
        if theirs.get(name) != ours[name]:
            return f"its {name} is {theirs.get(name)}, not {ours[name]}"
    return f"it was trained on other digits ({record['data']['source']}, now {data.train.source.kind})"


def run(configuration: Configuration, **how) -> dict:
    """Train and score one configuration; see `run_together`, which this calls with a list of one.

    Returns:
        The record, see `results`; in all processes of a run but the first, an empty one.
    """
    return next(iter(run_together([configuration], **how)), {})


def run_together(
    configurations: Iterable[Configuration],
    *,
    root: str | Path | None = None,
    source: str = "auto",
    device: str = "auto",
    restart: bool = False,
    recorded_is_done: bool = False,
    newer_than: Path | None = None,
) -> list[dict]:
    """Train and score configurations, or return their records where that is done already.

    Those that differ in no more than seed, rates and strengths are one training. What was killed continues from its
    checkpoint, a run that was trained is not trained again, and a record is written as soon as its scores are computed.

    Args:
        root: the user's data folder, see the dataset.
        source: where the data may come from, see the dataset.
        device: auto, cpu, cuda or cuda:N.
        restart: forget earlier records, weights and checkpoints.
        recorded_is_done: a run that has a record is not trained again where its weights are gone.
        newer_than: forget what is older than this file.

    Returns:
        The records in the order of the configurations, see `results`; nothing in all processes of a run but the first.

    Raises:
        InputError: among others, if a record or checkpoint of that name is of other settings or other data.
        NonFiniteLoss: runs diverged; all others were trained and scored before this is said.
    """
    where, configurations = pick_device(device), list(configurations)
    if newer_than is not None and not newer_than.exists():
        raise InputError(f"there is no file {newer_than} that results could be older than.")
    names = [configuration.run for configuration in configurations]
    if len(set(names)) < len(names):
        raise InputError(f"{next(name for name in names if names.count(name) > 1)} is asked for twice.")
    batches: dict[str, list[Configuration]] = {}
    for configuration in configurations:
        batches.setdefault(_alike(configuration), []).append(configuration)
    records, failures = {}, []
    for batch in batches.values():
        try:
            data = load_data(batch[0], root, source, where)
            if Ranks(where).rank == 0:
                if newer_than is not None:
                    _forget(batch, newer_than.stat().st_mtime)
                if restart:
                    _forget(batch)
            records |= _run_batch(batch, data, where, restart, recorded_is_done, failures)
        except InputError as error:
            if not failures:
                raise
            # What diverged before this would otherwise be told by nobody.
            raise InputError(" ".join([*failures, str(error)])) from None
    if Ranks(where).rank > 0:
        return []
    if failures:
        raise NonFiniteLoss(" ".join(failures))
    return [records[name] for name in names]


def _alike(configuration: Configuration) -> str:
    """Equal for configurations that can be one training."""
    stated = configuration.as_json()
    for name in ("seed", "overrides", "strength"):
        stated.pop(name)
    for name in ("learning_rate", "warmup", "rise"):
        stated["schedule"].pop(name)
    return json.dumps([stated, sorted(configuration.strength)], sort_keys=True)


def _checkpoint_path(configurations: Sequence[Configuration]) -> Path:
    first = weights_path(configurations[0])
    if len(configurations) == 1:
        return first.with_suffix(".checkpoint")
    names = "\n".join(sorted(configuration.run for configuration in configurations))
    digest = hashlib.blake2b(names.encode(), digest_size=4).hexdigest()
    return first.with_name(f"{configurations[0].model}-{len(configurations)}-runs-{digest}.checkpoint")


def _checkpoint_with(runs: Sequence[Run], folder: Path) -> Path | None:
    """A checkpoint of these runs and others: of a batch that was killed and is asked for in part."""
    for file in sorted(folder.glob("*.checkpoint*")):
        if {(run.name, run.fingerprint) for run in runs} <= set(_runs_in(file)):
            return file
    return None


def _runs_in(checkpoint: Path) -> list[tuple[str, str]]:
    """Names and fingerprints of the runs in a checkpoint; none if it cannot be read, or is gone by now."""
    try:
        return [(name, about["fingerprint"]) for name, about in read_stated(checkpoint).items()]
    except (FileNotFoundError, InputError, TypeError, KeyError):
        return []


def _unlink_done(folder: Path) -> None:
    """Remove checkpoints of which every run has its weights."""
    for file in folder.glob("*.checkpoint*"):
        runs = _runs_in(file)
        if runs and all(_fingerprint_of(folder / f"{name}.safetensors") == fingerprint for name, fingerprint in runs):
            file.unlink(missing_ok=True)


def _fingerprint_of(weights: Path) -> str | None:
    try:
        return read_stated(weights).get("fingerprint")
    except (FileNotFoundError, InputError):
        return None


def _run_batch(
    batch: Sequence[Configuration],
    data: Data,
    where: torch.device,
    restart: bool,
    recorded_is_done: bool,
    failures: list[str],
) -> dict[str, dict]:
    """Records of runs that can be one training, by name; what to tell of those that diverged goes to `failures`."""
    ranks = Ranks(where)
    records, untrained = {}, []
    if ranks.rank == 0:
        for configuration in batch:
            for file in (record_path(configuration), weights_path(configuration)):
                require_writable(file)
            record, trained = _recorded(configuration, data), _trained(configuration, data)
            if record and (trained or recorded_is_done):
                records[configuration.run] = record
            elif not trained:
                untrained.append(configuration)
    untrained = ranks.from_first(untrained)
    if untrained:
        failures += _train(untrained, data, where, restart)
    if ranks.rank > 0:
        return {}
    unscored = [c for c in batch if c.run not in records and _trained(c, data)]
    return records | _score_batch(unscored, data, where)


def _forget(batch: Sequence[Configuration], older_than: float = math.inf) -> None:
    """Remove records, weights and checkpoints of runs, those written before a time."""
    folder, names = weights_path(batch[0]).parent, {configuration.run for configuration in batch}
    # Of other batches too: killed in the middle, the new start would otherwise go on from them.
    checkpoints = [
        file for file in folder.glob("*.checkpoint*") if not names.isdisjoint(name for name, _ in _runs_in(file))
    ]
    checkpoint = _checkpoint_path(batch)
    files = [path(configuration) for configuration in batch for path in (record_path, weights_path)]
    for file in (*files, *checkpoints, checkpoint, previous_of(checkpoint)):
        with contextlib.suppress(FileNotFoundError):
            if file.stat().st_mtime < older_than:
                file.unlink()


def _recorded(configuration: Configuration, data: Data) -> dict | None:
    """The record of a run, if it is there.

    Raises:
        InputError: the record is of other settings or other data.
    """
    file = record_path(configuration)
    if not file.exists():
        return None
    record = results.read(file)
    if record["fingerprint"] != _fingerprint(configuration, data) or (
        record["configuration"] != configuration.as_json()
    ):
        raise InputError(
            f"{file} is of another run with this name: {_difference(record, configuration, data)}. Give the "
            f"same settings and data to read it, or --restart to replace it."
        )
    return record


def _trained(configuration: Configuration, data: Data) -> bool:
    """Whether the weights of exactly this run are there."""
    return _fingerprint_of(weights_path(configuration)) == _fingerprint(configuration, data)


def _train(configurations: Sequence[Configuration], data: Data, where: torch.device, restart: bool) -> list[str]:
    """Train runs together and write their weights; returns what to tell of those that diverged."""
    first, ranks = configurations[0], Ranks(where)
    checkpoint = _checkpoint_path(configurations)
    runs = [
        Run(
            configuration.run,
            build(configuration, data.train.shape).to(where),
            configuration.seed,
            configuration.schedule,
            configuration.strength,
            _fingerprint(configuration, data),
            weights_path(configuration).with_suffix(".log"),
        )
        for configuration in configurations
    ]
    what = first.run if len(runs) == 1 else f"{first.model}, {len(runs)} runs"
    train_together(
        runs,
        data.train,
        architecture_and_objective(first.model)[1],
        precision=first.precision,
        checkpoint=checkpoint,
        # What is started anew does not go on from an earlier batch either.
        resume=None if restart or ranks.rank > 0 else _checkpoint_with(runs, checkpoint.parent),
        label=f"{first.dataset} {first.profile} {what}",
    )
    if ranks.rank > 0:
        return []
    failures = []
    for configuration, run in zip(configurations, runs, strict=True):
        if run.progress.diverged is None:
            stated = {
                "fingerprint": run.fingerprint,
                "configuration": configuration.as_json(),
                "progress": dataclasses.asdict(run.progress),
                "together": len(runs),
            }
            write_tensors(weights_path(configuration), run.model.state_dict(), stated)
        else:
            failures.append(diverged(run, checkpoint) if len(runs) == 1 else f"{run.name}: {diverged(run, None)}")
    if not failures:
        checkpoint.unlink(missing_ok=True)
        previous_of(checkpoint).unlink(missing_ok=True)
    _unlink_done(checkpoint.parent)
    return failures


def _score_batch(configurations: Sequence[Configuration], data: Data, where: torch.device) -> dict[str, dict]:
    """Score trained runs and write their records, each as soon as it is there.

    The scores of one run's codes are computed beside the log p(x) of the next; they release the interpreter's lock.
    """
    pending: dict[str, Future] = {}
    # Here, because another thread may take the part of the cores that log p(x) gives its own for the count of all.
    environment = results.environment(where)
    with ThreadPoolExecutor(max_workers=1) as beside:
        for configuration in configurations:
            model = load_model(configuration, data.train.shape).to(where)
            started = time.monotonic()
            measured = _measure(model, data, configuration)
            spent = time.monotonic() - started
            pending[configuration.run] = beside.submit(
                _record, configuration, model, data, measured, spent, environment
            )
        return {name: record.result() for name, record in pending.items()}


def _record(
    configuration: Configuration,
    model: GenerativeModel,
    data: Data,
    measured: _Measured,
    spent: float,
    environment: dict,
) -> dict:
    """Write the record of a trained run, and return it as it is read."""
    started = time.monotonic()
    scores = _scores(measured, model, data, configuration)
    stated = _weights(weights_path(configuration))[1]
    progress = Progress(**stated["progress"])
    record = {
        "run": configuration.run,
        "configuration": configuration.as_json(),
        "fingerprint": stated["fingerprint"],
        "data": {
            "source": data.train.source.kind,
            "location": data.train.source.location,
            "train": len(data.train),
            "evaluated": len(data.held_out),
            "evaluated_on": data.evaluated_on,
        },
        "parameters": model.parameter_count(),
        "together": stated["together"],
        "seconds": {
            "train": round(progress.seconds, 1),
            "evaluate": round(spent + time.monotonic() - started, 1),
        },
        "losses": progress.losses,
        "scores": scores,
        **environment,
    }
    file = record_path(configuration)
    results.write(file, record)
    return results.read(file)


def load_model(configuration: Configuration, shape: Shape) -> GenerativeModel:
    """A finished run's trained model, on the CPU.

    Raises:
        InputError: the run was not trained yet, or its weights belong to other settings.
    """
    path = weights_path(configuration)
    tensors, stated = _weights(path)
    theirs = stated.get("configuration")
    if not isinstance(theirs, dict) or _what_is_trained(theirs) != _what_is_trained(configuration.as_json()):
        raise InputError(f"{path} holds the weights of another run: train again with --restart.")
    model = build(configuration, shape)
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        raise InputError(f"{path} holds damaged weights: train again with --restart.") from None
    return model.eval()


def _weights(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    try:
        return read_tensors(path)
    except FileNotFoundError:
        raise InputError(f"there is no {path}: train that run first.") from None
    except InputError as error:
        raise InputError(f"{error}: train again with --restart.") from None


def configuration_of(record: dict) -> Configuration:
    """The configuration that a record states."""
    stated = dict(record["configuration"])
    try:
        for name in ("widths", "widths_of_vae"):
            stated[name] = tuple(stated[name])
        return Configuration(**{**stated, "schedule": Schedule(**stated["schedule"])})
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(f"the record of {record['run']} has settings of another version ({error}).") from None


def rescore(
    record: dict,
    *,
    samples: int | None = None,
    root: str | Path | None = None,
    source: str = "auto",
    device: str = "auto",
) -> dict:
    """A finished run's record with its scores computed again, from its weights and on the data it was trained on.

    Args:
        samples: K of the importance-weighted log p(x); None for the record's own.

    Raises:
        InputError: the weights are gone or of another run, or the data is not the record's.
    """
    where = pick_device(device)
    configuration = configuration_of(record)
    data = load_data(configuration, root, source, where)
    if record["fingerprint"] != _fingerprint(configuration, data):
        raise InputError(
            f"{record['run']} was trained on {record['data']['source']} data and this is not the same "
            f"({data.train.source}): name its data with --data-root or --source."
        )
    if samples is not None:
        configuration = dataclasses.replace(configuration, samples=samples)
    model = load_model(configuration, data.train.shape).to(where)
    started = time.monotonic()
    scores = _scores(_measure(model, data, configuration), model, data, configuration)
    seconds = {**record["seconds"], "evaluate": round(time.monotonic() - started, 1)}
    return {**record, "scores": scores, "seconds": seconds, **results.environment(where)}

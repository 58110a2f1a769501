"""Every experiment, declared: dataset x row x profile x seed. `runs` is where they are run.

A row of a table is an architecture and an objective. The six rows of the poster have names; any other pair is written
`architecture+objective`, for instance `c-vitae+beta-tc`.
"""

import dataclasses
import itertools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from vitae import paths
from vitae.compute import PRECISIONS
from vitae.data import MNIST, Dataset, load
from vitae.errors import InputError, require_known, require_number
from vitae.likelihoods import Bernoulli, GaussianPixels
from vitae.models import VAE, VITAE, DeVAE, DiD, FactorVAE
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
from vitae.randomness import stream
from vitae.schedule import Schedule
from vitae.transforms import Transformation, transformation_named

PROFILES = ("smoke", "quick", "full")
# The transformations that the book compares in C-VITAE on MNIST, and over how many seeds.
COMPARED_TRANSFORMS = ("affine", "cpab", "affine+cpab")
COMPARED_SEEDS = {"smoke": 1, "quick": 1, "full": 3}

# Values in common use on other data, not tuned for MNIST; the poster gives none.
STRENGTHS: dict[str, dict[str, float]] = {
    "elbo": {},
    "beta": {"beta": 4.0},
    "beta-tc": {"beta": 6.0},
    "dip-ii": {"strength": 10.0},
    "capacity": {"gamma": 100.0, "capacity": 25.0},
    "factor": {"gamma": 35.0},
    "decremental": {"beta_1": 1.0, "beta_2": 10.0, "beta_3": 40.0},
    "decremental-2": {"beta_1": 1.0, "beta_2": 40.0},
    "difference": {"difference": 1.0, "independence": 0.0},
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

# The rows of the sister systems' table that the poster's has not.
SISTERS = {
    "capacity-vae": ("β-VAE, capacity", "vae", "capacity"),
    "factor-vae": ("FactorVAE", "factor-vae", "factor"),
    "devae": ("DeVAE [1, 10, 40]", "devae", "decremental"),
    "devae-2": ("DeVAE [1, 40]", "devae", "decremental-2"),
    "did": ("DiD", "did", "difference"),
}
_NAMED = ROWS | SISTERS

NETWORKS = {
    "mlp": (MLPEncoder, MLPDecoder, "hidden"),
    "mlp-separate": (SeparateMLPEncoder, MLPDecoder, "hidden"),
    "conv": (ConvEncoder, ConvDecoder, "channels"),
}
PERSPECTIVE_DECODERS = ("generators", "generators+hidden", "linear", "hidden")
LIKELIHOODS = {"bernoulli": Bernoulli, "gaussian": GaussianPixels}


# Numbers that tell DeVAE's decoder which space a code is of, and in which DiD embeds a difference.
_EMBEDDING, _DIFFERENCES = 8, 16

# A code larger than any image of the book is a slip of the keyboard.
_MOST_LATENTS = 10_000


def _generators(transform: str) -> Tensor:
    return transformation_named(transform).generators


def choose_profile(name: str = "") -> str:
    """A profile's name, by default `$VITAE_PROFILE`, else quick."""
    return require_known("profile", name or os.environ.get("VITAE_PROFILE") or "quick", PROFILES)


def architecture_and_objective(model: str) -> tuple[str, str]:
    """What a name stands for: a row's, or `architecture+objective`."""
    model = str(model)
    if "+" not in model:
        return _NAMED[require_known("model", model, _NAMED)][1:]
    architecture, objective = model.split("+", 1)
    require_known("architecture", architecture, ARCHITECTURES)
    require_known("objective", objective, STRENGTHS)
    own = ARCHITECTURES[architecture].objectives
    if (own or objective in _OWNED) and objective not in own:
        fitting = own or tuple(name for name in STRENGTHS if name not in _OWNED)
        raise InputError(f"{architecture} cannot be trained by {objective}: choose one of {', '.join(fitting)}.")
    return architecture, objective


def printed_name(model: str) -> str:
    """A row's name as it stands in tables and figures."""
    return _NAMED[model][0] if model in _NAMED else model


@dataclass(frozen=True)
class Configuration:
    """One run, fully stated: with the data and the seed it determines every number of the result.

    Attributes:
        model: a row's name, see `ROWS`.
        strength: the objective's own numbers, see `STRENGTHS`.
        appearance: dimension of z_A; a model with one space gets the sum of both.
        perspective: dimension of z_P.
        transform: the transformation's name, see `transforms.named`; models with one space have none.
        network: `mlp`, `mlp-separate` with a network for the mean and one for the variance, or `conv`.
        widths: of the encoder's layers, or their channels.
        widths_of_vae: the same for models with one space, wider so that all rows have as many parameters.
        train_size: images to train on, the first so many; None for all there are.
        test_size: the same to test on.
        samples: K of the importance-weighted log p(x).
        hold_out: keep the last tenth of the training images, train on the others, and evaluate on the kept ones
            instead of the test images: the mode to tune in.
        precision: of matrix products in training, see `compute.precision`.
        perspective_decoder: `generators`, one linear map whose latents start as the transformation's motions with a
            name; `generators+hidden`, the same and a hidden layer that bends them; `linear`, a map that starts at
            random; or `hidden`, a hidden layer that does, which a transformation without such motions gets.
        start: how far from the identity the transformation begins, see `nets.ParameterDecoder`.
        limit: how far each of its parameters may go, see there.
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
    perspective: int = 4
    transform: str = "affine"
    network: str = "mlp"
    widths: tuple[int, ...] = (512, 256)
    widths_of_vae: tuple[int, ...] = (704, 352)
    likelihood: str = "bernoulli"
    strength: dict[str, float] = field(default_factory=dict)
    hold_out: bool = False
    precision: str = "float32"
    perspective_decoder: str = "generators"
    start: float = 0.1
    limit: float | None = None
    overrides: dict[str, float] = field(default_factory=dict)

    def __post_init__(self):
        require_number("seed", self.seed, 0, whole=True)
        require_number("samples", self.samples, 1, whole=True)
        for name in ("train_size", "test_size"):
            if getattr(self, name) is not None:
                require_number(name, getattr(self, name), 2, whole=True)
        require_number("start", self.start, 0)
        if self.limit is not None:
            require_number("limit", self.limit, 1e-6)
        for name in ("appearance", "perspective"):
            require_number(name, getattr(self, name), 1, whole=True)
            if getattr(self, name) > _MOST_LATENTS:
                raise InputError(f"{name} must be at most {_MOST_LATENTS:,}, got {getattr(self, name):,}.")
        for name, value in self.strength.items():
            require_number(name, value, 0)
        betas = [value for name, value in sorted(self.strength.items()) if name.startswith("beta_")]
        if any(first >= second for first, second in itertools.pairwise(betas)):
            raise InputError(
                f"DeVAE's betas must increase from space to space, got {', '.join(f'{b:g}' for b in betas)}."
            )
        if not isinstance(self.hold_out, bool):
            raise InputError(f"hold_out must be True or False, got {self.hold_out!r}.")
        require_known("dataset", self.dataset, EXPERIMENTS)
        require_known("network", self.network, NETWORKS)
        require_known("likelihood", self.likelihood, LIKELIHOODS)
        require_known("precision", self.precision, PRECISIONS)
        require_known("perspective_decoder", self.perspective_decoder, PERSPECTIVE_DECODERS)
        architecture_and_objective(self.model)
        # Also where it is not needed: this refuses the name of a transformation that is none.
        generators = _generators(self.transform)
        if self.perspective_decoder.startswith("generators") and not len(generators):
            raise InputError(
                f"{self.transform} has no generators for latents to start as: choose another perspective_decoder than "
                f"{self.perspective_decoder}, for instance hidden."
            )

    @property
    def run(self) -> str:
        """Name of the run, made of its row, its seed and what was changed from the profile."""
        changes = "".join(f"-{name}={value}" for name, value in sorted(self.overrides.items()))
        return f"{self.model}-seed{self.seed}{changes}"

    def as_json(self) -> dict:
        """Plain values, as they stand in a record."""
        # Numbers of numpy are numbers too.
        return json.loads(json.dumps(dataclasses.asdict(self), default=lambda number: number.item()))


@dataclass(frozen=True)
class Experiment:
    """A dataset's part of the table: how it is loaded for training, and what its runs get.

    Attributes:
        title: what it is called in tables and figures.
        load: gives the images of a split, with root, source, size and device by name, as `Dataset` or as `MNIST`, which
            makes them anew in every epoch.
        settings: of `Configuration`, the same in all profiles. Tuned on held-out training images only; the book's page
            on tuning says what was.
        profiles: profile -> further settings.
        seeds: profile -> how many seeds its table has.
        models: the rows of its table.
        sisters: the rows of its table beside the sister systems.
        schedules: architecture -> what its training has unlike the others'.
        scores: what is computed beside the scores that all datasets have, see `scoring.EXTRA`.
    """

    title: str
    load: Callable
    settings: dict
    profiles: dict[str, dict]
    seeds: dict[str, int]
    models: tuple[str, ...] = tuple(ROWS)
    sisters: tuple[str, ...] = ()
    schedules: dict[str, dict[str, float]] = field(default_factory=dict)
    scores: tuple[str, ...] = ()


def _digits(split: str, **how) -> MNIST:
    return MNIST.load(split, **how)


def _loader(name: str, resolution: tuple[int, int] | None = None) -> Callable:
    def load_part(split: str, *, root, source, size, device) -> Dataset:
        return load(name, split, root, source, size, resolution=resolution).to(device)

    return load_part


_FACES = {
    "settings": {
        "appearance": 12,
        "perspective": 4,
        "network": "conv",
        "widths": (16, 32, 64),
        "widths_of_vae": (20, 40, 92),
        "likelihood": "gaussian",
    },
    "models": ("vae", "c-vitae"),
    "scores": ("separability", "effects", "round trip"),
}
EXPERIMENTS = {
    "mnist": Experiment(
        "MNIST",
        _digits,
        {},
        {
            "smoke": {"schedule": Schedule(2, batch=64), "train_size": 400, "test_size": 200, "samples": 16},
            "quick": {"schedule": Schedule(25), "train_size": 4_000, "test_size": 1_000, "samples": 100},
            "full": {"schedule": Schedule(25), "train_size": 60_000, "test_size": 10_000, "samples": 100},
        },
        seeds={"smoke": 1, "quick": 1, "full": 5},
        scores=("round trip",),
    ),
    "dsprites": Experiment(
        "dSprites",
        _loader("dsprites"),
        {
            "appearance": 5,
            "perspective": 5,
            "perspective_decoder": "generators+hidden",
            "start": 0.3,
            "widths": (256, 128),
            "widths_of_vae": (376, 188),
        },
        {
            "smoke": {"schedule": Schedule(2, batch=64), "train_size": 400, "test_size": 200, "samples": 8},
            "quick": {"schedule": Schedule(12), "train_size": 4_000, "test_size": 1_000, "samples": 20},
            "full": {"schedule": Schedule(1), "train_size": 663_552, "test_size": 10_000, "samples": 100},
        },
        seeds={"smoke": 1, "quick": 1, "full": 5},
        sisters=("vae", "beta-vae", "beta-tcvae", *SISTERS, "c-vitae"),
        schedules={"did": {"learning_rate": 3e-4, "batch": 64}},
        scores=("dci", "other scores", "round trip"),
    ),
    "smpl": Experiment(
        "Bodies",
        _loader("smpl"),
        {
            "appearance": 2,
            "perspective": 2,
            "transform": "cpab-4x4",
            "perspective_decoder": "hidden",
            "limit": 0.2,
            "widths": (256, 128),
            "widths_of_vae": (376, 188),
        },
        {
            "smoke": {"schedule": Schedule(2, batch=64), "train_size": 400, "test_size": 200, "samples": 8},
            "quick": {"schedule": Schedule(12, batch=128), "train_size": 2_000, "test_size": 500, "samples": 20},
            "full": {"schedule": Schedule(12, batch=128), "train_size": 8_000, "test_size": 2_000, "samples": 50},
        },
        seeds={"smoke": 1, "quick": 1, "full": 5},
        scores=("round trip",),
    ),
    "celeba": Experiment(
        "Faces",
        _loader("celeba"),
        profiles={
            "smoke": {"schedule": Schedule(2, batch=32), "train_size": 128, "test_size": 64, "samples": 4},
            # In large batches a thousand faces are too few steps: the perspective zooms into a corner and stays there.
            "quick": {
                "schedule": Schedule(10, batch=16, learning_rate=1e-3),
                "train_size": 1_000,
                "test_size": 300,
                "samples": 10,
            },
            "full": {"schedule": Schedule(12, batch=64), "train_size": None, "test_size": None, "samples": 50},
        },
        seeds={"smoke": 1, "quick": 1, "full": 3},
        **_FACES,
    ),
    "shapes3d": Experiment(
        "3D Shapes",
        _loader("shapes3d"),
        {
            "appearance": 5,
            "perspective": 5,
            "network": "conv",
            "widths": (12, 24, 48),
            "widths_of_vae": (16, 32, 64),
        },
        {
            "smoke": {"schedule": Schedule(2, batch=32), "train_size": 200, "test_size": 100, "samples": 4},
            "quick": {"schedule": Schedule(2, batch=64), "train_size": 2_000, "test_size": 500, "samples": 5},
            "full": {"schedule": Schedule(3, batch=128), "train_size": 60_000, "test_size": 10_000, "samples": 10},
        },
        seeds={"smoke": 1, "quick": 1, "full": 3},
        models=(),
        sisters=("beta-vae", "beta-tcvae", *SISTERS),
        schedules={"did": {"learning_rate": 1e-3, "batch": 32}},
        scores=("dci", "other scores"),
    ),
    "folder": Experiment(
        "Own images",
        _loader("folder", (64, 64)),
        profiles={
            "smoke": {"schedule": Schedule(2, batch=16), "train_size": None, "test_size": None, "samples": 4},
            "quick": {"schedule": Schedule(30, batch=64), "train_size": None, "test_size": None, "samples": 10},
            "full": {"schedule": Schedule(60, batch=64), "train_size": None, "test_size": None, "samples": 100},
        },
        seeds={"smoke": 1, "quick": 1, "full": 3},
        **_FACES,
    ),
}

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
    "perspective_decoder",
    "start",
    "limit",
)
_STRENGTH_SETTINGS = tuple(dict.fromkeys(name for strength in STRENGTHS.values() for name in strength))
SETTINGS = _SCHEDULE_SETTINGS + _OWN_SETTINGS + _STRENGTH_SETTINGS


def configure(dataset: str, model: str, profile: str = "quick", seed: int = 0, **changes) -> Configuration:
    """The configuration of one run, with changes from the profile's settings.

    Args:
        changes: any of `SETTINGS`; those that are None or equal to the profile's are no change.

    Raises:
        InputError: an unknown name, or a value that makes no sense.
    """
    require_known("dataset", dataset, EXPERIMENTS)
    require_known("profile", profile, PROFILES)
    architecture, objective = architecture_and_objective(model)
    settings = EXPERIMENTS[dataset].settings | EXPERIMENTS[dataset].profiles[profile]
    schedule = dataclasses.replace(settings.pop("schedule"), **EXPERIMENTS[dataset].schedules.get(architecture, {}))
    base = Configuration(dataset, model, profile, seed, schedule, strength=dict(STRENGTHS[objective]), **settings)

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
        if (
            name in ("transform", "perspective_decoder")
            and value not in (None, current)
            and not ARCHITECTURES[architecture].transforms
        ):
            raise InputError(f"the architecture of {model} has one latent space and no transformation.")
        if value is not None and value != current:
            place[name] = overrides[name] = value
    if changes.get("perspective_decoder") is None and "transform" in own and not len(_generators(own["transform"])):
        own["perspective_decoder"] = "hidden"
    return dataclasses.replace(
        base, schedule=dataclasses.replace(base.schedule, **schedule), strength=strength, overrides=overrides, **own
    )


def build(configuration: Configuration, shape: Shape) -> GenerativeModel:
    """The configuration's model with its initial weights, on the CPU."""
    architecture, _ = architecture_and_objective(configuration.model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(configuration.seed, "weights"))
        return ARCHITECTURES[architecture].build(configuration, shape)


def _parts(configuration: Configuration, shape: Shape, decoder_also_gets: int = 0) -> dict:
    """What every model with one latent space is made of, by the names of its arguments."""
    encoder, decoder, size_name = NETWORKS[configuration.network]
    size = {size_name: configuration.widths_of_vae}
    latents = configuration.appearance + configuration.perspective
    return {
        "encoder": encoder(shape, latents, **size),
        "decoder": decoder(shape, latents + decoder_also_gets, **size),
        "likelihood": LIKELIHOODS[configuration.likelihood](),
        "latents": latents,
    }


def _vae(configuration: Configuration, shape: Shape, kind: type[VAE] = VAE) -> GenerativeModel:
    return kind(**_parts(configuration, shape))


def _devae(configuration: Configuration, shape: Shape) -> GenerativeModel:
    parts = _parts(configuration, shape, decoder_also_gets=_EMBEDDING)
    return DeVAE(**parts, stages=len(configuration.strength), embedding=_EMBEDDING)


def _did(configuration: Configuration, shape: Shape) -> GenerativeModel:
    channels, height, width = shape
    return DiD(
        **_parts(configuration, shape),
        critic=_reader(configuration, shape, 1),
        difference=_reader(configuration, (2 * channels, height, width), _DIFFERENCES),
    )


def _reader(configuration: Configuration, shape: Shape, numbers: int) -> nn.Module:
    """A network like the encoder, from images to so many numbers."""
    encoder, _, size_name = NETWORKS[configuration.network]
    like = encoder(shape, numbers, **{size_name: configuration.widths_of_vae})
    return nn.Sequential(like.trunk, nn.Linear(like.head.in_features, numbers))


def _vitae(configuration: Configuration, shape: Shape, conditional: bool) -> GenerativeModel:
    encoder, decoder, size_name = NETWORKS[configuration.network]
    likelihood = LIKELIHOODS[configuration.likelihood]()
    d_A, d_P = configuration.appearance, configuration.perspective
    size = {size_name: configuration.widths}
    transformation = transformation_named(configuration.transform)
    return VITAE(
        encoder(shape, d_A, **size),
        encoder(shape, d_P, **size),
        decoder(shape, d_A, **size),
        _perspective_decoder(configuration, transformation),
        transformation,
        likelihood,
        {"z_A": d_A, "z_P": d_P},
        conditional=conditional,
    )


def _perspective_decoder(configuration: Configuration, transformation: Transformation) -> ParameterDecoder:
    how = {"start": configuration.start, "limit": configuration.limit}
    starts, _, bent = configuration.perspective_decoder.partition("+")
    if starts == "generators":
        how["generators"] = transformation.generators
    if starts != "hidden" and not bent:
        how["hidden"] = ()
    return ParameterDecoder(configuration.perspective, transformation.dim, **how)


@dataclass(frozen=True)
class Architecture:
    """How a model is made, and what belongs to it.

    Attributes:
        build: from a configuration and the images' shape.
        objectives: the only ones that it can be trained by, which no other can; none for those of all.
        transforms: whether it has a second latent space, of a transformation.
    """

    build: Callable[[Configuration, Shape], GenerativeModel]
    objectives: tuple[str, ...] = ()
    transforms: bool = False


ARCHITECTURES = {
    "vae": Architecture(_vae),
    "u-vitae": Architecture(partial(_vitae, conditional=False), transforms=True),
    "c-vitae": Architecture(partial(_vitae, conditional=True), transforms=True),
    "factor-vae": Architecture(partial(_vae, kind=FactorVAE), ("factor",)),
    "devae": Architecture(_devae, ("decremental", "decremental-2")),
    "did": Architecture(_did, ("difference",)),
}
_OWNED = {objective for architecture in ARCHITECTURES.values() for objective in architecture.objectives}


def configuration_of(record: dict) -> Configuration:
    """The configuration that a record states."""
    stated = dict(record["configuration"])
    try:
        for name in ("widths", "widths_of_vae"):
            stated[name] = tuple(stated[name])
        return Configuration(**{**stated, "schedule": Schedule(**stated["schedule"])})
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(f"the record of {record['run']} has settings of another version ({error}).") from None


def weights_path(configuration: Configuration) -> Path:
    """Where the run's trained weights are kept."""
    return paths.runs(configuration.profile, configuration.dataset) / f"{configuration.run}.safetensors"


def record_path(configuration: Configuration) -> Path:
    """Where the run's record is kept."""
    return paths.records() / configuration.profile / configuration.dataset / f"{configuration.run}.json"

"""One run, fully stated: dataset, model, profile, seed and every setting.

A model is the name of a row, or `architecture+objective`, for instance `u-vitae+beta-tc`.
"""

import dataclasses
import itertools
import json
import typing
from dataclasses import dataclass, field
from pathlib import Path

from vitae.data.collection import MAX_IMAGES
from vitae.experiments.declaration import EXPERIMENTS, PROFILES, ROWS
from vitae.models.architectures import (
    ARCHITECTURES,
    ModelSettings,
    generators_of,
    require_trainable,
    require_valid_settings,
    settings_of_others,
)
from vitae.models.objectives import OBJECTIVES
from vitae.support import paths
from vitae.support.devices import PRECISIONS
from vitae.support.errors import InputError, require_known, require_number
from vitae.support.schema import misfit, schema_of
from vitae.support.settings import setting
from vitae.training.schedule import Schedule

# More latents than this are a typing error.
_MOST_LATENTS = 10_000
# A thousand times the usual number: each draw decodes every image once more.
_MOST_SAMPLES = 100_000

# In the name of a run, what precedes the hash of its images; only where another run had the name before.
OF_IMAGES = "-images="


def architecture_and_objective(model: str) -> tuple[str, str]:
    """What a model's name stands for.

    Raises:
        InputError: an unknown name, or an objective that cannot train the architecture.
    """
    model = str(model)
    if "+" in model:
        architecture, objective = model.split("+", 1)
    else:
        row = ROWS.named(model)
        architecture, objective = row.architecture, row.objective
    ARCHITECTURES.named(architecture)
    require_trainable(architecture, objective)
    return architecture, objective


@dataclass(frozen=True, kw_only=True)
class Configuration(ModelSettings):
    """One run, fully stated: together with the data, it determines every number of the result.

    The fields with a help text, and those of `Schedule`, can be changed on the command line and in `configure`.

    Attributes:
        dataset: the experiment's name.
        model: a row's name, or `architecture+objective`.
        profile: smoke, quick or full.
        seed: of weights, order, perspectives and noise.
        schedule: how long and how fast to train.
        train_size: number of training images, the first ones; None for all.
        test_size: number of test images, the first ones; None for all.
        samples: K, the number of samples of the importance-weighted log p(x).
        validation: train on the first nine tenths of the training images and evaluate on the rest instead of on test
            images. Settings are tuned in this mode.
        precision: of matrix products in training, see `vitae.support.devices.precision`.
        overrides: the settings that differ from the profile's, by name.
        images: the first digits of the hash of its images, if the run has them in its name, see `for_images` in
            `vitae.experiments.resume`. A part of the name, not a setting.
    """

    dataset: str
    model: str
    profile: str
    seed: int
    schedule: Schedule
    train_size: int | None = setting("number of training images, the first ones", None)
    test_size: int | None = setting("number of test images, the first ones", None)
    samples: int = setting("K, samples of the importance-weighted log p(x)", 100)
    validation: bool = setting(
        "train on nine tenths of the training images and evaluate on the rest: the mode to tune in", False
    )
    precision: str = setting("of matrix products in training", "float32", lambda: PRECISIONS)
    overrides: dict[str, typing.Any] = field(default_factory=dict)
    images: str = ""

    def __post_init__(self):
        require_known("dataset", self.dataset, EXPERIMENTS)
        require_known("profile", self.profile, PROFILES)
        architecture_and_objective(self.model)
        require_number("seed", self.seed, 0, whole=True)
        require_number("samples", self.samples, 1, whole=True, largest=_MOST_SAMPLES)
        for name in ("train_size", "test_size"):
            if getattr(self, name) is not None:
                require_number(name, getattr(self, name), 2, whole=True, largest=MAX_IMAGES)
        require_number("gamma_scale", self.gamma_scale, 0)
        if self.gamma_limit is not None:
            require_number("gamma_limit", self.gamma_limit, 1e-6)
        for name, smallest in (("appearance", 1), ("perspective", 1), ("templates", 1), ("template_latents", 0)):
            require_number(name, getattr(self, name), smallest, whole=True, largest=_MOST_LATENTS)
        for name, value in self.strengths.items():
            require_number(name, value, 0)
        betas = [value for name, value in sorted(self.strengths.items()) if name.startswith("beta_")]
        if any(first >= second for first, second in itertools.pairwise(betas)):
            raise InputError(
                f"DeVAE's betas must increase from stage to stage, got {', '.join(f'{b:g}' for b in betas)}."
            )
        for name in ("validation", "shared_perspective"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be True or False, got {getattr(self, name)!r}.")
        require_known("precision", self.precision, PRECISIONS)
        require_valid_settings(self)

    @property
    def run(self) -> str:
        """Name of the run: its model, its seed, what differs from the profile, and its images where it names them."""
        changes = "".join(f"-{name}={value}" for name, value in sorted(self.overrides.items()))
        return f"{self.model}-seed{self.seed}{changes}" + (f"{OF_IMAGES}{self.images}" if self.images else "")

    def as_json(self) -> dict:
        """Plain values, as they stand in a record, without the settings of other architectures."""
        architecture, _ = architecture_and_objective(self.model)
        others = settings_of_others(architecture)
        left_out = {*others, "images"}
        stated = {name: value for name, value in dataclasses.asdict(self).items() if name not in left_out}
        # numpy's numbers become Python's.
        return json.loads(json.dumps(stated, default=lambda number: number.item()))


@dataclass(frozen=True)
class Setting:
    """A number or name that can be changed from the profile's own, as `configure` and the command line know it.

    Attributes:
        name: as in Python; the command line writes - for _.
        kind: int, float, str or bool.
        help: what it is.
        choices: the allowed values, empty where any is.
        place: where it belongs: `schedule`, `model` (the configuration's own field) or `strength` (of an objective).
    """

    name: str
    kind: type
    help: str
    choices: tuple[str, ...]
    place: str


def settings() -> dict[str, Setting]:
    """Every setting by name, those of registered objectives included."""
    found = {}
    for owner, place in ((Schedule, "schedule"), (Configuration, "model")):
        hints = typing.get_type_hints(owner)
        for each in dataclasses.fields(owner):
            if "help" in each.metadata:
                kinds = typing.get_args(hints[each.name]) or (hints[each.name],)
                choices = tuple((each.metadata.get("choices") or tuple)())
                found[each.name] = Setting(each.name, kinds[0], each.metadata["help"], choices, place)
    texts: dict[str, list[str]] = {}
    for objective, declared in OBJECTIVES.items():
        for name, text in declared.help.items():
            if text:
                texts.setdefault(name, []).append(f"{text} ({objective})")
    for name in dict.fromkeys(name for declared in OBJECTIVES.values() for name in declared.strengths):
        if name in found:
            raise InputError(f"an objective names a strength '{name}', which is a setting already: rename it.")
        found[name] = Setting(name, float, "; ".join(texts.get(name, ["a strength of an objective"])), (), "strength")
    return found


def configure(dataset: str, model: str, profile: str = "quick", seed: int = 0, **changes) -> Configuration:
    """The configuration of one run, with changes from the profile's settings.

    Args:
        changes: any of `settings()`; a value of None, or the profile's own, changes nothing.

    Raises:
        InputError: an unknown name, or a value that is out of range.
    """
    experiment = EXPERIMENTS[require_known("dataset", dataset, EXPERIMENTS)]
    require_known("profile", profile, PROFILES)
    architecture, objective = architecture_and_objective(model)
    declared = {**experiment.settings, **experiment.profiles[profile], **experiment.row_settings.get(model, {})}
    for name in ("widths", "vae_widths"):
        if name in declared:
            declared[name] = tuple(declared[name])
    steps = {**declared.pop("schedule"), **experiment.schedules.get(architecture, {})}
    for owner, names in ((Schedule, steps), (Configuration, declared)):
        known = [each.name for each in dataclasses.fields(owner)]
        for name in names:
            require_known(f"setting in the declaration of {dataset},", name, known)
    if "epochs" not in steps:
        raise InputError(f"the declaration of {dataset} lacks epochs in the schedule of profile {profile}.")
    schedule = Schedule(**steps)
    strengths = dict(OBJECTIVES[objective].strengths)
    for name, value in experiment.strengths.get(model, {}).items():
        require_known(f"strength of {model} in the declaration of {dataset},", name, strengths)
        strengths[name] = value
    base = Configuration(
        dataset=dataset, model=model, profile=profile, seed=seed, schedule=schedule, strengths=strengths, **declared
    )

    known, changed, overrides = settings(), {"schedule": {}, "model": {}, "strength": {}}, {}
    for name, value in changes.items():
        require_known("setting", name, known)
        place = known[name].place
        if place == "strength" and name not in strengths:
            if value is None:
                continue
            raise InputError(f"the objective of {model} has no {name}: it belongs to another objective.")
        current = strengths[name] if place == "strength" else getattr(schedule if place == "schedule" else base, name)
        if known[name].kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if value is None or value == current:
            continue
        if name in (others := settings_of_others(architecture)):
            raise InputError(f"the architecture of {model} has no {name}: it belongs to {others[name]}.")
        if name in ("transform", "perspective_decoder") and not ARCHITECTURES[architecture].transforms:
            raise InputError(f"the architecture of {model} has one latent space and no transformation.")
        changed[place][name] = overrides[name] = value
    own = changed["model"]
    if changes.get("perspective_decoder") is None and "transform" in own and not len(generators_of(own["transform"])):
        own["perspective_decoder"] = "hidden"
    return dataclasses.replace(
        base,
        schedule=dataclasses.replace(schedule, **changed["schedule"]),
        strengths={**strengths, **changed["strength"]},
        overrides=overrides,
        **own,
    )


def configuration_of(record: dict) -> Configuration:
    """The configuration that a record states.

    Raises:
        InputError: the record has settings of another version of vitae.
    """
    stated = record["configuration"]
    if wrong := misfit(stated, schema_of(Configuration), "configuration"):
        raise InputError(f"what states the settings of {record['run']} {wrong}: train it again.")
    stated = dict(stated)
    try:
        for name in ("widths", "vae_widths"):
            stated[name] = tuple(stated[name])
        _, _, images = record["run"].rpartition(OF_IMAGES) if OF_IMAGES in record["run"] else ("", "", "")
        return Configuration(**{**stated, "schedule": Schedule(**stated["schedule"]), "images": images})
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(f"the record of {record['run']} has settings of another version ({error}).") from None


def weights_path(configuration: Configuration) -> Path:
    """Where the run's trained weights are kept."""
    return paths.runs(configuration.profile, configuration.dataset) / f"{configuration.run}.safetensors"


def record_path(configuration: Configuration) -> Path:
    """Where the run's record is kept."""
    return paths.records() / configuration.profile / configuration.dataset / f"{configuration.run}.json"

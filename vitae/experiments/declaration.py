"""The experiments and the rows of their tables, read from the TOML files beside this module.

Imports nothing but the standard library and `vitae.support`, so that the Snakefile can read the same declarations in
milliseconds. `register_experiment` adds an experiment from outside the package.
"""

import inspect
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import get_origin, get_type_hints

from vitae.support.errors import InputError, require_known
from vitae.support.registry import Registry

PROFILES = ("smoke", "quick", "full")
# More seeds of a row than this are a typing error.
MOST_RUNS = 1_000


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        title: as it is printed.
        architecture: see `vitae.models.architectures`.
        objective: see `vitae.models.objectives`.
    """

    title: str
    architecture: str
    objective: str


@dataclass(frozen=True)
class Variant:
    """Rows trained once more with something changed, for a chapter that compares the two.

    Attributes:
        rows: names of rows.
        changes: settings that differ from the profile's own.
        seeds: profile -> how many seeds; a profile that is not named has none.
    """

    rows: tuple[str, ...]
    changes: dict
    seeds: dict[str, int]


@dataclass(frozen=True)
class Experiment:
    """What is trained on a dataset, and with which settings.

    Attributes:
        title: what the dataset is called in tables and figures.
        rows: names of the rows of its table.
        seeds: profile -> how many seeds the table has.
        profiles: profile -> settings of that profile, `schedule` among them.
        settings: settings that all profiles share, see `vitae.experiments.configuration.Configuration`.
        dataset: the dataset to load; the experiment's own name if it is not given.
        resolution: height and width of its images, where that is not the dataset's own.
        scores: names of registered scores that are computed beside those of every experiment.
        columns: names of the numbers in its table; by default the likelihoods and `poster_d_score`.
        poster_d_score: the score of the record that stands beside the poster's D_score.
        schedules: architecture -> parts of the schedule that differ for it.
        row_settings: row -> settings that differ for it, in all profiles.
        strengths: row -> strengths of its objective that differ from the defaults.
        sisters: rows of the table beside the sister systems DeVAE and DiD.
        sister_seeds: profile -> how many seeds that table has.
        variants: further runs with something changed.
        pipeline: whether the pipeline trains its rows; not where the data is the user's alone.
    """

    title: str
    rows: tuple[str, ...]
    seeds: dict[str, int]
    profiles: dict[str, dict]
    settings: dict = field(default_factory=dict)
    dataset: str = ""
    resolution: tuple[int, int] | None = None
    scores: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    poster_d_score: str = "d_score"
    schedules: dict[str, dict] = field(default_factory=dict)
    row_settings: dict[str, dict] = field(default_factory=dict)
    strengths: dict[str, dict[str, float]] = field(default_factory=dict)
    sisters: tuple[str, ...] = ()
    sister_seeds: dict[str, int] = field(default_factory=dict)
    variants: tuple[Variant, ...] = ()
    pipeline: bool = True


@dataclass(frozen=True)
class Group:
    """Runs that the declarations ask for together.

    Attributes:
        part: "" for the rows of the experiment's table, else "variants" or "sisters".
        rows: names of rows.
        changes: settings that differ from the profile's own.
        seeds: how many, from 0.
    """

    part: str
    rows: tuple[str, ...]
    changes: dict
    seeds: int


@dataclass(frozen=True)
class Planned:
    """One run that the declarations ask for.

    Attributes:
        dataset: name of the experiment.
        row: name of the row.
        seed: from 0.
        changes: settings that differ from the profile's own.
    """

    dataset: str
    row: str
    seed: int
    changes: dict

    @property
    def name(self) -> str:
        """The name of the run, as `vitae.experiments.configuration.Configuration.run` has it."""
        return f"{self.row}-seed{self.seed}" + "".join(f"-{k}={v}" for k, v in sorted(self.changes.items()))


def planned_groups(dataset: str, profile: str) -> list[Group]:
    """What an experiment trains: its table's rows, its variants, and rows that only the sister systems' table has."""
    experiment = EXPERIMENTS.named(dataset)
    sisters = tuple(row for row in experiment.sisters if row not in experiment.rows)
    groups = [Group("", experiment.rows, {}, experiment.seeds[profile])]
    groups += [Group("variants", each.rows, each.changes, each.seeds.get(profile, 0)) for each in experiment.variants]
    groups += [Group("sisters", sisters, {}, experiment.sister_seeds.get(profile, 0))]
    return [group for group in groups if group.rows]


def planned_runs(dataset: str, profile: str) -> list[Planned]:
    """The same, run by run."""
    return [
        Planned(dataset, row, seed, group.changes)
        for group in planned_groups(dataset, profile)
        for row in group.rows
        for seed in range(group.seeds)
    ]


# What TOML gives for each type of a field.
_HINTS = get_type_hints(Experiment)
_KINDS = {str: (str,), bool: (bool,), dict: (dict,), tuple: (list, tuple)}
_WORDS = {str: "text", bool: "true or false", dict: "a table", list: "a list"}

EXPERIMENTS: Registry[Experiment] = Registry("experiment")
ROWS: Registry[Row] = Registry("model")
_FOLDER = Path(__file__).parent


def register_row(name: str, row: Row, *, module: str) -> None:
    """Add a row, which `vitae train DATASET --model NAME` then trains."""
    ROWS.add(name, row, module=module)


def register_experiment(name: str, declaration: Mapping | str | Path) -> Experiment:
    """Declare what is trained on a dataset, so that `vitae train NAME` works and its records have a table.

    Args:
        name: of the experiment; also of the dataset, unless the declaration names another.
        declaration: the keys of `Experiment`, as a dictionary, as TOML text, or as the path of a TOML file.
            `like = "celeba"` takes whatever is not given from another experiment.

    Raises:
        InputError: the name is taken, the text is not TOML, or a key is unknown or missing.
    """
    caller = inspect.stack()[1].frame.f_globals.get("__name__", "")
    experiment = _read(name, declaration)
    EXPERIMENTS.add(name, experiment, module=caller)
    return experiment


def _read(name: str, declaration: Mapping | str | Path) -> Experiment:
    where = f"the declaration of experiment {name}"
    if isinstance(declaration, Path):
        where = str(declaration)
        try:
            declaration = declaration.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{where} cannot be read ({error}).") from None
    if isinstance(declaration, str):
        try:
            declaration = tomllib.loads(declaration)
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{where} is not valid TOML: {error}.") from None
    if not isinstance(declaration, Mapping):
        raise InputError(f"{where} must be a dictionary, TOML text or a path, got {type(declaration).__name__}.")
    given = dict(declaration)
    if like := given.pop("like", None):
        other = EXPERIMENTS.named(like)
        # Variants are runs of that experiment alone.
        given = {each.name: getattr(other, each.name) for each in fields(other) if each.name != "variants"} | given
        given["dataset"] = declaration.get("dataset", "")
    known = [each.name for each in fields(Experiment)]
    for key, value in given.items():
        require_known(f"key in {where},", key, known)
        kind = _KINDS[get_origin(_HINTS[key]) or _HINTS[key]] if key != "resolution" else (list, tuple, type(None))
        if not isinstance(value, kind):
            raise InputError(f"{key} in {where} must be {_WORDS[kind[0]]}, got {value!r}.")
    for key in ("title", "rows", "seeds", "profiles"):
        if key not in given:
            raise InputError(f"{where} lacks {key}.")
    for key in ("seeds", "profiles"):
        for profile in given[key]:
            require_known(f"profile under {key} in {where},", profile, PROFILES)
        if absent := [profile for profile in PROFILES if profile not in given[key]]:
            raise InputError(f"{where} lacks {absent[0]} under {key}.")
    for profile, settings in given["profiles"].items():
        if not isinstance(settings, dict) or not isinstance(settings.get("schedule"), dict):
            raise InputError(f"{where} lacks schedule under profiles.{profile}, for instance {{ epochs = 10 }}.")
    for key in ("rows", "scores", "columns", "sisters"):
        given[key] = tuple(given.get(key, ()))
    if given.get("resolution"):
        given["resolution"] = tuple(given["resolution"])
    parts = {part.name for part in fields(Variant)}
    for each in given.get("variants", ()):
        if not isinstance(each, Variant) and (not isinstance(each, dict) or set(each) != parts):
            raise InputError(f"each of variants in {where} must have {', '.join(sorted(parts))}, got {each!r}.")
    given["variants"] = tuple(
        each if isinstance(each, Variant) else Variant(tuple(each["rows"]), each["changes"], each["seeds"])
        for each in given.get("variants", ())
    )
    rows = [*ROWS, *given["rows"], *given["sisters"], *(row for each in given["variants"] for row in each.rows)]
    for key in ("row_settings", "strengths"):
        for row in given.get(key, {}):
            require_known(f"row under {key} in {where},", row, rows)
    return Experiment(**{**given, "dataset": given.get("dataset") or name})


def choose_profile(name: str = "") -> str:
    """A profile's name: the one given, else `$VITAE_PROFILE`, else quick."""
    return require_known("profile", name or os.environ.get("VITAE_PROFILE") or "quick", PROFILES)


def printed_name(model: str) -> str:
    """A row's name as it stands in tables and figures."""
    return ROWS[model].title if model in ROWS else model


def _read_own() -> None:
    for name, row in tomllib.loads((_FOLDER / "rows.toml").read_text(encoding="utf-8")).items():
        register_row(name, Row(**row), module=__name__)
    # Sorted, so that `like` finds the experiment that it names.
    for path in sorted(_FOLDER.glob("*.toml")):
        if path.stem != "rows":
            EXPERIMENTS.add(path.stem, _read(path.stem, path), module=__name__)


_read_own()

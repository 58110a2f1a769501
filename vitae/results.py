"""One run, one JSON record; tables of records; and what the poster printed.

A record holds the configuration, the seed, where the data came from and how much there was, versions, device, commit,
seconds, each epoch's loss, under `course` the KL of each latent and the model's own terms through the training (see
`together.Progress`; records of earlier versions have none), and under `scores`::

    train_elbo, test_elbo    {mean, standard_error} in nats per image
    log_likelihood           the same, importance-weighted with `samples` draws
    d_score                  with its `importance` matrix, `latents` x `factors`; null below two factors
    predictability           space -> factor -> test accuracy (classes) or R^2 (the others)
    d_score_of_draws, predictability_of_draws    the same from one draw of each posterior instead of its mean

and, where `scoring` computes them for a dataset::

    dci                      disentanglement of DCI, with `dci_completeness` and `dci_importance`
    mig, modularity, sap, factor_vae_score, reconstruction    see `vitae.metrics`, and `evaluate.reconstruction`
    separability             space -> class -> area under the ROC curve; `separability_of_latents`: of each latent alone
    effects                  latent -> scaling, translation, recolouring, see `vitae.effects`
    round_trip               error in pixels and least area of the inferred transformations, see `effects.round_trip`
"""

import csv
import io
import json
import math
import platform
import subprocess
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from scipy import special

from vitae import paths
from vitae.errors import InputError
from vitae.files import write_text

SCHEMA = 1

# The poster's quantitative table: dataset -> row -> (ELBO, log p(x), D_score).
POSTER = {
    "dsprites": {
        "vae": (-47.05, -49.32, 0.05),
        "beta-vae": (-79.45, -81.38, 0.18),
        "beta-tcvae": (-66.48, -68.12, 0.30),
        "dip-vae-ii": (-46.32, -48.92, 0.12),
        "u-vitae": (-55.25, -57.29, 0.22),
        "c-vitae": (-68.26, -70.49, 0.38),
    },
    "mnist": {
        "vae": (-169, -172, 0.579),
        "beta-vae": (-150, -152, 0.653),
        "beta-tcvae": (-141, -144, 0.679),
        "dip-vae-ii": (-140, -155, 0.733),
        "u-vitae": (-142, -143, 0.782),
        "c-vitae": (-139, -141, 0.884),
    },
    "smpl": {
        "vae": (-8.62e3, -8.62e3, 0.485),
        "beta-vae": (-8.62e3, -8.60e3, 0.525),
        "beta-tcvae": (-8.62e3, -8.56e3, 0.651),
        "dip-vae-ii": (-8.62e3, -8.54e3, 0.743),
        "u-vitae": (-8.62e3, -8.55e3, 0.673),
        "c-vitae": (-8.62e3, -8.52e3, 0.943),
    },
}

_NEEDED = {
    "configuration": ("dataset", "model", "profile", "seed", "overrides"),
    "data": ("source", "location", "train", "evaluated", "evaluated_on"),
    "seconds": ("train", "evaluate"),
    "scores": ("train_elbo", "test_elbo", "log_likelihood", "samples", "d_score", "predictability", "factors"),
}
_REQUIRED = (
    "schema",
    "run",
    "configuration",
    "fingerprint",
    "data",
    "parameters",
    "seconds",
    "losses",
    "scores",
    "device",
)


@cache
def commit() -> str:
    """The commit of the clone that runs, with a + where package or notebooks differ from it; `unknown` elsewhere."""
    clone = Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(clone), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != clone:
            return "unknown"
        changed = git("status", "--porcelain", "--", "vitae", "notebooks")
        return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def environment(device: torch.device) -> dict:
    """Versions, device and commit, as they stand in a record."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "scikit-learn": metadata.version("scikit-learn"),
        },
        "device": f"{device.type} ({name}, {torch.get_num_threads()} threads)",
        "commit": commit(),
    }


def write(path: Path, record: dict) -> None:
    """Write a record atomically, with its schema. What is not finite has no place in JSON and becomes null."""
    measured = {name: _finite(record[name]) for name in ("scores", "losses", "seconds", "course") if name in record}
    write_text(path, json.dumps({"schema": SCHEMA, **record, **measured}, indent=1, ensure_ascii=False) + "\n")


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value


def read(path: Path) -> dict:
    """Read a record.

    Raises:
        InputError: there is none, it is damaged, or it was written by another version of the schema.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no record {path}: train that run first.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable record ({error}): delete it and train again.") from None
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"{path} has schema {schema}, this vitae reads {SCHEMA}: delete the record and train again, "
            f"or read it with the version that wrote it."
        )
    if damage := _damage(record):
        raise InputError(f"{path} {damage}: delete the record and train again.")
    return record


def _damage(record: dict) -> str:
    """What is wrong with a record's shape, nothing if it can be used."""
    if absent := [name for name in _REQUIRED if name not in record]:
        return f"lacks {', '.join(absent)}"
    for part, needed in _NEEDED.items():
        if not isinstance(record[part], dict):
            return f"has no usable {part}"
        if absent := [name for name in needed if name not in record[part]]:
            return f"lacks {', '.join(absent)} in its {part}"
    spaces = record["scores"]["predictability"]
    numbers = [record["scores"][name] for name in ("train_elbo", "test_elbo", "log_likelihood")]
    numbers = [part.get("mean", "") if isinstance(part, dict) else "" for part in numbers]
    numbers += [record["scores"]["d_score"], *record["seconds"].values()]
    if not isinstance(spaces, dict) or not all(isinstance(known, dict) for known in spaces.values()):
        return "has no usable predictability in its scores"
    numbers += [number for known in spaces.values() for number in known.values()]
    if not all(number is None or isinstance(number, int | float) for number in numbers):
        return "has scores or seconds that are no numbers"
    return ""


# What the poster's D_score is taken to be: on dSprites, where all factors are known, DCI by the usual trees.
D_SCORES = {"mnist": "d_score", "dsprites": "dci", "smpl": "d_score"}


def load(profile: str, dataset: str, models: Collection[str] | None = None, **changes) -> list[dict]:
    """All records of a profile and dataset, by model and seed.

    Args:
        models: only of these rows.
        changes: settings in which they differ from the profile's own, for instance `transform="cpab"`; no others.
    """
    found = [read(path) for path in sorted((paths.records() / profile / dataset).glob("*.json"))]
    own = [record for record in found if record["configuration"]["overrides"] == changes]
    if models is not None:
        own = [record for record in own if record["configuration"]["model"] in models]
    return sorted(own, key=lambda record: (record["configuration"]["model"], record["configuration"]["seed"]))


def trials(dataset: str) -> list[dict]:
    """The records of profile full that were evaluated on held-out training images: what settings were chosen by.

    Those that come with the clone, and those made here, by name.
    """
    found = {
        path.stem: path
        for folder in (paths.committed_records(), paths.records())
        for path in (folder / "full" / dataset).glob("*hold_out=True*.json")
    }
    return [read(path) for _, path in sorted(found.items())]


def command(record: dict) -> str:
    """What to type to get this record again, where there are the same data; see `data` in the record."""
    stated = record["configuration"]
    words = ["vitae train", stated["dataset"], "--model", stated["model"], "--profile", stated["profile"]]
    for name, value in stated["overrides"].items():
        words.append("--" + name.replace("_", "-") + ("" if value is True else f" {value}"))
    return " ".join([*words, "--seed", str(stated["seed"])])


@dataclass(frozen=True)
class Interval:
    """The mean over seeds with the half width of its 95% t-interval; `half_width` is nan for a single seed."""

    mean: float
    half_width: float
    seeds: int

    @classmethod
    def of(cls, values: list[float]) -> "Interval":
        n = len(values)
        if n == 1:
            return cls(values[0], math.nan, 1)
        half_width = special.stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / math.sqrt(n)
        return cls(float(np.mean(values)), float(half_width), n)

    def text(self, digits: int) -> str:
        """For instance `-139.2 ± 0.4`."""
        spread = f" ± {self.half_width:.{digits}f}" if math.isfinite(self.half_width) else ""
        return f"{self.mean:.{digits}f}{spread}"


def value(record: dict, name: str) -> float:
    """One number of a record: a score by name, `space:factor` for a predictability, `draws:space:factor` of draws."""
    scores = record["scores"]
    if ":" in name:
        *of, space, factor = name.split(":")
        kind = "predictability_of_draws" if of else "predictability"
        found = scores.get(kind, {}).get(space, {}).get(factor)
    else:
        found = scores.get(name)
        found = found["mean"] if isinstance(found, dict) else found
    return math.nan if found is None else found


def by_seed(records: list[dict], model: str, number: Callable[[dict], float]) -> dict[int, float]:
    """A number of each of a model's records that has it, by seed."""
    own = {r["configuration"]["seed"]: number(r) for r in records if r["configuration"]["model"] == model}
    return {seed: found for seed, found in own.items() if math.isfinite(found)}


def paired(records: list[dict], model: str, other: str, name: str, others: list[dict] | None = None) -> Interval | None:
    """By how much a model's number is above another's, paired by seed; None if they share no seed.

    Args:
        others: the records that the other's number is taken from, if they are not the same.
    """
    ours = by_seed(records, model, lambda record: value(record, name))
    theirs = by_seed(records if others is None else others, other, lambda record: value(record, name))
    shared = sorted(ours.keys() & theirs.keys())
    return Interval.of([ours[seed] - theirs[seed] for seed in shared]) if shared else None


def leader(records: list[dict], name: str) -> tuple[str, list[str]]:
    """The model with the highest mean of a number, and those that it is not shown to be above.

    It is shown to be above another if the 95% t-interval of their differences, paired by seed, is above 0; with one
    seed nothing is shown.
    """
    means = {model: interval.mean for model, interval in intervals(records, name).items()}
    best = max(means, key=means.get)
    above = {other: paired(records, best, other, name) for other in means if other != best}
    return best, [other for other, gap in above.items() if gap is None or not gap.mean - gap.half_width > 0]


@dataclass(frozen=True)
class Part:
    """One measurable part of a claim: a number over seeds that has to lie above, or below, a threshold.

    The rule, written before the records that it judges: `supported` if the whole 95% t-interval is on the claimed side,
    `contradicted` if the whole of it is on the other, else `undecided`; one seed has no interval and decides nothing.
    """

    what: str
    interval: Interval | None
    threshold: float
    below: bool = False
    digits: int = 3

    @property
    def finding(self) -> str:
        """supported, contradicted, undecided or not measured."""
        if self.interval is None:
            return "not measured"
        sign = -1 if self.below else 1
        middle, half = sign * (self.interval.mean - self.threshold), self.interval.half_width
        if middle - half > 0:
            return "supported"
        return "contradicted" if middle + half < 0 else "undecided"

    def text(self) -> str:
        """What was measured, against what, and the finding."""
        measured = "no records" if self.interval is None else self.interval.text(self.digits)
        seeds = f", {self.interval.seeds} seed{'s' * (self.interval.seeds != 1)}" if self.interval else ""
        return f"{self.what}: {measured} ({'<' if self.below else '>'} {self.threshold:g}{seeds}): {self.finding}"


@dataclass(frozen=True)
class Claim:
    """A sentence of the poster or of an abstract, the parts that it comes to, and where to see them."""

    name: str
    sentence: str
    parts: tuple[Part, ...]
    page: str

    @property
    def verdict(self) -> str:
        """holds: all parts are supported; holds in part: some are; does not hold: none is, and some are contradicted.

        undecided: none is either; not measured: no part has records. Parts without records keep a claim from holding,
        and from nothing else.
        """
        found = [part.finding for part in self.parts]
        if set(found) == {"supported"}:
            return "holds"
        if set(found) == {"not measured"}:
            return "not measured"
        if "supported" in found:
            return "holds in part"
        return "does not hold" if "contradicted" in found else "undecided"


@dataclass(frozen=True)
class Column:
    """One column of a table: its heading, the number it shows (see `value`) and its decimals."""

    heading: str
    name: str
    digits: int


def columns_of(dataset: str) -> tuple[Column, ...]:
    """What a dataset's table shows beside the poster's numbers."""
    return (
        Column("train ELBO", "train_elbo", 1),
        Column("test ELBO", "test_elbo", 1),
        Column("log p(x)", "log_likelihood", 1),
        Column("D_score", D_SCORES.get(dataset, "d_score"), 3),
    )


def intervals(records: list[dict], name: str) -> dict[str, Interval]:
    """Each model's interval over its seeds of one number, models without that number left out."""
    by_model: dict[str, list[float]] = {}
    for record in records:
        number = value(record, name)
        if math.isfinite(number):
            by_model.setdefault(record["configuration"]["model"], []).append(number)
    return {model: Interval.of(numbers) for model, numbers in by_model.items()}


def table(
    records: list[dict],
    names: dict[str, str],
    *,
    poster: dict | None = None,
    bold: bool = False,
) -> list[list[str]]:
    """Rows of text, the heading first, the models in the order of `names`, then any others.

    Args:
        records: of one profile and dataset; others never share a table.
        names: row name -> printed name.
        bold: the best of each column in bold, and in italics those that it is not shown to be above, see `leader`.
        poster: row name -> (ELBO, log p(x), D_score) to put beside, for instance `POSTER["mnist"]`.
    """
    if len({(r["configuration"]["profile"], r["configuration"]["dataset"]) for r in records}) > 1:
        raise InputError("records of different profiles or datasets never share a table.")
    if len({record["data"]["source"] for record in records}) > 1:
        raise InputError("records of different data sources never share a table: train all with one --source.")
    columns = columns_of(records[0]["configuration"]["dataset"])
    heading = ["model", "seeds", *[column.heading for column in columns]]
    if poster:
        heading += ["poster: ELBO", "poster: log p(x)", "poster: D_score"]
    rows = [heading]
    found = [(column, intervals(records, column.name)) for column in columns]
    leaders = {column.name: leader(records, column.name) for column, cells in found if bold and len(cells) > 1}
    for model in _in_order(records, names):
        seeds = sum(record["configuration"]["model"] == model for record in records)
        cells = [cell[model].text(column.digits) if model in cell else "" for column, cell in found]
        for i, (column, _) in enumerate(found):
            best, level = leaders.get(column.name, ("", []))
            mark = "**" if model == best else "*" if model in level else ""
            cells[i] = f"{mark}{cells[i]}{mark}" if cells[i] else ""
        row = [names.get(model, model), str(seeds), *cells]
        if poster:
            row += [f"{number:g}" for number in poster[model]] if model in poster else [""] * 3
        rows.append(row)
    return rows


def knowledge_table(records: list[dict], names: dict[str, str]) -> list[list[str]]:
    """How well each latent space predicts each factor, a row a space, heading first; see `predictability`."""
    factors = records[0]["scores"]["factors"]
    rows = [["model", "from", *factors]]
    for model in _in_order(records, names):
        own = [record for record in records if record["configuration"]["model"] == model]
        for space in own[0]["scores"]["predictability"]:
            found = [intervals(own, f"{space}:{factor}") for factor in factors]
            rows.append([names.get(model, model), space, *[cell[model].text(2) if cell else "" for cell in found]])
    return rows


def _in_order(records: list[dict], names: dict[str, str]) -> list[str]:
    present = {record["configuration"]["model"] for record in records}
    return [name for name in names if name in present] + sorted(present - set(names))


def _holds_words(rows: list[list[str]], column: int) -> bool:
    """Whether a table's column is the first, or holds something that does not begin with a number."""
    for cell in (row[column] for row in rows[1:] if row[column]):
        try:
            float(cell.split()[0].strip("*"))
        except ValueError:
            return True
    return column == 0


def as_markdown(rows: list[list[str]]) -> str:
    """A table as Markdown, numbers to the right, each in one line with its interval."""
    cells = [
        [cell.replace("_", r"\_").replace("|", r"\|").replace(" ± ", "\u00a0±\u00a0") for cell in row] for row in rows
    ]
    rules = ["---" if _holds_words(rows, i) else "---:" for i in range(len(rows[0]))]
    lines = [cells[0], rules, *cells[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_text(rows: list[list[str]]) -> str:
    """A table for a terminal."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    words = [_holds_words(rows, i) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(w) if left else cell.rjust(w) for cell, w, left in zip(row, widths, words, strict=True))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def as_csv(rows: list[list[str]]) -> str:
    """A table as comma-separated values."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().rstrip("\n")


def basis(records: list[dict]) -> str:
    """What the reader of any table must know: profile, data and intervals."""
    one = records[0]
    data = one["data"]
    return (
        f"Profile {one['configuration']['profile']}: {data['train']:,} training and {data['evaluated']:,} "
        f"{data['evaluated_on']} images ({data['location']}). Means over seeds with 95% t-intervals where there are "
        f"several seeds."
    )


def caption(records: list[dict]) -> str:
    """That, and the K of a table with likelihoods."""
    return f"{basis(records)} ELBO and log p(x) in nats per image, K = {records[0]['scores']['samples']:,}."

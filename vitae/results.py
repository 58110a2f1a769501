"""One run, one JSON record; tables of records; and what the poster printed.

A record holds the configuration, the seed, where the data came from and how much there was, versions, device, commit,
seconds, each epoch's loss, and under `scores`::

    train_elbo, test_elbo    {mean, standard_error} in nats per image
    log_likelihood           the same, importance-weighted with `samples` draws
    d_score                  with its `importance` matrix, `latents` x `factors`
    predictability           space -> factor -> test accuracy (digit) or R^2 (the others)
"""

import csv
import io
import json
import math
import platform
import subprocess
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
    measured = {name: _finite(record[name]) for name in ("scores", "losses", "seconds")}
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


def load(profile: str, dataset: str) -> list[dict]:
    """All records of a profile and dataset that were made with the profile's own settings, by model and seed."""
    found = [read(path) for path in sorted((paths.records() / profile / dataset).glob("*.json"))]
    own = [record for record in found if not record["configuration"]["overrides"]]
    return sorted(own, key=lambda record: (record["configuration"]["model"], record["configuration"]["seed"]))


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
    """One number of a record: a score by name, or `space:factor` for a predictability."""
    scores = record["scores"]
    if ":" in name:
        space, factor = name.split(":")
        found = scores["predictability"].get(space, {}).get(factor)
    else:
        found = scores[name]["mean"] if isinstance(scores[name], dict) else scores[name]
    return math.nan if found is None else found


@dataclass(frozen=True)
class Column:
    """One column of a table: its heading, the number it shows (see `value`) and its decimals."""

    heading: str
    name: str
    digits: int


COLUMNS = (
    Column("train ELBO", "train_elbo", 1),
    Column("test ELBO", "test_elbo", 1),
    Column("log p(x)", "log_likelihood", 1),
    Column("D_score", "d_score", 3),
    Column("digit from z", "z:digit", 3),
    Column("digit from z_A", "z_A:digit", 3),
    Column("digit from z_P", "z_P:digit", 3),
)


# Those that fit on a page beside the poster's; what spaces know of the digit is in `knowledge_table`.
SCORES = COLUMNS[:4]


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
    columns: tuple[Column, ...] = COLUMNS,
    poster: dict | None = None,
) -> list[list[str]]:
    """Rows of text, the heading first, the models in the order of `names`, then any others.

    Args:
        records: of one profile and dataset; others never share a table.
        names: row name -> printed name.
        columns: what to show.
        poster: row name -> (ELBO, log p(x), D_score) to put beside, for instance `POSTER["mnist"]`.
    """
    if len({(r["configuration"]["profile"], r["configuration"]["dataset"]) for r in records}) > 1:
        raise InputError("records of different profiles or datasets never share a table.")
    if len({record["data"]["source"] for record in records}) > 1:
        raise InputError("records of different data sources never share a table: train all with one --source.")
    heading = ["model", "seeds", *[column.heading for column in columns]]
    if poster:
        heading += ["poster: ELBO", "poster: log p(x)", "poster: D_score"]
    rows = [heading]
    found = [(column, intervals(records, column.name)) for column in columns]
    for model in _in_order(records, names):
        seeds = sum(record["configuration"]["model"] == model for record in records)
        cells = [cell[model].text(column.digits) if model in cell else "" for column, cell in found]
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
            float(cell.split()[0])
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


def caption(records: list[dict]) -> str:
    """What a table's reader must know: data, K, seeds and intervals."""
    one = records[0]
    data = one["data"]
    return (
        f"Profile {one['configuration']['profile']}: {data['train']:,} training and {data['evaluated']:,} "
        f"{data['evaluated_on']} images ({data['location']}). ELBO and log p(x) in nats per image, "
        f"K = {one['scores']['samples']:,}; means over seeds with 95% t-intervals where there are several seeds; "
        f"digit: accuracy of ten nearest neighbours on test images."
    )

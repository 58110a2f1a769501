"""Tables of records, as text, Markdown or CSV."""

import csv
import io
import math

from vitae.evaluation.score import LIKELIHOODS, columns_by_name
from vitae.experiments.declaration import EXPERIMENTS, printed_name
from vitae.metrics.registry import SCORES, Column
from vitae.report.statistics import Interval, intervals, leader, models_of, share_gained
from vitae.support.errors import InputError, require_known
from vitae.support.markup import Markup, escaped, markdown_table

# A limit of the likelihood above minus this many nats is that of binary images, up to the margin.
_GREY = 1.0


def columns_of(dataset: str) -> tuple[Column, ...]:
    """The columns of a dataset's table: those of its declaration, then those of scores registered for every experiment.

    Raises:
        InputError: there is no such experiment, or its declaration names an unknown column.
    """
    experiment, known = EXPERIMENTS.named(dataset), columns_by_name()
    declared = experiment.columns or (*LIKELIHOODS, experiment.poster_d_score)
    always = [column.name for score in SCORES.values() if score.always for column in score.columns]
    added = [name for name in always if name not in (*LIKELIHOODS, "d_score")]
    return tuple(known[require_known("column", name, known)] for name in dict.fromkeys([*declared, *added]))


def table(records: list[dict], *, poster: dict | None = None, bold: bool = False) -> list[list[str]]:
    """The table of some records as rows of text, heading first: mean and 95% interval over seeds, a row per model.

    Args:
        records: of one profile, dataset and data source.
        bold: print the best of each column in bold, and in italics those not significantly below it, see `leader`.
        poster: model -> (ELBO, log p(x), D_score) of the poster, for further columns, for instance `POSTER["mnist"]`.

    Raises:
        InputError: the records have different profiles, datasets or data sources.
    """
    if len({(r["configuration"]["profile"], r["configuration"]["dataset"]) for r in records}) > 1:
        raise InputError("records of different profiles or datasets cannot be in one table.")
    if len({record["data"]["source"] for record in records}) > 1:
        raise InputError("records of different data sources cannot be in one table: train all with one --source.")
    declared = columns_of(records[0]["configuration"]["dataset"])
    # Records from before a score was declared do not have it.
    columns = [column for column in declared if any(column.name in record["scores"] for record in records)]
    heading = ["model", "seeds", *[column.heading for column in columns]]
    if poster:
        heading += ["poster: ELBO", "poster: log p(x)", "poster: D_score"]
    rows = [heading]
    by_column = [(column, intervals(records, column.name)) for column in columns]
    leaders = {
        column.name: leader(records, column.name) for column, by_model in by_column if bold and len(by_model) > 1
    }
    for model in models_of(records):
        own = [record for record in records if record["configuration"]["model"] == model]
        seeds = len(own)
        cells = [_cell(own, column, by_model.get(model)) for column, by_model in by_column]
        for i, column in enumerate(columns):
            best, not_below = leaders.get(column.name, ("", []))
            mark = "**" if model == best else "*" if model in not_below else ""
            cells[i] = Markup(f"{mark}{escaped(cells[i])}{mark}") if mark and cells[i] else cells[i]
        row = [printed_name(model), str(seeds), *cells]
        if poster:
            row += [f"{number:g}" for number in poster[model]] if model in poster else [""] * 3
        rows.append(row)
    return rows


def numbers(groups: list[list[dict]]) -> list[list[str]]:
    """The same for a program: rows of text, heading first, with each number in a cell of its own.

    Columns are named as in records. Of each number there are the mean over seeds, `_half_width` of its 95% interval and
    `_seeds` for which it is defined; a cell is empty where there is none.

    Args:
        groups: lists of records, each of one set of images, whose hash is in the column `images`.
    """
    columns = columns_of(groups[0][0]["configuration"]["dataset"])
    rows = [["model", "images", *[f"{c.name}{kind}" for c in columns for kind in ("", "_half_width", "_seeds")]]]
    for records in groups:
        by_column = [intervals(records, column.name) for column in columns]
        for model in models_of(records):
            found = [by_model.get(model) for by_model in by_column]
            cells = [(each.mean, each.half_width, each.seeds) if each else ("", "", 0) for each in found]
            images = {record["data"].get("images", "") for record in records} - {""}
            rows.append([model, *(images or [""]), *[_plain(number) for each in cells for number in each]])
    return rows


def _plain(number: float | str) -> str:
    return "" if isinstance(number, float) and math.isnan(number) else str(number)


def _cell(records: list[dict], column: Column, interval: Interval | None) -> str:
    """A number of one model over its seeds; says so where it is undefined for some, as D* is if nothing is known."""
    stated = sum(column.name in record["scores"] for record in records)
    if interval is None:
        return "undefined" if stated else ""
    some = f" ({interval.seeds} of {stated} seeds)" if interval.seeds < stated else ""
    return interval.text(column.digits) + some


def knowledge_table(records: list[dict], *, draws: bool = True) -> list[list[str]]:
    """What nearest neighbours know of each factor from each latent space; a row per space, heading first.

    The share of the way from guessing (0) to certainty (1), see `statistics.share_gained`.

    Args:
        draws: from posterior draws of test images; otherwise from means.
    """
    kind = "draws:" if draws else ""
    factors = records[0]["scores"]["factors"]
    rows = [["model", "from", *factors]]
    for model in models_of(records):
        runs = [record for record in records if record["configuration"]["model"] == model]
        for space in runs[0]["scores"]["predictability"]:
            shares = [[share_gained(run, f"{kind}{space}:{factor}") for run in runs] for factor in factors]
            rows.append([printed_name(model), space, *[Interval.of(each).text(2) for each in shares]])
    return rows


def _holds_words(rows: list[list[str]], column: int) -> bool:
    """Whether a column is the first of its table or has a cell that does not start with a number."""
    for cell in (row[column] for row in rows[1:] if row[column]):
        try:
            float(cell.split()[0].strip("*"))
        except ValueError:
            return True
    return column == 0


def as_markdown(rows: list[list[str]], below: str = "") -> str:
    """A table as Markdown, with numbers aligned to the right and no line break before an interval.

    Args:
        rows: text, heading first; only cells that are `Markup` are read as Markdown.
        below: text that follows the table as a paragraph, for instance its `caption`.
    """
    numbers = [i for i in range(len(rows[0])) if not _holds_words(rows, i)]
    text = markdown_table(rows, right=numbers) + (f"\n\n{escaped(below)}" if below else "")
    return text.replace(" ± ", "\u00a0±\u00a0")


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
    """The first part of a table's caption: profile, data and what the intervals are."""
    record = records[0]
    data = record["data"]
    return (
        f"Profile {record['configuration']['profile']}: {data['train']:,} training and {data['evaluated']:,} "
        f"{data['evaluated_on']} images ({data['location']}). Means over seeds with 95% t-intervals where there are "
        f"several seeds."
    )


def caption(records: list[dict]) -> str:
    """The caption of a table with likelihoods: `basis`, the unit, K, and how far the numbers can be read."""
    scores = records[0]["scores"]
    text = f"{basis(records)} ELBO and log p(x) in nats per image, K = {scores['samples']:,}."
    gains = [record["scores"]["log_likelihood_gain"] for record in records if "log_likelihood_gain" in record["scores"]]
    if gains:
        largest = max(gain["mean"] for gain in gains)
        text += f" With K = {gains[0]['samples']:,}, log p(x) of a run is at most {largest:.1f} nats higher."
    if scores.get("bernoulli_limit", 0.0) < -_GREY:
        text += (
            f" Pixels are grey, and under a Bernoulli likelihood no model can exceed {scores['bernoulli_limit']:.1f} "
            f"nats, what the images themselves get as means."
        )
    return text


FORMATS = {"text": as_text, "markdown": as_markdown, "csv": as_csv}

"""Tables of records, as text, Markdown or CSV."""

import csv
import io

from vitae.evaluation.score import columns_by_name
from vitae.experiments.declaration import EXPERIMENTS
from vitae.metrics.registry import SCORES, Column
from vitae.report.statistics import intervals, leader
from vitae.support.errors import InputError, require_known

# Of the scores that every run has.
DEFAULT_COLUMNS = ("train_elbo", "test_elbo", "log_likelihood", "d_score")


def columns_of(dataset: str) -> tuple[Column, ...]:
    """The columns of a dataset's table: the experiment's own, then those of scores registered for all experiments."""
    experiment, known = EXPERIMENTS.named(dataset), columns_by_name()
    own = experiment.columns or ("train_elbo", "test_elbo", "log_likelihood", experiment.poster_d_score)
    always = [column.name for score in SCORES.values() if score.always for column in score.columns]
    added = [name for name in always if name not in DEFAULT_COLUMNS]
    return tuple(known[require_known("column", name, known)] for name in dict.fromkeys([*own, *added]))


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


FORMATS = {"text": as_text, "markdown": as_markdown, "csv": as_csv}

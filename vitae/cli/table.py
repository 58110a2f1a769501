"""`vitae table`: the table of all finished runs of a dataset."""

import argparse
import sys

from vitae.cli.options import Parser, add_profile, no_records
from vitae.experiments.declaration import EXPERIMENTS, PROFILES
from vitae.experiments.records import load_records
from vitae.report import tables
from vitae.report.poster import POSTER
from vitae.support.errors import InputError, require_known

_HELP = """\
examples:
  vitae table                                        # MNIST, profile quick
  vitae table --dataset dsprites --profile full      # beside the poster's numbers
  vitae table --format csv > table.csv
"""


def parser(prog: str) -> argparse.ArgumentParser:
    """The command's options."""
    table = Parser(prog=prog, description="Print the table of all finished runs of a dataset.", epilog=_HELP)
    add_profile(table)
    table.add_argument("--dataset", default="mnist", help=f"one of: {', '.join(EXPERIMENTS)} (default mnist)")
    table.add_argument("--format", choices=tuple(tables.FORMATS), default="text", help="(default text)")
    return table


def execute(arguments: argparse.Namespace) -> None:
    """Print the table, and its caption to standard error."""
    require_known("profile", arguments.profile, PROFILES)
    require_known("dataset", arguments.dataset, EXPERIMENTS)
    records = load_records(arguments.profile, arguments.dataset)
    if not records:
        raise InputError(no_records(arguments.dataset, arguments.profile))
    poster = POSTER.get(arguments.dataset) if arguments.profile == "full" else None
    print(tables.FORMATS[arguments.format](tables.table(records, poster=poster)))
    print(tables.caption(records), file=sys.stderr)

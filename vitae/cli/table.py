"""`vitae table`: the table of all finished runs of a dataset."""

import argparse
import sys

from vitae.cli.options import Parser, add_profile, no_records
from vitae.experiments.declaration import EXPERIMENTS, PROFILES
from vitae.experiments.records import load_records_by_images
from vitae.report import tables
from vitae.report.poster import POSTER
from vitae.support.errors import InputError, require_known

_EXAMPLES = """\
  vitae table                                        # MNIST, profile quick
  vitae table --dataset dsprites --profile full      # beside the poster's numbers
  vitae table --format csv > table.csv               # for a program: each number in a column of its own
"""
_NOTES = """\
Runs with settings of their own stay out of the table. Runs of other images than the first, for instance of another
--data-root, get a table of their own. CSV has for each number the mean over seeds, the half-width of its 95% interval
(empty with one seed) and the number of seeds.
"""


def parser(prog: str) -> argparse.ArgumentParser:
    """The command's options."""
    table = Parser("Print the table of all finished runs of a dataset.", _EXAMPLES, prog=prog, epilog=_NOTES)
    add_profile(table)
    table.add_argument("--dataset", default="mnist", help=f"one of: {', '.join(EXPERIMENTS)} (default mnist)")
    table.add_argument("--format", choices=tuple(tables.FORMATS), default="text", help="(default text)")
    return table


def execute(arguments: argparse.Namespace) -> None:
    """Print a table for each set of images, and its caption to standard error."""
    require_known("profile", arguments.profile, PROFILES)
    require_known("dataset", arguments.dataset, EXPERIMENTS)
    groups = load_records_by_images(arguments.profile, arguments.dataset)
    if not groups:
        raise InputError(no_records(arguments.dataset, arguments.profile))
    if arguments.format == "csv":
        print(tables.as_csv(tables.numbers(groups)))
    poster = POSTER.get(arguments.dataset) if arguments.profile == "full" else None
    for number, records in enumerate(groups):
        if arguments.format != "csv":
            print("\n" * bool(number) + tables.FORMATS[arguments.format](tables.table(records, poster=poster)))
        print(tables.caption(records), file=sys.stderr)

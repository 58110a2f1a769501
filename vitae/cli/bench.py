"""`vitae bench`: measure how fast and how exact this is on this machine."""

import argparse
import importlib
import json

from vitae.cli.options import Parser, named_path
from vitae.support import paths
from vitae.support.errors import InputError, require_known, require_number
from vitae.support.files import require_writable, write_text

# Subject -> its record's file.
_RECORDS = {
    "transforms": "transformations.json",
    "data": "data.json",
    "train": "train.json",
    "evaluate": "evaluate.json",
    "precision": "precision.json",
    "scores": "scores.json",
}

# More are a typing error.
_MOST_REPEATS = 1_000

_EXAMPLES = """\
  vitae bench transforms --against-libcpab   # needs 'pip install libcpab==0.1.3'
  vitae bench train
  vitae bench data --data-root ~/data
"""


def parser(prog: str) -> argparse.ArgumentParser:
    """The command's options."""
    bench = Parser("Measure how fast and how exact this is on this machine.", _EXAMPLES, prog=prog)
    bench.add_argument("subject", nargs="?", default="transforms", help=f"{', '.join(_RECORDS)} (default transforms)")
    bench.add_argument("--against-libcpab", action="store_true", help="transforms: libcpab 0.1.3 in the same process")
    bench.add_argument("--repeats", type=int, help="runs for a median, or seeds (default 5, transforms 7)")
    bench.add_argument("--output", type=named_path, help="the record (default: in book/records/benchmarks)")
    bench.add_argument(
        "--data-root", type=named_path, metavar="DIR", help="data: your own files too (default $VITAE_DATA)"
    )
    return bench


def execute(arguments: argparse.Namespace) -> None:
    """Measure one subject, write its record and print a summary."""
    require_known("benchmark", arguments.subject, _RECORDS)
    if arguments.repeats is not None:
        require_number("repeats", arguments.repeats, 1, whole=True, largest=_MOST_REPEATS)
    if arguments.against_libcpab and arguments.subject != "transforms":
        raise InputError("--against-libcpab belongs to 'vitae bench transforms'.")
    # Each imports what it measures, which no other command needs.
    bench = importlib.import_module(f"vitae.report.benchmarks.{arguments.subject}")
    where = arguments.output or paths.records() / "benchmarks" / _RECORDS[arguments.subject]
    require_writable(where)
    if arguments.subject == "transforms":
        found = bench.run(arguments.repeats or 7, arguments.against_libcpab)
    elif arguments.subject == "data":
        found = bench.run(arguments.data_root, arguments.repeats or 5)
    else:
        found = bench.run(arguments.repeats or 5)
    write_text(where, json.dumps(found, indent=1) + "\n")
    print(bench.summary(found))
    print(f"record: {where}")

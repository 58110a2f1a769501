"""`vitae scores`: score codes of your own, from a file of arrays."""

import argparse
import json
import sys
from collections.abc import Sequence

import numpy as np

from vitae.cli.options import Parser, add_threads, named_path, size_map, use_threads, word_list
from vitae.metrics import report
from vitae.metrics.arrays import checked_names, classes_of
from vitae.report import tables
from vitae.support.errors import InputError, require_known
from vitae.support.files import image_format, read_arrays, require_writable, write_text

_EXAMPLES = """\
  vitae scores codes.npz                                                # DCI, MIG, SAP and the others
  vitae scores codes.npz --figure matrices.png --output scores.json     # the matrices behind them, and all numbers
  vitae scores codes.npz --spaces z_A=2,z_P=3                           # what each latent space knows
  vitae scores codes.npz --names shape,scale,x --continuous x --fast    # a first look, in seconds

The file is written in Python, for instance with the codes of any encoder:
  codes = vitae.codes_of(encoder, dataset)
  numpy.savez("codes.npz", codes=codes, factors=dataset.factors, names=dataset.names)
"""
_NOTES = """\
The file is what numpy's savez writes:
  codes     points x codes, for instance the posterior means of your encoder
  factors   points x factors, numbers; text becomes numbers by np.unique(labels, return_inverse=True)[1]
  names     of the factors; may be left out, as may
  test_codes, test_factors   to test on; without them a third of the points is kept for it, 5,000 at most

The full protocol wants 10,000 points to learn from and 5,000 to test on; with fewer the result says so.
"""


def parser(prog: str) -> argparse.ArgumentParser:
    """The command's options."""
    scores = Parser("Score codes of your own by DCI, MIG, SAP and all the others.", _EXAMPLES, prog=prog, epilog=_NOTES)
    scores.add_argument(
        "file", type=named_path, metavar="CODES.npz", help="arrays codes and factors, and more; see below"
    )
    scores.add_argument("--names", type=word_list, metavar="LIST", help="of the factors: shape,scale,x")
    scores.add_argument(
        "--continuous",
        type=word_list,
        metavar="LIST",
        help="factors to cut into ten, '' for none; the others are classes",
    )
    scores.add_argument("--spaces", type=size_map, metavar="LIST", help="latent spaces and their sizes: z_A=2,z_P=3")
    scores.add_argument("--seed", type=int, default=0, help="of splits and votes (default 0)")
    scores.add_argument("--fast", action="store_true", help="fewer trees and votes; not comparable with full numbers")
    scores.add_argument("--format", choices=tuple(tables.FORMATS), default="text", help="(default text)")
    scores.add_argument(
        "--figure", type=named_path, metavar="FILE", help="draw the matrices behind the scores, .png or .svg"
    )
    scores.add_argument("--output", type=named_path, metavar="FILE", help="write all numbers and matrices as JSON")
    add_threads(scores)
    return scores


def execute(arguments: argparse.Namespace) -> None:
    """Score the file's codes, and print, write and draw what was asked for."""
    if arguments.figure:
        image_format(arguments.figure)
    arrays = read_arrays(arguments.file, ("codes", "factors"), ("names", "test_codes", "test_factors"))
    written = [path for path in (arguments.figure, arguments.output) if path]
    for path in written:
        require_writable(path)
    if len({path.resolve() for path in (arguments.file, *written)}) <= len(written):
        raise InputError("the codes, --figure and --output must be different files.")
    given = [name for name in ("test_codes", "test_factors") if name in arrays]
    if len(given) == 1:
        raise InputError(
            f"{arguments.file} holds {given[0]} without its pair: give test_codes and test_factors, or none."
        )
    names = arguments.names or (list(np.ravel(arrays["names"])) if "names" in arrays else None)
    if names is not None:
        names = checked_names("names", names)
    classes = None
    if arguments.continuous is not None:
        if names is None:
            raise InputError("--continuous needs the factors' names: give them with --names, or as names in the file.")
        continuous = list(filter(None, arguments.continuous))
        for name in continuous:
            require_known("factor", name, names)
        classes = [name not in continuous for name in names]
    use_threads(arguments.threads)
    found = report(
        arrays["codes"],
        arrays["factors"],
        test=tuple(arrays[name] for name in given) or None,
        names=names,
        classes=classes,
        spaces=arguments.spaces,
        seed=arguments.seed,
        fast=arguments.fast,
    )
    if given:
        _report_unseen(arrays["factors"], arrays["test_factors"], classes, found.factors)
    if arguments.output:
        write_text(arguments.output, json.dumps(found.as_json(), indent=1, ensure_ascii=False) + "\n")
    print(tables.FORMATS[arguments.format](found.rows()))
    print(found.caption(), file=sys.stderr)
    if arguments.figure:
        # matplotlib takes a second to import.
        from vitae.report import figures

        figures.write_figure(figures.score_matrices(found), arguments.figure)


def _report_unseen(
    factors: np.ndarray, test_factors: np.ndarray, classes: list[bool] | None, names: Sequence[str]
) -> None:
    """Say where test points have classes that no training point has, from which nothing can be learnt about them."""
    factors, test_factors = np.asarray(factors, float), np.asarray(test_factors, float)
    for j, (name, is_class) in enumerate(zip(names, classes_of(factors, classes), strict=True)):
        if is_class and (count := int((~np.isin(test_factors[:, j], factors[:, j])).sum())):
            print(f"{count:,} test points have classes of {name} that no training point has.", file=sys.stderr)

"""Options and argument types that several commands share."""

import argparse
from pathlib import Path

import torch

from vitae.data import SOURCES
from vitae.experiments.declaration import MOST_RUNS, PROFILES
from vitae.support import paths
from vitae.support.errors import InputError

MOST_THREADS = 1_024


class Parser(argparse.ArgumentParser):
    """Reports errors as one sentence, like all others; takes no abbreviated options, so that scripts stay valid.

    Args:
        description: what the command does.
        examples: of the command, a line each; its help begins with them.
        settings: of `argparse.ArgumentParser`.
    """

    def __init__(self, description: str, examples: str, **settings):
        super().__init__(
            description=f"{description}\n\nexamples:\n{examples.rstrip()}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **settings,
        )

    def error(self, message: str):
        raise InputError(f"{message} (see '{self.prog} --help')")


def named_path(text: str) -> Path:
    """A path; none at all, as from a shell's unset variable, would be the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a path, got nothing")
    return Path(text)


def add_profile(parser: argparse.ArgumentParser) -> None:
    """--profile"""
    parser.add_argument("--profile", default="quick", help=f"{', '.join(PROFILES)} (default quick)")


def add_data(parser: argparse.ArgumentParser) -> None:
    """--data-root and --source"""
    parser.add_argument(
        "--data-root", type=named_path, metavar="DIR", help="your own data folder (default $VITAE_DATA)"
    )
    parser.add_argument(
        "--source", default="auto", help=f"where data may come from: {', '.join(SOURCES)} (default auto)"
    )


def add_compute(parser: argparse.ArgumentParser) -> None:
    """--device and --threads"""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    add_threads(parser)


def add_threads(parser: argparse.ArgumentParser) -> None:
    """--threads"""
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")


def use_threads(count: int | None) -> None:
    """Set torch's number of threads; None leaves it.

    Raises:
        InputError: a number that is out of range.
    """
    if count is not None:
        if not 1 <= count <= MOST_THREADS:
            raise InputError(f"threads must be from 1 to {MOST_THREADS:,}, got {count}.")
        torch.set_num_threads(count)


def seed_list(text: str) -> list[int]:
    """0-9, or 0,3,7, or both: 0-4,9."""
    found = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise argparse.ArgumentTypeError(f"expected whole numbers such as 0-9 or 0,3,7, got '{text[:40]}'")
        ends = int(first), int(last) if dash else int(first)
        if ends[1] - ends[0] not in range(MOST_RUNS):
            raise argparse.ArgumentTypeError(f"'{part[:40]}' is not one to {MOST_RUNS:,} seeds in rising order")
        found += range(ends[0], ends[1] + 1)
        if len(found) > MOST_RUNS:
            raise argparse.ArgumentTypeError(f"'{text[:40]}' is more than {MOST_RUNS:,} seeds: start some at a time")
    return list(dict.fromkeys(found))


def float_list(text: str) -> list[float]:
    """1, or 1,2,4."""
    try:
        return list(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, or several such as 1,2,4, got '{text[:40]}'") from None


def int_list(text: str) -> list[int]:
    """1, or 1,2,4."""
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a whole number, or several such as 1,2,4, got '{text[:40]}'"
        ) from None


def word_list(text: str) -> list[str]:
    """vae, or vae,c-vitae."""
    return [part.strip() for part in text.split(",")]


def size_map(text: str) -> dict[str, int]:
    """z_A=2,z_P=3."""
    found = {}
    for part in word_list(text):
        name, _, size = part.partition("=")
        if not (name and size.isdecimal()) or name in found:
            raise argparse.ArgumentTypeError(f"expected names and sizes such as z_A=2,z_P=3, got '{text[:40]}'")
        found[name] = int(size)
    return found


def no_records(dataset: str, profile: str) -> str:
    """The message where a command finds no records."""
    return (
        f"there are no records of {dataset} with profile {profile} under {paths.records()}: "
        f"run 'vitae train {dataset} --model c-vitae --profile {profile}' first."
    )

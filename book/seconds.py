"""Print how long each step of building the book took, and where the book is: `python book/seconds.py PROFILE`."""

import csv
import sys
from pathlib import Path


def main(profile: str) -> None:
    """Print the seconds that Snakemake's `benchmark` and the Makefile wrote at the last run of each step."""
    folder = Path("build/seconds")
    steps = []
    if (folder / "install").exists():
        steps.append(("install", float((folder / "install").read_text())))
    for path in sorted((folder / profile).glob("*"), key=lambda path: path.stat().st_mtime):
        with path.open() as rows:
            steps.append((path.name, float(next(csv.DictReader(rows, delimiter="\t"))["s"])))
    print("seconds  step, at its last run (steps run in parallel)")
    for name, seconds in steps:
        print(f"{seconds:7.0f}  {name}")
    print(f"the book: {Path('book/_build/html/index.html').resolve()}")


if __name__ == "__main__":
    main(sys.argv[1])

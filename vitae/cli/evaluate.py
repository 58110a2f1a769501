"""`vitae evaluate`: score finished runs again, from their weights."""

import argparse
from pathlib import Path

from vitae.cli.options import Parser, add_compute, add_data, add_profile, no_records, use_threads, word_list
from vitae.cli.train import description, short_description
from vitae.experiments.configuration import Configuration, configuration_of, record_path
from vitae.experiments.declaration import EXPERIMENTS, PROFILES
from vitae.experiments.records import outdated_scores, read_record, write_record
from vitae.experiments.resume import read_weights
from vitae.experiments.run import rescore_together, score_together
from vitae.metrics.registry import SCORES
from vitae.support import paths
from vitae.support.errors import InputError, require_known

_EXAMPLES = """\
  vitae evaluate c-vitae-seed0                            # print the scores, computed again
  vitae evaluate c-vitae-seed0 --samples 1000             # with more samples for log p(x)
  vitae evaluate c-vitae-seed0 --scores mig,sap --write   # add two scores to its record
  vitae evaluate vae-seed0 c-vitae-seed0 --write          # write both records again
  vitae --with my_score.py evaluate c-vitae-seed0 --scores myscore --write
"""
_NOTES = """\
scores: {scores}
"""


def parser(prog: str) -> argparse.ArgumentParser:
    """The command's options."""
    epilog = _NOTES.format(scores=", ".join(SCORES))
    evaluate = Parser("Score finished runs again, from their weights.", _EXAMPLES, prog=prog, epilog=epilog)
    evaluate.add_argument(
        "runs", nargs="+", metavar="RUN", help="a record's path, or a run's name such as c-vitae-seed0"
    )
    add_profile(evaluate)
    evaluate.add_argument("--dataset", default="mnist", help="of runs given by name (default mnist)")
    evaluate.add_argument("--samples", type=int, help="K of the importance-weighted log p(x) (default: the run's)")
    evaluate.add_argument("--scores", type=word_list, default=[], metavar="LIST", help="only these (default: all)")
    evaluate.add_argument("--write", action="store_true", help="write the records; only their scores change")
    evaluate.add_argument("--skip-recorded", action="store_true", help="leave out runs that have a record")
    add_data(evaluate)
    add_compute(evaluate)
    return evaluate


def execute(arguments: argparse.Namespace) -> None:
    """Score, describe, and with --write replace the records."""
    if arguments.write and arguments.samples is not None:
        raise InputError("--samples changes K, which belongs to the run's settings: leave out --write.")
    for name in arguments.scores:
        SCORES.named(name)
    use_threads(arguments.threads)
    where = {"root": arguments.data_root, "source": arguments.source, "device": arguments.device}
    found = [_record_or_configuration(name, arguments) for name in arguments.runs]
    if arguments.skip_recorded:
        found = [each for each in found if isinstance(each, Configuration)]
    if arguments.write and not arguments.scores:
        configurations = [each if isinstance(each, Configuration) else configuration_of(each) for each in found]
        records = score_together(configurations, **where)
    else:
        for each in found:
            if isinstance(each, Configuration):
                raise InputError(f"{each.run} has weights but no record: score it with 'vitae evaluate --write' first.")
        records = []
        for record in rescore_together(found, names=arguments.scores, samples=arguments.samples, **where):
            if arguments.write:
                write_record(record_path(configuration_of(record)), record)
            records.append(record)
    for record in records:
        print(description(record) if len(records) == 1 else short_description(record))
        if outdated := outdated_scores(record):
            print(f"outdated, computed by an earlier version of vitae: {', '.join(outdated)}")


def _record_or_configuration(name: str, arguments: argparse.Namespace) -> dict | Configuration:
    """A run's record; the configuration in its weights where there is no record."""
    if Path(name).suffix == ".json":
        return read_record(Path(name))
    require_known("profile", arguments.profile, PROFILES)
    require_known("dataset", arguments.dataset, EXPERIMENTS)
    folder = paths.records() / arguments.profile / arguments.dataset
    if (folder / f"{name}.json").exists():
        return read_record(folder / f"{name}.json")
    weights = paths.runs(arguments.profile, arguments.dataset) / f"{name}.safetensors"
    if weights.exists():
        return configuration_of({"run": name, "configuration": read_weights(weights)[1]["configuration"]})
    recorded = sorted(path.stem for path in folder.glob("*.json"))
    if not recorded:
        raise InputError(no_records(arguments.dataset, arguments.profile))
    return read_record(folder / f"{require_known('run', name, recorded)}.json")

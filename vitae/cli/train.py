"""`vitae train`: train and score runs, or resume them."""

import argparse
import itertools
import math

from vitae.cli.options import (
    MOST_RUNS,
    Parser,
    add_compute,
    add_data,
    add_profile,
    float_list,
    int_list,
    seed_list,
    use_threads,
    word_list,
)
from vitae.evaluation.score import LIKELIHOODS, columns_by_name
from vitae.experiments.configuration import configuration_of, configure, record_path, settings
from vitae.experiments.declaration import EXPERIMENTS, ROWS
from vitae.experiments.run import run_together
from vitae.models.architectures import ARCHITECTURES
from vitae.models.objectives import OBJECTIVES
from vitae.report.statistics import value
from vitae.support.errors import InputError

_EXAMPLES = """\
  vitae train mnist --model c-vitae                                     # profile quick, seed 0
  vitae train mnist --model c-vitae --profile full --data-root ~/data   # resumes if it was killed
  vitae train dsprites --model beta-tcvae                               # another dataset
  vitae train folder --model c-vitae --data-root pictures               # your own images
  vitae train mnist --model vae,c-vitae --seeds 0-9                     # twenty runs, each model's trained together
  vitae train mnist --model beta-vae --beta 1,2,4 --validation          # three strengths, on the validation split
  vitae train mnist --model u-vitae+beta-tc --beta 4 --epochs 20        # any architecture with any objective
  vitae train mnist --model c-vitae --transform affine+cpab             # another transformation
  vitae --with my_model.py train mnist --model mymodel                  # a model of your own
"""
_NOTES = """\
datasets:  {datasets}
models:    {models},
           or ARCHITECTURE+OBJECTIVE
           with architectures {architectures}
           and objectives {objectives}
profiles:  smoke (seconds; only proves that it runs), quick (embedded data, minutes on two cores),
           full (the size of the poster; minutes on a GPU, minutes to hours a run on a CPU core)
"""


def parser(prog: str) -> argparse.ArgumentParser:
    """The command's options; those for settings come from the configuration's own fields."""
    epilog = _NOTES.format(
        datasets=", ".join(EXPERIMENTS),
        models=", ".join(ROWS),
        architectures=", ".join(ARCHITECTURES),
        objectives=", ".join(OBJECTIVES),
    )
    train = Parser(
        "Train and score one run or several, or resume them.",
        _EXAMPLES,
        prog=prog,
        usage=f"{prog} DATASET --model LIST [options]",
        epilog=epilog,
    )
    train.add_argument("dataset", help=f"one of: {', '.join(EXPERIMENTS)}")
    train.add_argument(
        "--model",
        required=True,
        type=word_list,
        metavar="LIST",
        help="rows of the table, or ARCHITECTURE+OBJECTIVE: c-vitae, or vae,c-vitae",
    )
    add_profile(train)
    seeds = train.add_mutually_exclusive_group()
    seeds.add_argument("--seed", type=int, default=0, help="of weights, order, perspectives and noise (default 0)")
    seeds.add_argument("--seeds", type=seed_list, metavar="LIST", help="several, trained together: 0-9, or 0,3,7")
    add_data(train)
    add_compute(train)
    train.add_argument("--restart", action="store_true", help="delete these runs' checkpoints and records first")
    train.add_argument(
        "--skip-recorded", action="store_true", help="do not train a run again that has a record but no weights"
    )
    train.add_argument("--no-scores", action="store_true", help="stop when the weights are there, without a record")
    changed = train.add_argument_group(
        "settings, where they differ from the profile's",
        "A run with changes has them in its name and stays out of tables. Where a LIST such as 1,2,4 is allowed, each\n"
        "value is a run.",
    )
    for setting in settings().values():
        option = f"--{setting.name.replace('_', '-')}"
        if setting.kind is bool:
            changed.add_argument(option, action="store_true", default=None, help=setting.help)
            continue
        text = f"{setting.help}: {', '.join(setting.choices)}" if setting.choices else setting.help
        kind = {int: int_list, float: float_list}.get(setting.kind, str)
        changed.add_argument(option, type=kind, metavar=None if kind is str else "LIST", help=text.replace("%", "%%"))
    return train


def execute(arguments: argparse.Namespace) -> None:
    """Train and score, and describe the records."""
    given = {name: getattr(arguments, name) for name in settings()}
    lists = {name: each if isinstance(each, list) else [each] for name, each in given.items()}
    models, seeds = list(dict.fromkeys(arguments.model)), arguments.seeds or [arguments.seed]
    count = math.prod(map(len, (models, seeds, *lists.values())))
    if count > MOST_RUNS:
        raise InputError(f"this asks for {count:,} runs, and one command starts {MOST_RUNS:,} at most: ask for some.")
    configurations = [
        configure(arguments.dataset, model, arguments.profile, seed, **dict(zip(lists, values, strict=True)))
        for model in models
        for values in itertools.product(*lists.values())
        for seed in seeds
    ]
    use_threads(arguments.threads)
    records = run_together(
        configurations,
        root=arguments.data_root,
        source=arguments.source,
        device=arguments.device,
        restart=arguments.restart,
        skip_recorded=arguments.skip_recorded,
        score=not arguments.no_scores,
    )
    for record in records:
        print(description(record) if len(records) == 1 else short_description(record))
    if records:
        file = record_path(configuration_of(records[0]))
        print(f"record: {file}" if len(records) == 1 else f"records: {file.parent}")


def _printed(number: float, digits: int) -> str:
    """A number with that many decimals; where there is none it says so, as the tables do."""
    return f"{number:.{digits}f}" if math.isfinite(number) else "undefined"


def _numbers(record: dict) -> list[str]:
    """Every number of a record that has a column, apart from likelihoods, as `heading number`."""
    found = []
    for name, column in columns_by_name().items():
        number = record["scores"].get(name)
        if name not in LIKELIHOODS and number is not None:
            found.append(f"{column.heading} {_printed(value(record, name), column.digits)}")
    return found


def short_description(record: dict) -> str:
    """A record in one line."""
    seconds = record["seconds"]
    scores = ", ".join(
        [
            f"test ELBO {value(record, 'test_elbo'):.1f}",
            f"log p(x) {value(record, 'log_likelihood'):.1f} (K = {record['scores']['samples']:,})",
            *_numbers(record),
        ]
    )
    return f"{record['run']}: {scores}; {seconds['train']:.0f} s training, {seconds['evaluate']:.0f} s evaluation"


def description(record: dict) -> str:
    """A record as a person wants to read it."""
    data, scores, seconds = record["data"], record["scores"], record["seconds"]
    lines = [
        f"{record['run']} ({record['configuration']['profile']}), {record['parameters']:,} parameters",
        f"data: {data['location']}; {data['train']:,} to train, {data['evaluated']:,} {data['evaluated_on']}",
        f"nats per image: train ELBO {value(record, 'train_elbo'):.1f}, test ELBO {value(record, 'test_elbo'):.1f}, "
        f"log p(x) {value(record, 'log_likelihood'):.1f} (K = {scores['samples']:,})",
        *([", ".join(numbers)] if (numbers := _numbers(record)) else []),
    ]
    for space, factors in scores["predictability"].items():
        known = ", ".join(f"{name} {_printed(value(record, f'{space}:{name}'), 2)}" for name in factors)
        if known:
            lines.append(f"from {space}: {known}  (accuracy of classes, R² of the others)")
    if dead := len(scores.get("template_use", ())) - scores.get("templates_living", 0):
        lines.append(f"{dead} of {len(scores['template_use'])} templates are dead: try fewer, with --templates")
    lines.append(f"{seconds['train']:.0f} s training, {seconds['evaluate']:.0f} s evaluation, on {record['device']}")
    return "\n".join(lines)

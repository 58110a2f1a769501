"""`vitae train | evaluate | table | scores | bench | data`: everything the notebooks do, from a shell."""

import argparse
import importlib
import io
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from vitae import experiments, paths, results, runs
from vitae.compute import PRECISIONS
from vitae.data import DATASETS, SOURCES, Collection, generated
from vitae.data.base import TooFewError
from vitae.data.export import export
from vitae.errors import InputError, reason, require_known, require_number
from vitae.files import picture_kind, read_arrays, require_writable, write_text
from vitae.metrics import report
from vitae.metrics.arrays import checked_names

_HELP = """\
examples:
  vitae train mnist --model c-vitae --profile quick --seed 0
  vitae train mnist --model c-vitae --profile full --data-root ~/data   # resumes if it was killed
  vitae train dsprites --model beta-tcvae                               # another dataset
  vitae train folder --model c-vitae --data-root pictures               # your own images
  vitae train mnist --model c-vitae --seeds 0-9                         # ten runs as one training
  vitae train mnist --model beta-vae --beta 1,2,4 --hold-out            # so are three strengths
  vitae train mnist --model c-vitae+beta-tc --beta 4 --epochs 20        # any architecture, any objective
  vitae train mnist --model c-vitae --transform affine+cpab             # another transformation
  vitae evaluate c-vitae-seed0 --samples 1000                           # a finished run, scored again
  vitae table --profile quick
  vitae scores codes.npz --figure matrices.png       # your own codes: DCI, MIG, SAP and all the others
  vitae data                                         # all datasets, and what is present where
  vitae data celeba --preview faces.png --traversal factors.png
  vitae data smpl --resolution 128x64 --export bodies

models:   {models},
          {sisters}, or ARCHITECTURE+OBJECTIVE
          with architectures {architectures} and objectives {objectives}
profiles: smoke (seconds; proves that it runs, shows nothing else), quick (embedded data, minutes on two cores),
          full (the size of the poster; minutes on a GPU, up to half an hour a model on a CPU)

Records go to book/records, weights and checkpoints to runs, both under $VITAE_HOME (default: the clone, else the
current folder). Data is looked for under --data-root or $VITAE_DATA. Figures come from the notebooks:
papermill notebooks/mnist.ipynb out.ipynb -p profile quick -p seed 3 writes them to figures/quick.
"""


_SCORES_HELP = """\
The file is what numpy's savez writes:
  codes     points x codes, for instance the posterior means of your encoder
  factors   points x factors, numbers; text becomes numbers by np.unique(labels, return_inverse=True)[1]
  names     of the factors; may be left out, as may
  test_codes, test_factors   to test on; without them a third of the points is kept for it, 5,000 at most

The full protocol wants 10,000 points to learn from and 5,000 to test on; with fewer the result says so.

in Python:
  numpy.savez("codes.npz", codes=vitae.codes_of(encoder, dataset), factors=dataset.factors, names=dataset.names)
then:
  vitae scores codes.npz --spaces z_A=2,z_P=3 --figure matrices.png --output scores.json
"""


class _Parser(argparse.ArgumentParser):
    """Argument errors as one sentence, like all others; options in full, so that scripts stay true."""

    def __init__(self, **settings):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings)

    def error(self, message: str):
        raise InputError(f"{message} (see '{self.prog} --help')")


def _parser() -> argparse.ArgumentParser:
    epilog = _HELP.format(
        models=", ".join(experiments.ROWS),
        sisters=", ".join(experiments.SISTERS),
        architectures=", ".join(experiments.ARCHITECTURES),
        objectives=", ".join(experiments.STRENGTHS),
    )
    parser = _Parser(
        prog="vitae", description="Train, score and tabulate the models of the VITAE paper.", epilog=epilog
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    train = commands.add_parser("train", help="train and score a run or several, or resume them", epilog=epilog)
    train.add_argument("dataset", help=f"one of: {', '.join(experiments.EXPERIMENTS)}")
    train.add_argument(
        "--model",
        required=True,
        type=_words,
        metavar="LIST",
        help="rows of the table, or ARCHITECTURE+OBJECTIVE: c-vitae, or vae,c-vitae",
    )
    _add_profile(train)
    seeds = train.add_mutually_exclusive_group()
    seeds.add_argument("--seed", type=int, default=0, help="of weights, order, perspectives and noise (default 0)")
    seeds.add_argument("--seeds", type=_seeds, metavar="LIST", help="several as one training: 0-9, or 0,3,7")
    _add_data(train)
    _add_compute(train)
    train.add_argument("--restart", action="store_true", help="forget these runs' checkpoints and records, start anew")
    train.add_argument(
        "--skip-recorded", action="store_true", help="a run that has a record is done, even if its weights are gone"
    )
    train.add_argument(
        "--restart-older-than",
        type=Path,
        metavar="FILE",
        help="forget what of these runs is older than a file, for instance than the code",
    )
    train.add_argument(
        "--hold-out",
        action="store_true",
        default=None,
        help="tune honestly: train on nine tenths of the training images, evaluate on the last tenth",
    )
    settings = train.add_argument_group(
        "settings of the profile, changed",
        "a run with changes keeps them in its name and stays out of tables; LISTs such as 1,2,4 are several runs",
    )
    for name, kind, text in (
        ("epochs", int, "passes through the training images"),
        ("batch", int, "images a step"),
        ("learning-rate", _numbers, "peak of the one-cycle schedule"),
        ("warmup", _numbers, "part of all steps over which the KL's weight grows to 1"),
        ("rise", float, "part of all steps over which the learning rate rises to its peak"),
        ("train-size", int, "training images, the first so many"),
        ("test-size", int, "test images, the first so many"),
        ("appearance", int, "dimension of z_A; a VAE gets the sum"),
        ("perspective", int, "dimension of z_P"),
        ("transform", str, "affine (default), cpab, cpab-ROWSxCOLUMNS, or several joined by +"),
        ("likelihood", str, f"of pixels: {', '.join(experiments.LIKELIHOODS)}"),
        (
            "perspective-decoder",
            str,
            f"{', '.join(experiments.PERSPECTIVE_DECODERS)} (default by dataset)",
        ),
        ("start", float, "how far from the identity the transformation begins (default 0.1)"),
        ("limit", float, "how far any of its parameters may go (default no limit; bodies 0.2)"),
        ("samples", int, "K of the importance-weighted log p(x)"),
        ("beta", _numbers, "strength of beta and beta-tc"),
        ("strength", _numbers, "strength of dip-ii"),
        ("gamma", _numbers, "strength of factor, and of capacity's penalty"),
        ("capacity", _numbers, "nats that capacity lets the KL grow to"),
        ("beta-1", _numbers, "strength of the KL of DeVAE's widest space"),
        ("beta-2", _numbers, "of its second"),
        ("beta-3", _numbers, "of its third"),
        ("difference", _numbers, "weight of DiD's contrastive loss"),
        ("independence", _numbers, "weight of the total correlation that may stand in its place"),
        ("precision", str, f"of matrix products in training: {', '.join(PRECISIONS)} (default float32)"),
    ):
        settings.add_argument(f"--{name}", type=kind, help=text, metavar="LIST" if kind is _numbers else None)

    evaluate = commands.add_parser("evaluate", help="score a finished run again", epilog=epilog)
    evaluate.add_argument("run", metavar="RUN", help="a record's path, or a run's name such as c-vitae-seed0")
    _add_profile(evaluate)
    evaluate.add_argument("--dataset", default="mnist", help="of a run given by name (default mnist)")
    evaluate.add_argument("--samples", type=int, help="K of the importance-weighted log p(x) (default: the run's)")
    _add_data(evaluate)
    _add_compute(evaluate)

    table = commands.add_parser("table", help="print the table of all finished runs", epilog=epilog)
    _add_profile(table)
    table.add_argument("--dataset", default="mnist", help="(default mnist)")
    table.add_argument("--format", choices=("text", "markdown", "csv"), default="text", help="(default text)")

    scores = commands.add_parser(
        "scores",
        help="score codes of your own: DCI, MIG, SAP and all the others",
        epilog=_SCORES_HELP,
    )
    scores.add_argument("file", type=Path, metavar="CODES.npz", help="arrays codes and factors, and more; see below")
    scores.add_argument("--names", type=_words, metavar="LIST", help="of the factors: shape,scale,x")
    scores.add_argument(
        "--continuous", type=_words, metavar="LIST", help="factors to cut into ten, '' for none; the others are classes"
    )
    scores.add_argument("--spaces", type=_sizes, metavar="LIST", help="latent spaces and their sizes: z_A=2,z_P=3")
    scores.add_argument("--seed", type=int, default=0, help="of splits and votes (default 0)")
    scores.add_argument("--fast", action="store_true", help="fewer trees and votes; not to be put beside full numbers")
    scores.add_argument("--format", choices=("text", "markdown", "csv"), default="text", help="(default text)")
    scores.add_argument("--figure", type=Path, metavar="FILE", help="draw the matrices behind the scores, .png or .svg")
    scores.add_argument("--output", type=Path, metavar="FILE", help="write all numbers and matrices as JSON")
    scores.add_argument("--threads", type=int, help="CPU threads (default: all cores)")

    bench = commands.add_parser("bench", help="measure how fast all this is on this machine", epilog=epilog)
    bench.add_argument(
        "subject", nargs="?", default="transforms", help=f"{', '.join(_BENCHMARKS)} (default transforms)"
    )
    bench.add_argument("--against-libcpab", action="store_true", help="transforms: libcpab 0.1.3 in the same process")
    bench.add_argument("--repeats", type=int, help="runs for a median, or seeds (default 5, transforms 7)")
    bench.add_argument("--output", type=Path, help="the record (default: in book/records/benchmarks)")
    bench.add_argument("--data-root", type=Path, metavar="DIR", help="data: your own files too (default $VITAE_DATA)")

    data = commands.add_parser("data", help="list datasets, what is present where; draw and export them", epilog=epilog)
    data.add_argument("dataset", nargs="?", help=f"one of: {', '.join(DATASETS)}; all if left out")
    data.add_argument("--preview", type=Path, metavar="FILE", help="draw a contact sheet of 64 training images")
    data.add_argument(
        "--traversal", type=Path, metavar="FILE", help="draw the embedded form, one factor moving in each row"
    )
    data.add_argument("--export", type=Path, metavar="DIR", help="write train.npz, test.npz and manifest.json")
    data.add_argument("--size", type=int, help="images to draw, or to export of each part (default 64, or the usual)")
    data.add_argument("--seed", type=int, default=0, help="of the split and of whatever is drawn (default 0)")
    data.add_argument("--resolution", metavar="HxW", help="pixels, for instance 128x64 (default: the dataset's own)")
    _add_data(data)
    return parser


def _seeds(text: str) -> list[int]:
    """0-9, or 0,3,7, or both: 0-4,9."""
    found = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise argparse.ArgumentTypeError(f"whole numbers such as 0-9 or 0,3,7 were expected, got '{text[:40]}'")
        ends = int(first), int(last) if dash else int(first)
        if ends[1] - ends[0] not in range(_MOST_RUNS):
            raise argparse.ArgumentTypeError(f"'{part[:40]}' is not one to {_MOST_RUNS:,} seeds in rising order")
        found += range(ends[0], ends[1] + 1)
    return list(dict.fromkeys(found))


def _numbers(text: str) -> list[float]:
    try:
        return list(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"a number, or several such as 1,2,4, was expected, got '{text[:40]}'"
        ) from None


_MOST_RUNS = 1_000


def _add_profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="quick", help="smoke, quick or full (default quick)")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="your own data folder (default $VITAE_DATA)")
    parser.add_argument(
        "--source", default="auto", help=f"where data may come from: {', '.join(SOURCES)} (default auto)"
    )


def _add_compute(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")


def _words(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _sizes(text: str) -> dict[str, int]:
    found = {}
    for part in _words(text):
        name, _, size = part.partition("=")
        if not (name and size.isdecimal()) or name in found:
            raise argparse.ArgumentTypeError(f"names and sizes such as z_A=2,z_P=3 were expected, got '{text[:40]}'")
        found[name] = int(size)
    return found


def _no_records(dataset: str, profile: str) -> str:
    return (
        f"there are no records of {dataset} with profile {profile} under {paths.records()}: "
        f"run 'vitae train {dataset} --model c-vitae --profile {profile}' first."
    )


def _train(arguments: argparse.Namespace) -> None:
    given = {name: getattr(arguments, name) for name in experiments.SETTINGS if hasattr(arguments, name)}
    lists = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    configurations = [
        experiments.configure(
            arguments.dataset, model, arguments.profile, seed, **dict(zip(lists, values, strict=True))
        )
        for model in dict.fromkeys(arguments.model)
        for values in itertools.product(*lists.values())
        for seed in (arguments.seeds or [arguments.seed])
    ]
    _use_threads(arguments.threads)
    records = runs.run_together(
        configurations,
        root=arguments.data_root,
        source=arguments.source,
        device=arguments.device,
        restart=arguments.restart,
        recorded_is_done=arguments.skip_recorded,
        newer_than=arguments.restart_older_than,
    )
    for record in records:
        _describe(record) if len(records) == 1 else _describe_briefly(record)
    if records:
        folder = experiments.record_path(configurations[0])
        print(f"record: {folder}" if len(records) == 1 else f"records: {folder.parent}")


def _describe_briefly(record: dict) -> None:
    seconds = record["seconds"]
    print(
        f"{record['run']}: test ELBO {results.value(record, 'test_elbo'):.1f}, "
        f"log p(x) {results.value(record, 'log_likelihood'):.1f} (K = {record['scores']['samples']:,}), "
        f"D_score {results.value(record, 'd_score'):.3f}; "
        f"{seconds['train']:.0f} s training, {seconds['evaluate']:.0f} s evaluation"
    )


def _describe(record: dict) -> None:
    """A record as a person wants to read it."""
    data, scores = record["data"], record["scores"]
    print(f"{record['run']} ({record['configuration']['profile']}), {record['parameters']:,} parameters")
    print(f"data: {data['location']}; {data['train']:,} to train, {data['evaluated']:,} {data['evaluated_on']}")
    print(
        f"nats per image: train ELBO {results.value(record, 'train_elbo'):.1f}, "
        f"test ELBO {results.value(record, 'test_elbo'):.1f}, "
        f"log p(x) {results.value(record, 'log_likelihood'):.1f} (K = {scores['samples']:,})"
    )
    print(f"D_score {results.value(record, 'd_score'):.3f}")
    for space, factors in scores["predictability"].items():
        known = ", ".join(f"{name} {results.value(record, f'{space}:{name}'):.2f}" for name in factors)
        print(f"from {space}: {known}  (accuracy of classes, R^2 of the others)")
    seconds = record["seconds"]
    print(f"{seconds['train']:.0f} s training, {seconds['evaluate']:.0f} s evaluation, on {record['device']}")


def _evaluate(arguments: argparse.Namespace) -> None:
    named = Path(arguments.run)
    if named.suffix != ".json":
        require_known("profile", arguments.profile, experiments.PROFILES)
        require_known("dataset", arguments.dataset, experiments.EXPERIMENTS)
        folder = paths.records() / arguments.profile / arguments.dataset
        recorded = sorted(path.stem for path in folder.glob("*.json"))
        if not recorded:
            raise InputError(_no_records(arguments.dataset, arguments.profile))
        require_known("run", arguments.run, recorded)
        named = folder / f"{arguments.run}.json"
    record = results.read(named)
    _use_threads(arguments.threads)
    _describe(
        runs.rescore(
            record,
            samples=arguments.samples,
            root=arguments.data_root,
            source=arguments.source,
            device=arguments.device,
        )
    )


def _table(arguments: argparse.Namespace) -> None:
    require_known("profile", arguments.profile, experiments.PROFILES)
    require_known("dataset", arguments.dataset, experiments.EXPERIMENTS)
    records = results.load(arguments.profile, arguments.dataset)
    if not records:
        raise InputError(_no_records(arguments.dataset, arguments.profile))
    names = {name: row[0] for name, row in experiments.ROWS.items()}
    poster = results.POSTER[arguments.dataset] if arguments.profile == "full" else None
    rows = results.table(records, names, poster=poster)
    print(_FORMATS[arguments.format](rows))
    print(results.caption(records), file=sys.stderr)


_FORMATS = {"text": results.as_text, "markdown": results.as_markdown, "csv": results.as_csv}


def _scores(arguments: argparse.Namespace) -> None:
    if arguments.figure:
        picture_kind(arguments.figure)
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
    _use_threads(arguments.threads)
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
    if arguments.output:
        write_text(arguments.output, json.dumps(found.as_json(), indent=1, ensure_ascii=False) + "\n")
    print(_FORMATS[arguments.format](found.rows()))
    print(found.caption(), file=sys.stderr)
    if arguments.figure:
        # matplotlib takes a second to import.
        from vitae import plots

        plots.write_figure(plots.score_matrices(found), arguments.figure)


def _bench(arguments: argparse.Namespace) -> None:
    require_known("benchmark", arguments.subject, _BENCHMARKS)
    if arguments.repeats is not None:
        require_number("repeats", arguments.repeats, 1, whole=True)
    if arguments.against_libcpab and arguments.subject != "transforms":
        raise InputError("--against-libcpab belongs to 'vitae bench transforms'.")
    # Each imports what it measures, which no other command needs.
    bench = importlib.import_module(f"vitae.bench.{arguments.subject}")
    where = arguments.output or paths.records() / "benchmarks" / _BENCHMARKS[arguments.subject]
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


_BENCHMARKS = {
    "transforms": "transformations.json",
    "data": "data.json",
    "train": "train.json",
    "evaluate": "evaluate.json",
    "precision": "precision.json",
    "scores": "scores.json",
}


def _data(arguments: argparse.Namespace) -> None:
    for option in ("preview", "traversal", "export"):
        if getattr(arguments, option) and not arguments.dataset:
            raise InputError(f"--{option} needs a dataset: for instance 'vitae data mnist --{option} ...'.")
    names = [require_known("dataset", arguments.dataset, DATASETS)] if arguments.dataset else list(DATASETS)
    require_known("source", arguments.source, SOURCES)
    if arguments.size is not None:
        require_number("size", arguments.size, 1, whole=True)
    resolution = _resolution(arguments.resolution)
    for picture in filter(None, (arguments.preview, arguments.traversal)):
        # Before the work, not after it.
        picture_kind(picture)
        require_writable(picture)
    for name in names:
        print(f"{name}: {DATASETS[name].title}")
        for line in DATASETS[name].whereabouts(arguments.data_root):
            print(f"  {line}")
    if not arguments.dataset:
        if entries := generated.contents():
            megabytes = sum(size for _, size in entries) / 1e6
            print(
                f"cache: {len(entries)} generated sets, {megabytes:,.0f} MB in {paths.generated()}; delete it at will"
            )
        return
    if arguments.size is not None and not (arguments.preview or arguments.export):
        raise InputError("--size says how many images to draw or to export: add --preview FILE or --export DIR.")

    collection = DATASETS[arguments.dataset]
    request = {
        "root": arguments.data_root,
        "source": arguments.source,
        "seed": arguments.seed,
        "resolution": resolution,
    }
    if arguments.source == "download":
        # Loading one image fetches all there is to fetch, whatever else is asked for.
        print(f"downloaded: {collection.load(**{**request, 'seed': 0, 'resolution': None}, size=1).source}")
    if arguments.preview:
        _draw(collection, request, arguments.size, arguments.preview)
    if arguments.traversal:
        from vitae import plots

        rows = collection.traversals(_TRAVERSED, resolution)
        plots.write_figure(plots.factor_sheet(rows), arguments.traversal)
        print(f"traversal: {arguments.traversal}, embedded: {collection.instead}")
    if arguments.export:
        for path in export(collection, arguments.export, size=arguments.size, **request):
            print(f"export: {path} ({path.stat().st_size:,} bytes)")


def _draw(collection: Collection, request: dict, count: int | None, path: Path) -> None:
    # matplotlib takes a second to import, and only this needs it.
    from vitae import plots

    try:
        dataset = collection.load("train", size=count or _PREVIEW, **request)
    except TooFewError as error:
        if count is not None:
            raise
        dataset = collection.load("train", size=error.available, **request)
    plots.write_figure(plots.contact_sheet(dataset.images), path)
    print(f"preview: {path}, {len(dataset):,} images")
    print(f"source: {dataset.source}")
    for kind, text in (("licence", dataset.licence), ("cite", dataset.citation)):
        if text:
            print(f"{kind}: {text}")
    about = dataset.about if len(dataset.about) <= _DESCRIBED else dataset.names
    print(f"factors: {'; '.join(map(str, about)) or 'none'}")


def _resolution(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, by, width = text.lower().partition("x")
    if not (by and height.isdecimal() and width.isdecimal() and len(text) <= _DIGITS):
        raise InputError(f"resolution must be HEIGHTxWIDTH in pixels, for instance 128x64, got '{text[:40]}'.")
    return int(height), int(width)


_DIGITS = 11  # of a resolution; more are a slip of the keyboard
_DESCRIBED = 20  # more factors than these are only named
_PREVIEW = 64
_TRAVERSED = 10
_MOST_THREADS = 1_024


def _use_threads(count: int | None) -> None:
    if count is not None:
        if not 1 <= count <= _MOST_THREADS:
            raise InputError(f"threads must be from 1 to {_MOST_THREADS:,}, got {count}.")
        torch.set_num_threads(count)


_COMMANDS = {"train": _train, "evaluate": _evaluate, "table": _table, "scores": _scores, "bench": _bench, "data": _data}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit code 0, or 2 with one sentence on bad input, or 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal without β still gets its table.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    resumes = ""
    try:
        parsed = _parser().parse_args(arguments)
        if parsed.command == "train":
            resumes = "; the same command continues from the last checkpoint"
        _COMMANDS[parsed.command](parsed)
        sys.stdout.flush()
    except OSError as error:
        # Files are vitae.files' business; what is left is standard output, a closed pipe or a full disk.
        print(f"vitae: cannot write the output: {(error.strerror or reason(error)).lower()}.", file=sys.stderr)
        return 2
    except InputError as error:
        print(f"vitae: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"vitae: interrupted{resumes}.", file=sys.stderr)
        return 130
    return 0

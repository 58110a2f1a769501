"""Testable sentences of the poster and of the sister systems' abstracts, and the numbers that decide each.

`vitae.report.verdicts` has the rule, and the page on claims has its history. Numbers of codes are of posterior draws.
"""

import math
from collections.abc import Callable, Iterable

from vitae.experiments.declaration import EXPERIMENTS, printed_name
from vitae.experiments.records import load_records, load_trials
from vitae.report import poster
from vitae.report.evidence import Records, gap, named_part, part
from vitae.report.statistics import share_gained
from vitae.report.verdicts import Claim, Part

# Shares of the range from guessing to certainty: at most `LITTLE` counts as no knowledge of a factor, at least `MUCH`
# as knowledge of it.
LITTLE, MUCH = 0.1, 0.8

# The smallest effects that matter. Two hundredths of a share is what seeds of one model differ by.
_SHARE = 0.02
# D*, MIG and DCI of one model differ by up to some hundredths between seeds; nobody would choose a model for less.
_SCORE = 0.05
# The tolerance of a converged training, see `vitae.training.convergence`.
_NATS = 1.0

_DATASETS = ("mnist", "dsprites", "smpl", "celeba")
_HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
# A latent is of one motion if that makes up this share of its scaling and translation together, and if it moves at
# least this much in one standard deviation.
_PURE, _LEAST_MOTION = 0.8, 0.02

# The sister systems' datasets, and the scores that their abstracts compare.
_SISTERS_DATASETS = ("dsprites", "shapes3d")
_SCORES = {"mig": "MIG", "dci": "DCI", "sap": "SAP"}
# The beta of DeVAE's narrowest space.
_NARROWEST = 40.0
# A score that may not get worse may fall by this much.
_NO_WORSE = 0.05
# The models that DiD must exceed.
_MAINSTREAM = ("beta-vae", "beta-tcvae", "factor-vae")
# What replaces DiD's contrastive loss of differences -> the settings that do so.
_REPLACEMENTS = {"nothing": {}, "total correlation": {"independence": 1.0}}


def read() -> Records:
    """The records of profile full by dataset; runs with changed settings have keys such as `mnist, cpab`."""
    records = {dataset: load_records("full", dataset) for dataset in (*_DATASETS, "shapes3d")}
    for dataset in _DATASETS:
        records[f"{dataset}, with trials"] = records[dataset] + load_trials(dataset)
    records["mnist, cpab"] = load_records("full", "mnist", transform="cpab")
    records["mnist, hidden"] = load_records("full", "mnist", perspective_decoder="hidden")
    for dataset in _SISTERS_DATASETS:
        records[f"{dataset}, narrowest"] = load_records("full", dataset, beta=_NARROWEST)
    records["dsprites, wide"] = load_records("full", "dsprites", appearance=50, perspective=50)
    for replacement, changes in _REPLACEMENTS.items():
        records[f"dsprites, {replacement}"] = load_records("full", "dsprites", difference=0.0, **changes)
    return records


def claims(records: Records) -> list[Claim]:
    """The poster's claims, from the records that `read` returns."""
    return [
        Claim(
            "leads",
            "C-VITAE has the highest disentanglement score on each dataset (table).",
            tuple(
                _above(records, dataset, other)
                for dataset in poster.POSTER
                for other in poster.POSTER[dataset]
                if other != "c-vitae"
            ),
            "quantitative",
        ),
        Claim(
            "conditional",
            "C-VITAE, which undoes the perspective before it infers the appearance, scores above U-VITAE on each "
            "dataset (table).",
            tuple(_above(records, dataset, "u-vitae") for dataset in poster.POSTER),
            "quantitative",
        ),
        Claim(
            "likelihood",
            "On MNIST, C-VITAE has a higher log p(x) than U-VITAE (table).",
            (_likelier(records, "mnist", "u-vitae"),),
            "quantitative",
        ),
        Claim(
            "invertible",
            "Both transformations are diffeomorphic, and the inverse of T_γ is T_−γ.",
            tuple(part for dataset in _DATASETS for part in _invertible(records, dataset)),
            "transformations",
        ),
        Claim(
            "digit",
            "On MNIST, the digit (appearance) and the writing style (perspective) are disentangled.",
            (
                _knows(records, "mnist", "z_A", "digit"),
                _ignores(records, "mnist", "z_P", "digit"),
                *(_knows(records, "mnist", "z_P", factor) for factor in ("dx", "dy")),
                *(_ignores(records, "mnist", "z_A", factor) for factor in ("rotation", "dx", "dy")),
                # Handwriting has a slant of its own, as large as the rotation, so nobody can tell the two apart.
                _knows(records, "mnist", "z_P", "rotation", necessary=False),
            ),
            "mnist",
        ),
        Claim(
            "both at once",
            "In β-TCVAE and DIP-VAE-II, one latent changes body shape and body position at once; in VITAE this happens "
            "less, though separation is not perfect.",
            (
                named_part(records, "D* of β-TCVAE", "d_star", 0.5, "smpl", "beta-tcvae", below=True),
                named_part(records, "D* of DIP-VAE-II", "d_star", 0.5, "smpl", "dip-vae-ii", below=True),
                _above(records, "smpl", "beta-tcvae"),
                _above(records, "smpl", "dip-vae-ii"),
            ),
            "smpl",
            compound=True,
        ),
        Claim(
            "pose and shape",
            "Body pose is appearance, body shape is perspective.",
            (
                _knows(records, "smpl", "z_A", "pose"),
                _ignores(records, "smpl", "z_P", "pose"),
                _knows(records, "smpl", "z_P", "shape"),
                _ignores(records, "smpl", "z_A", "shape"),
            ),
            "smpl",
        ),
        Claim(
            "faces",
            "On CelebA, one perspective latent is facial size, another is facial displacement, and an appearance "
            "latent is hair colour.",
            (
                *(
                    part(
                        records,
                        f"share of {effect} in the motion of the perspective latent with most of it",
                        lambda record, effect=effect: _purity(record, effect),
                        _PURE,
                        "celeba",
                    )
                    for effect in ("scaling", "translation")
                ),
                part(records, "hair colour from z_A, AUC", lambda record: _hair(record, "z_A"), 0.75, "celeba"),
                part(records, "hair colour, AUC from z_A minus AUC from z_P", _hair_gap, 0.15, "celeba"),
            ),
            "celeba",
            compound=True,
        ),
        Claim(
            "prior",
            "Where the factors are affine, the known transformation (affine) beats a black box (CPAB), and either "
            "beats no transformation.",
            (
                gap(
                    records,
                    "D* of C-VITAE, affine minus CPAB, with the same decoder of the perspective",
                    "d_star",
                    ("mnist, hidden", "c-vitae"),
                    ("mnist, cpab", "c-vitae"),
                    effect=_SCORE,
                ),
                gap(
                    records,
                    "D* of C-VITAE, affine with that decoder, minus VAE",
                    "d_star",
                    ("mnist, hidden", "c-vitae"),
                    ("mnist", "vae"),
                    effect=_SCORE,
                ),
                gap(
                    records,
                    "D* of C-VITAE with CPAB minus VAE",
                    "d_star",
                    ("mnist, cpab", "c-vitae"),
                    ("mnist", "vae"),
                    effect=_SCORE,
                ),
            ),
            "transformations",
        ),
        Claim(
            "short cut",
            "The spatial transformer does what would otherwise need an overparametrised network: with as many "
            "parameters, C-VITAE has a higher log p(x) than a VAE.",
            tuple(_likelier(records, dataset, "vae") for dataset in poster.POSTER),
            "quantitative",
        ),
    ]


def claims_of_sisters(records: Records) -> list[Claim]:
    """The claims of the abstracts of DeVAE and DiD, from the records that `read` returns."""
    both = [(name, score) for name, score in _SCORES.items() if name != "sap"]
    return [
        Claim(
            "balance",
            "DeVAE balances disentanglement and reconstruction (its abstract): it reconstructs better than the β-VAE "
            "with the β of its narrowest space, and disentangles as well.",
            tuple(part for dataset in _SISTERS_DATASETS for part in _balance(records, dataset)),
            "sisters",
        ),
        Claim(
            "wide",
            "DeVAE tolerates high-dimensional latent spaces (its abstract).",
            tuple(_tolerates_width(records, name, score) for name, score in both),
            "sisters",
        ),
        Claim(
            "difference",
            "DiD exceeds mainstream methods in several disentanglement scores, on dSprites and 3D Shapes (its "
            "abstract).",
            tuple(
                _did_above(records, dataset, name, score, other)
                for dataset in _SISTERS_DATASETS
                for name, score in _SCORES.items()
                for other in _MAINSTREAM
            ),
            "sisters",
        ),
        Claim(
            "independence",
            "Disentanglement comes from learning differences, not from making latents independent (DiD's abstract).",
            tuple(
                _without_difference(records, replacement, name, score)
                for replacement in _REPLACEMENTS
                for name, score in both
            ),
            "sisters",
        ),
    ]


def _above(records: Records, dataset: str, other: str) -> Part:
    what = f"{EXPERIMENTS[dataset].title}: D* of C-VITAE minus that of {printed_name(other)}"
    return gap(records, what, "d_star", (dataset, "c-vitae"), (dataset, other), effect=_SCORE)


def _likelier(records: Records, dataset: str, other: str) -> Part:
    what = f"{EXPERIMENTS[dataset].title}: log p(x) of C-VITAE minus that of {printed_name(other)}, nats"
    return gap(records, what, "log_likelihood", (dataset, "c-vitae"), (dataset, other), effect=_NATS, digits=1)


def _share(records: Records, dataset: str, space: str, factor: str, threshold: float, **how) -> Part:
    what = f"{factor} from {space}, share of the range from guessing to certainty"
    name = f"draws:{space}:{factor}"
    return part(records, what, lambda record: share_gained(record, name), threshold, dataset, effect=_SHARE, **how)


def _knows(records: Records, dataset: str, space: str, factor: str, *, necessary: bool = True) -> Part:
    return _share(records, dataset, space, factor, MUCH, necessary=necessary)


def _ignores(records: Records, dataset: str, space: str, factor: str) -> Part:
    return _share(records, dataset, space, factor, LITTLE, below=True)


def _invertible(records: Records, dataset: str) -> list[Part]:
    """Whether inferred transformations can be inverted, which does not depend on how long a model was trained.

    So trials on the validation split count too.
    """

    def of(name: str) -> Callable[[dict], float]:
        return lambda record: record["scores"].get("round_trip", {}).get(name, math.nan)

    title = EXPERIMENTS[dataset].title
    error = f"{title}: largest error of T_−γ after T_γ, pixels"
    area = f"{title}: smallest area of a transformed pixel"
    return [
        part(records, error, of("error"), 0.1, f"{dataset}, with trials", below=True, digits=4, trained=False),
        part(records, area, of("least_area"), 0, f"{dataset}, with trials", trained=False),
    ]


def _purity(record: dict, effect: str) -> float:
    """Of all perspective latents that move anything, the largest share of an effect in scaling plus translation.

    From the transformation itself, so that what the image shows plays no part.
    """
    found = [0.0]
    for motion in record["scores"].get("effects_of_transformation", {}).values():
        if motion[effect] >= _LEAST_MOTION:
            found.append(motion[effect] / (motion["scaling"] + motion["translation"]))
    return max(found)


def hair_colours(classes: Iterable[str]) -> list[str]:
    """The hair colours among some classes, which are CelebA's attributes or those of the synthetic heads."""
    return [name for name in classes if name in _HAIR or name.startswith("hair_colour")]


def _hair(record: dict, space: str) -> float:
    """The mean area under the ROC curve over the hair colours."""
    by_class = record["scores"].get("separability", {}).get(space, {})
    areas = [by_class[name] for name in hair_colours(by_class) if by_class[name] is not None]
    return sum(areas) / len(areas) if areas else math.nan


def _hair_gap(record: dict) -> float:
    return _hair(record, "z_A") - _hair(record, "z_P")


def _balance(records: Records, dataset: str) -> list[Part]:
    """Reconstruction and scores of DeVAE minus those of a beta-VAE with the beta of its narrowest space."""
    title, pair = EXPERIMENTS[dataset].title, ((dataset, "devae-2"), (f"{dataset}, narrowest", "beta-vae"))
    compared = f"of DeVAE minus that of β-VAE with β = {_NARROWEST:g}"
    error = f"{title}: squared error per pixel {compared}"
    return [
        gap(records, error, "reconstruction", *pair, below=True, digits=5),
        *(gap(records, f"{title}: {s} {compared}", name, *pair, -_NO_WORSE) for name, s in _SCORES.items()),
    ]


def _tolerates_width(records: Records, name: str, score: str) -> Part:
    what = f"dSprites: {score} of DeVAE with 100 latents minus with 10"
    return gap(records, what, name, ("dsprites, wide", "devae-2"), ("dsprites", "devae-2"), -_NO_WORSE)


def _did_above(records: Records, dataset: str, name: str, score: str, other: str) -> Part:
    what = f"{EXPERIMENTS[dataset].title}: {score} of DiD minus that of {printed_name(other)}"
    return gap(records, what, name, (dataset, "did"), (dataset, other), effect=_SCORE)


def _without_difference(records: Records, replacement: str, name: str, score: str) -> Part:
    what = f"dSprites: {score} of DiD minus that with {replacement} instead of its loss of differences"
    pair = ("dsprites", "did"), (f"dsprites, {replacement}", "did")
    return gap(records, what, name, *pair, effect=_SCORE)

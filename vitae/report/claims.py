"""Testable sentences of the poster and of the sister systems' abstracts, and the numbers that decide each.

`vitae.report.verdicts` has the rule. The thresholds below were written before the records that they judge.
"""

import math
from collections.abc import Callable, Iterable

from vitae.experiments.declaration import EXPERIMENTS, printed_name
from vitae.experiments.records import load_records
from vitae.report import poster, statistics
from vitae.report.statistics import Interval, guessing
from vitae.report.verdicts import Claim, Part

Records = dict[str, list[dict]]

# Shares of the range from guessing to certainty, see `share_gained`: at most `LITTLE` counts as no knowledge of a
# factor, at least `MUCH` as knowledge of it.
LITTLE, MUCH = 0.1, 0.8
_DATASETS = ("mnist", "dsprites", "smpl", "celeba")
_HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
# The effect of a perspective latent must be this many times its recolouring.
_TIMES = 5.0

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
    records["mnist, cpab"] = load_records("full", "mnist", transform="cpab")
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
            tuple(_above_best(records, dataset) for dataset in poster.POSTER),
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
            "invertible",
            "Both transformations are diffeomorphic, and the inverse of T_γ is T_−γ.",
            tuple(part for dataset in _DATASETS for part in _invertible(records, dataset)),
            "transformations",
        ),
        Claim(
            "digit",
            "On MNIST, the digit (appearance) and the writing style (perspective) are disentangled.",
            (
                Part(
                    "digit from z_P, share of the range from guessing to certainty",
                    _of(records, "mnist", lambda record: _gained_from_perspective(record, "digit")),
                    LITTLE,
                    True,
                ),
                Part("digit from z_A", _value(records, "mnist", "z_A:digit"), MUCH),
                *(
                    Part(f"{factor} from z_A, R²", _value(records, "mnist", f"z_A:{factor}"), LITTLE, True)
                    for factor in ("rotation", "dx", "dy")
                ),
            ),
            "mnist",
        ),
        Claim(
            "both at once",
            "In β-TCVAE and DIP-VAE-II, one latent changes body shape and body position at once; in VITAE this happens "
            "less, though separation is not perfect.",
            (
                Part("D_score of β-TCVAE", _value(records, "smpl", "d_score", "beta-tcvae"), 0.9, True),
                Part("D_score of DIP-VAE-II", _value(records, "smpl", "d_score", "dip-vae-ii"), 0.9, True),
                _above(records, "smpl", "beta-tcvae"),
                _above(records, "smpl", "dip-vae-ii"),
                Part("D_score of C-VITAE", _value(records, "smpl", "d_score"), 0.99, True),
            ),
            "smpl",
        ),
        Claim(
            "pose and shape",
            "Body pose is appearance, body shape is perspective.",
            (
                Part("pose from z_A", _value(records, "smpl", "z_A:pose"), 0.95),
                Part("shape from z_A, R²", _value(records, "smpl", "z_A:shape"), 0.3, True),
                Part("shape from z_P, R²", _value(records, "smpl", "z_P:shape"), MUCH),
                Part(
                    "pose from z_P, share of the range from guessing to certainty",
                    _of(records, "smpl", lambda record: _gained_from_perspective(record, "pose")),
                    LITTLE,
                    True,
                ),
            ),
            "smpl",
        ),
        Claim(
            "faces",
            "On CelebA, one perspective latent is facial size, another is facial displacement, and an appearance "
            "latent is hair colour.",
            (
                *(
                    Part(
                        f"{effect} by a perspective latent, as a multiple of its recolouring",
                        _times(records, effect),
                        _TIMES,
                    )
                    for effect in ("scaling", "translation")
                ),
                Part("hair colour from z_A, AUC", _of(records, "celeba", lambda record: _hair(record, "z_A")), 0.75),
                Part("hair colour, AUC from z_A minus AUC from z_P", _of(records, "celeba", _hair_gap), 0.15),
            ),
            "celeba",
        ),
        Claim(
            "prior",
            "Where the factors are affine, the known transformation (affine) beats a black box (CPAB), and either "
            "beats no transformation.",
            (
                Part("D_score of C-VITAE, affine minus CPAB", _against_cpab(records, "c-vitae"), 0),
                _above(records, "mnist", "vae"),
                Part("D_score, C-VITAE with CPAB minus VAE", _against_cpab(records, "vae"), 0),
            ),
            "transformations",
        ),
        Claim(
            "short cut",
            "The spatial transformer does what would otherwise need an overparametrised network: with as many "
            "parameters, C-VITAE has a higher log p(x) than a VAE.",
            tuple(
                Part(
                    f"{EXPERIMENTS[dataset].title}: log p(x) of C-VITAE minus that of VAE, nats",
                    statistics.paired(records[dataset], "c-vitae", "vae", "log_likelihood"),
                    0,
                    digits=1,
                )
                for dataset in poster.POSTER
            ),
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
                _did_above_best(records, dataset, name, score)
                for dataset in _SISTERS_DATASETS
                for name, score in _SCORES.items()
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


def _of(records: Records, dataset: str, number: Callable[[dict], float], model: str = "c-vitae") -> Interval | None:
    numbers = statistics.by_seed(records[dataset], model, number)
    return Interval.of(list(numbers.values())) if numbers else None


def _value(records: Records, dataset: str, name: str, model: str = "c-vitae") -> Interval | None:
    return _of(records, dataset, lambda record: statistics.value(record, name), model)


def _above(records: Records, dataset: str, other: str) -> Part:
    gap = statistics.paired(records[dataset], "c-vitae", other, poster.D_SCORES[dataset])
    return Part(f"{EXPERIMENTS[dataset].title}: D_score of C-VITAE minus that of {printed_name(other)}", gap, 0)


def _above_best(records: Records, dataset: str) -> Part:
    by_model = statistics.intervals(records[dataset], poster.D_SCORES[dataset])
    others = [model for model in poster.POSTER[dataset] if model != "c-vitae"]
    if not by_model.keys() >= set(others):
        return Part(f"{EXPERIMENTS[dataset].title}: D_score of C-VITAE minus that of the best other model", None, 0)
    return _above(records, dataset, max(others, key=lambda model: by_model[model].mean))


def _invertible(records: Records, dataset: str) -> list[Part]:
    def of(name: str) -> Interval | None:
        return _of(records, dataset, lambda record: record["scores"].get("round_trip", {}).get(name, math.nan))

    title = EXPERIMENTS[dataset].title
    return [
        Part(f"{title}: largest error of T_−γ after T_γ, pixels", of("error"), 0.1, True, digits=4),
        Part(f"{title}: smallest area of a transformed pixel", of("least_area"), 0),
    ]


def share_gained(reached: float, chance: float) -> float:
    """Where a number lies between guessing, which is 0, and certainty, which is 1."""
    return (reached - chance) / (1 - chance)


def _gained_from_perspective(record: dict, factor: str) -> float:
    return share_gained(statistics.value(record, f"z_P:{factor}"), guessing(record, factor))


def _times(records: Records, effect: str) -> Interval | None:
    """The largest effect of any perspective latent, as a multiple of the same latent's recolouring."""

    def times(record: dict) -> float:
        latents = {name: e for name, e in record["scores"].get("effects", {}).items() if name.startswith("z_P")}
        if not latents:
            return math.nan
        most = max(latents.values(), key=lambda effects: effects[effect])
        return most[effect] / most["recolouring"] if most["recolouring"] else math.inf

    return _of(records, "celeba", times)


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


def _against_cpab(records: Records, model: str) -> Interval | None:
    """D_score on MNIST, paired by seed: affine C-VITAE minus C-VITAE with CPAB, or the latter minus the VAE."""
    affine, cpab = records["mnist"], records["mnist, cpab"]
    if model == "c-vitae":
        return statistics.paired(affine, "c-vitae", "c-vitae", "d_score", cpab)
    return statistics.paired(cpab, "c-vitae", model, "d_score", affine)


def _balance(records: Records, dataset: str) -> list[Part]:
    """Reconstruction and scores of DeVAE minus those of a beta-VAE with the beta of its narrowest space."""
    title, narrow = EXPERIMENTS[dataset].title, records[f"{dataset}, narrowest"]

    def gap(name: str) -> Interval | None:
        return statistics.paired(records[dataset], "devae-2", "beta-vae", name, narrow)

    compared = f"of DeVAE minus that of β-VAE with β = {_NARROWEST:g}"
    return [
        Part(f"{title}: squared error per pixel {compared}", gap("reconstruction"), 0, True, digits=5),
        *(Part(f"{title}: {score} {compared}", gap(name), -_NO_WORSE) for name, score in _SCORES.items()),
    ]


def _tolerates_width(records: Records, name: str, score: str) -> Part:
    gap = statistics.paired(records["dsprites, wide"], "devae-2", "devae-2", name, records["dsprites"])
    return Part(f"dSprites: {score} of DeVAE with 100 latents minus with 10", gap, -_NO_WORSE)


def _did_above_best(records: Records, dataset: str, name: str, score: str) -> Part:
    by_model = statistics.intervals(records[dataset], name)
    measured = [model for model in _MAINSTREAM if model in by_model]
    if "did" not in by_model or len(measured) < len(_MAINSTREAM):
        return Part(f"{EXPERIMENTS[dataset].title}: {score} of DiD minus that of the best other model", None, 0)
    best = max(measured, key=lambda model: by_model[model].mean)
    gap = statistics.paired(records[dataset], "did", best, name)
    return Part(f"{EXPERIMENTS[dataset].title}: {score} of DiD minus that of {printed_name(best)}", gap, 0)


def _without_difference(records: Records, replacement: str, name: str, score: str) -> Part:
    gap = statistics.paired(records["dsprites"], "did", "did", name, records[f"dsprites, {replacement}"])
    return Part(f"dSprites: {score} of DiD minus that with {replacement} instead of its loss of differences", gap, 0)

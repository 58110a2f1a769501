"""Sentences of the poster and of the sister systems' abstracts that can be tested, and what is measured for each.

The rule is `verdicts.Claim`'s.

Thresholds were written before the records that are judged by them, and stand here so that nobody moves them.
"""

import math
from collections.abc import Callable, Iterable

from vitae.experiments.declaration import EXPERIMENTS, printed_name
from vitae.experiments.records import load_records
from vitae.report import poster, statistics
from vitae.report.statistics import Interval
from vitae.report.verdicts import Claim, Part

Records = dict[str, list[dict]]

# A part of the way from guessing to knowing that counts as nothing, and one that counts as much.
LITTLE, MUCH = 0.1, 0.8
_DATASETS = ("mnist", "dsprites", "smpl", "celeba")
_HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
_TIMES = 5.0

# The sister systems: what their abstracts compare by, the beta of the space that DeVAE's narrowest is, how much of a
# score may be lost where nothing should be, and whom DiD is to be above.
_SISTERS_DATASETS = ("dsprites", "shapes3d")
_SCORES = {"mig": "MIG", "dci": "DCI", "sap": "SAP"}
_NARROWEST = 40.0
_NO_WORSE = 0.05
_MAINSTREAM = ("beta-vae", "beta-tcvae", "factor-vae")
# What DiD has in place of the contrastive loss of differences.
_IN_PLACE = {"nothing": {}, "total correlation": {"independence": 1.0}}


def read() -> Records:
    """The full records of all datasets, and of runs with something changed under names such as `mnist, cpab`."""
    found = {dataset: load_records("full", dataset) for dataset in (*_DATASETS, "shapes3d")}
    found["mnist, cpab"] = load_records("full", "mnist", transform="cpab")
    for dataset in _SISTERS_DATASETS:
        found[f"{dataset}, narrowest"] = load_records("full", dataset, beta=_NARROWEST)
    found["dsprites, wide"] = load_records("full", "dsprites", appearance=50, perspective=50)
    for place, changes in _IN_PLACE.items():
        found[f"dsprites, {place}"] = load_records("full", "dsprites", difference=0.0, **changes)
    return found


def claims(records: Records) -> list[Claim]:
    """All claims with their parts, from records by dataset; see `read`."""
    return [
        Claim(
            "leads",
            "C-VITAE has the highest disentanglement score on each dataset (table).",
            tuple(_above_best(records, dataset) for dataset in poster.POSTER),
            "quantitative",
        ),
        Claim(
            "conditional",
            "C-VITAE, which undoes the perspective before it reads appearance, is above U-VITAE on each (table).",
            tuple(_above(records, dataset, "u-vitae") for dataset in poster.POSTER),
            "quantitative",
        ),
        Claim(
            "invertible",
            "For both transformations it holds that the inverse of T_γ is T_−γ; they are diffeomorphic.",
            tuple(part for dataset in _DATASETS for part in _invertible(records, dataset)),
            "transformations",
        ),
        Claim(
            "digit",
            "On MNIST digit (appearance) and writing style (perspective) are disentangled.",
            (
                Part("digit from z_P, part of the way from guessing", _of(records, "mnist", _digit_leak), LITTLE, True),
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
            "β-TCVAE and DIP-VAE-II change body shape and body position at once when a latent is moved; VITAE less, "
            "but not perfectly.",
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
                Part("pose from z_P, part of the way from guessing", _of(records, "smpl", _pose_leak), LITTLE, True),
            ),
            "smpl",
        ),
        Claim(
            "faces",
            "On CelebA one perspective latent is facial size, another facial displacement, and an appearance latent is "
            "hair colour.",
            (
                Part("scaling by a perspective latent, times its recolouring", _times(records, "scaling"), _TIMES),
                Part(
                    "translation by a perspective latent, times its recolouring", _times(records, "translation"), _TIMES
                ),
                Part("hair colour from z_A, AUC", _of(records, "celeba", lambda record: _hair(record, "z_A")), 0.75),
                Part("hair colour, AUC from z_A less from z_P", _of(records, "celeba", _hair_gap), 0.15),
            ),
            "celeba",
        ),
        Claim(
            "prior",
            "Where the factors are affine the known transformation (affine) beats a black box (CPAB), and either beats "
            "none.",
            (
                Part("D_score, affine above CPAB", _against_cpab(records, "c-vitae"), 0),
                _above(records, "mnist", "vae"),
                Part("D_score, CPAB above VAE", _against_cpab(records, "vae"), 0),
            ),
            "transformations",
        ),
        Claim(
            "short cut",
            "The transformer is a short cut to what would otherwise need overparametrised networks: at equal size "
            "C-VITAE has a higher log p(x) than a VAE.",
            tuple(
                Part(
                    f"{EXPERIMENTS[dataset].title}: log p(x) above VAE, nats",
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
    """What the abstracts of DeVAE and DiD say, with its parts, from records by dataset; see `read`."""
    both = [(name, score) for name, score in _SCORES.items() if name != "sap"]
    return [
        Claim(
            "balance",
            "DeVAE balances disentanglement and reconstruction (its abstract): it draws better than the β-VAE of its "
            "narrowest space and disentangles as well.",
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
            "DiD is above the usual methods in various scores of disentanglement, on dSprites and 3D Shapes (its "
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
            "Learning differences is what disentangles, not making latents independent (DiD's abstract).",
            tuple(_without_difference(records, place, name, score) for place in _IN_PLACE for name, score in both),
            "sisters",
        ),
    ]


def _of(records: Records, dataset: str, number: Callable[[dict], float], model: str = "c-vitae") -> Interval | None:
    found = statistics.by_seed(records[dataset], model, number)
    return Interval.of(list(found.values())) if found else None


def _value(records: Records, dataset: str, name: str, model: str = "c-vitae") -> Interval | None:
    return _of(records, dataset, lambda record: statistics.value(record, name), model)


def _above(records: Records, dataset: str, other: str) -> Part:
    gap = statistics.paired(records[dataset], "c-vitae", other, poster.D_SCORES[dataset])
    return Part(f"{EXPERIMENTS[dataset].title}: D_score of C-VITAE less that of {printed_name(other)}", gap, 0)


def _above_best(records: Records, dataset: str) -> Part:
    found = statistics.intervals(records[dataset], poster.D_SCORES[dataset])
    others = [model for model in poster.POSTER[dataset] if model != "c-vitae"]
    if not found.keys() >= set(others):
        return Part(f"{EXPERIMENTS[dataset].title}: D_score of C-VITAE less that of the best other", None, 0)
    return _above(records, dataset, max(others, key=lambda model: found[model].mean))


def _invertible(records: Records, dataset: str) -> list[Part]:
    def of(name: str) -> Interval | None:
        return _of(records, dataset, lambda record: record["scores"].get("round_trip", {}).get(name, math.nan))

    title = EXPERIMENTS[dataset].title
    return [
        Part(f"{title}: there and back, largest error, pixels", of("error"), 0.1, True, digits=4),
        Part(f"{title}: least area of any pixel", of("least_area"), 0),
    ]


def gained(reached: float, guessing: float) -> float:
    """The part of the way from guessing to knowing."""
    return (reached - guessing) / (1 - guessing)


def _digit_leak(record: dict) -> float:
    # The most frequent of ten digits makes 11.35% of MNIST's test images.
    return gained(statistics.value(record, "z_P:digit"), 0.1135)


def _pose_leak(record: dict) -> float:
    return gained(statistics.value(record, "z_P:pose"), 0.25)


def _times(records: Records, effect: str) -> Interval | None:
    """An effect of the perspective latent that has most of it, as a multiple of that latent's recolouring."""

    def times(record: dict) -> float:
        latents = {name: e for name, e in record["scores"].get("effects", {}).items() if name.startswith("z_P")}
        if not latents:
            return math.nan
        most = max(latents.values(), key=lambda effects: effects[effect])
        return most[effect] / most["recolouring"] if most["recolouring"] else math.inf

    return _of(records, "celeba", times)


def hair_colours(classes: Iterable[str]) -> list[str]:
    """Which of some classes are hair colours, of CelebA's attributes or of the synthetic heads."""
    return [name for name in classes if name in _HAIR or name.startswith("hair_colour")]


def _hair(record: dict, space: str) -> float:
    """The mean area under the curve over the hair colours."""
    found = record["scores"].get("separability", {}).get(space, {})
    areas = [found[name] for name in hair_colours(found) if found[name] is not None]
    return sum(areas) / len(areas) if areas else math.nan


def _hair_gap(record: dict) -> float:
    return _hair(record, "z_A") - _hair(record, "z_P")


def _against_cpab(records: Records, model: str) -> Interval | None:
    """D_score on MNIST: of the affine model less C-VITAE with CPAB's, or that less the VAE's; paired by seed."""
    affine, cpab = records["mnist"], records["mnist, cpab"]
    if model == "c-vitae":
        return statistics.paired(affine, "c-vitae", "c-vitae", "d_score", cpab)
    return statistics.paired(cpab, "c-vitae", model, "d_score", affine)


def _balance(records: Records, dataset: str) -> list[Part]:
    """DeVAE's pictures and scores against those of the beta-VAE that its narrowest space would be alone."""
    title, narrow = EXPERIMENTS[dataset].title, records[f"{dataset}, narrowest"]

    def gap(name: str) -> Interval | None:
        return statistics.paired(records[dataset], "devae-2", "beta-vae", name, narrow)

    compared = f"of DeVAE less that of β-VAE with β = {_NARROWEST:g}"
    return [
        Part(f"{title}: squared error of a pixel {compared}", gap("reconstruction"), 0, True, digits=5),
        *(Part(f"{title}: {score} {compared}", gap(name), -_NO_WORSE) for name, score in _SCORES.items()),
    ]


def _tolerates_width(records: Records, name: str, score: str) -> Part:
    gap = statistics.paired(records["dsprites, wide"], "devae-2", "devae-2", name, records["dsprites"])
    return Part(f"dSprites: {score} of DeVAE with 100 latents less with 10", gap, -_NO_WORSE)


def _did_above_best(records: Records, dataset: str, name: str, score: str) -> Part:
    found = statistics.intervals(records[dataset], name)
    known = [model for model in _MAINSTREAM if model in found]
    if "did" not in found or len(known) < len(_MAINSTREAM):
        return Part(f"{EXPERIMENTS[dataset].title}: {score} of DiD less that of the best other", None, 0)
    best = max(known, key=lambda model: found[model].mean)
    gap = statistics.paired(records[dataset], "did", best, name)
    return Part(f"{EXPERIMENTS[dataset].title}: {score} of DiD less that of {printed_name(best)}", gap, 0)


def _without_difference(records: Records, place: str, name: str, score: str) -> Part:
    gap = statistics.paired(records["dsprites"], "did", "did", name, records[f"dsprites, {place}"])
    return Part(f"dSprites: {score} of DiD less that with {place}", gap, 0)

"""Speed of the scores: `vitae bench scores`, and agreement of DCI with scikit-learn's trees on ten sets of codes.

DCI is usually computed with scikit-learn's gradient-boosted trees. For ten sets of codes of dSprites that takes an hour
of one core, so the codes and scikit-learn's results are stored under `runs/bench/scores`; delete that folder to compute
them again. The other parts are stored there until the benchmark ends, so that it resumes after a kill.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from vitae.data import DATASETS, Dataset
from vitae.evaluation.codes import codes_of
from vitae.experiments.build import build
from vitae.experiments.configuration import configure
from vitae.metrics.arrays import FULL
from vitae.metrics.dci import completeness, dci, disentanglement
from vitae.metrics.examples import EXAMPLES, SIZES, drawn_factors, drawn_noise, noisy_and_mixed, perfect
from vitae.metrics.factor_vae import factor_vae_score
from vitae.metrics.mig import mig
from vitae.metrics.modularity import modularity
from vitae.metrics.report import plain, report
from vitae.metrics.sap import sap
from vitae.models import VAE
from vitae.report.benchmarks.measure import machine, median_seconds
from vitae.support import paths
from vitae.support.files import read_arrays, write_arrays, write_text
from vitae.support.provenance import environment
from vitae.support.randomness import generator
from vitae.training.loop import train
from vitae.training.schedule import Schedule

SCHEMA = 1
# Targets: DCI in this fraction of scikit-learn's time, its differences, and the seconds of the other scores.
TARGETS = {"DCI, times faster": 10.0, "D and C": 0.01, "MIG and modularity": 1.0, "FactorVAE score": 10.0}
_SIZES = SIZES["dsprites"]
_LATENTS = 10
_LEARNED_FROM, _EPOCHS = 20_000, 15
_COUNTED = 100_000  # points for MIG and modularity
# scikit-learn breaks ties between equal splits by its seed, and its scores change with it.
_CHOICES = 2
_DRAWS = 10  # draws of factors, for the scores of perfect codes

Scored = tuple[np.ndarray, np.ndarray]


def _trained(row: str, images: Dataset) -> VAE:
    """A row of the table with ten latents trained on sprites, with the settings of MNIST."""
    configuration = configure("mnist", row, appearance=_LATENTS // 2, perspective=_LATENTS // 2)
    model = build(configuration, images.shape)
    objective = {"vae": "elbo", "beta-vae": "beta", "beta-tcvae": "beta-tc"}[row]
    train(model, images, objective, configuration.strengths, Schedule(_EPOCHS), seed=0, label=row)
    return model.eval()


def _folder() -> Path:
    return paths.runs("bench", "scores")


def ten_codes() -> dict[str, Scored]:
    """Name -> (codes, factors), 15,000 points each: five constructed and five learned; stored after the first call."""
    path = _folder() / "codes.npz"
    if not path.exists():
        computed = _ten_codes()
        write_arrays(
            path, **{f"{name}/{part}": table for name, pair in computed.items() for part, table in enumerate(pair)}
        )
    arrays = read_arrays(path)
    return {name.removesuffix("/0"): (arrays[name], arrays[f"{name[:-1]}1"]) for name in arrays if name.endswith("/0")}


def _ten_codes() -> dict[str, Scored]:
    from sklearn.decomposition import PCA, FastICA
    from sklearn.pipeline import make_pipeline

    count = sum(FULL)
    factors, noise = drawn_factors(_SIZES, count, seed=0), drawn_noise(count, seed=0)
    constructed = {name: (make(factors, _SIZES, noise), factors) for name, make in EXAMPLES.items()}
    grid = DATASETS["dsprites"].grid(source="embedded")
    positions = grid.sample(count, generator("cpu", 0, "scored"))
    scored = grid.images(positions)
    drawn = grid.sample(_LEARNED_FROM, generator("cpu", 0, "learned from"))
    learned_from = Dataset(grid.images(drawn), grid.values(drawn), grid.factors, grid.source)
    flat = learned_from.images.flatten(1).numpy().astype(np.float32) / 255
    # ICA on the ten principal components: whitening all 4,096 pixels takes minutes and keeps the same ten directions.
    independent = make_pipeline(PCA(_LATENTS, random_state=0), FastICA(random_state=0, max_iter=2_000, tol=1e-2))
    encoders = {
        "PCA": PCA(_LATENTS, random_state=0).fit(flat),
        "ICA": independent.fit(flat),
        "VAE": _trained("vae", learned_from),
        "β-VAE": _trained("beta-vae", learned_from),
        "β-TCVAE": _trained("beta-tcvae", learned_from),
    }
    return constructed | {name: (codes_of(encoder, scored), positions) for name, encoder in encoders.items()}


def _scikit_importances(codes: np.ndarray, labels: np.ndarray, choice: int) -> tuple[np.ndarray, float]:
    """The importances of scikit-learn's trees for one factor, and the seconds that they took."""
    from sklearn.ensemble import GradientBoostingClassifier

    started = time.perf_counter()
    trees = GradientBoostingClassifier(random_state=choice).fit(codes, labels)
    return trees.feature_importances_, time.perf_counter() - started


def scikit_dci(name: str, scored: Scored, choice: int) -> dict:
    """D and C by scikit-learn's trees, one process per factor; stored, since they take minutes.

    Args:
        choice: scikit-learn's seed.
    """
    codes, factors = (table[: FULL[0]] for table in scored)
    digest = hashlib.blake2b(codes.tobytes() + factors.tobytes() + bytes([choice]), digest_size=8).hexdigest()
    path = _folder() / f"{digest}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    order = np.argsort(-factors.max(0))
    # Not forked, since this process has threads.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(order)), spawn) as processes:
        jobs = [processes.submit(_scikit_importances, codes, factors[:, j], choice) for j in order]
        by_factor = dict(zip(order.tolist(), [job.result() for job in jobs], strict=True))
    importance = np.stack([by_factor[j][0] for j in range(len(order))], 1)
    measured = {
        "codes": name,
        "choice": choice,
        "disentanglement": disentanglement(importance)[0],
        "completeness": completeness(importance)[0],
        "seconds": sum(seconds for _, seconds in by_factor.values()),
    }
    write_text(path, json.dumps(measured, indent=1, ensure_ascii=False) + "\n")
    return measured


def _our_dci(codes: np.ndarray, factors: np.ndarray, *, fast: bool = False) -> dict:
    """D and C by our trees."""
    train_part, test_part = slice(FULL[0]), slice(FULL[0], None)
    found = dci(codes[train_part], factors[train_part], test=(codes[test_part], factors[test_part]), fast=fast)
    return {"disentanglement": found.disentanglement, "completeness": found.completeness}


def _noisy_and_mixed(count: int) -> Scored:
    factors = drawn_factors(_SIZES, count, seed=0)
    return noisy_and_mixed(factors, _SIZES, drawn_noise(count, seed=0)), factors


def _speed(repeats: int) -> dict:
    """Seconds of each score, and of scikit-learn's DCI on one core."""
    codes, factors = _noisy_and_mixed(_COUNTED)
    few, few_factors = codes[: sum(FULL)], factors[: sum(FULL)]
    theirs = [_scikit_importances(few[: FULL[0]], few_factors[: FULL[0], j], 0)[1] for j in range(len(_SIZES))]
    return {
        "DCI": median_seconds(lambda: _our_dci(few, few_factors), repeats),
        "DCI, fast": median_seconds(lambda: _our_dci(few, few_factors, fast=True), repeats),
        "DCI, scikit-learn": sum(theirs),
        "MIG": median_seconds(lambda: mig(codes, factors), repeats),
        "modularity": median_seconds(lambda: modularity(codes, factors), repeats),
        "report": median_seconds(lambda: report(few, few_factors), 1),
    }


def _votes_on_all_sprites() -> dict:
    """Seconds of the FactorVAE score on all sprites: rendering and encoding them by PCA, and the votes."""
    from sklearn.decomposition import PCA

    grid = DATASETS["dsprites"].grid(source="embedded")
    some = grid.images(grid.sample(_LEARNED_FROM // 10, generator("cpu", 0, "learned from")))
    encoder = PCA(_LATENTS, random_state=0).fit(some.flatten(1).numpy().astype(np.float32) / 255)
    positions = grid.positions(np.arange(len(grid)))
    started = time.perf_counter()
    codes = codes_of(encoder, grid)
    encoded = time.perf_counter()
    found = factor_vae_score(codes, positions)
    return {
        "FactorVAE score": time.perf_counter() - encoded,
        "sprites drawn and encoded": encoded - started,
        "sprites": len(grid),
        "FactorVAE score of PCA": found.score,
    }


def _examples() -> dict:
    """All scores of the constructed codes, by the full protocol: dataset -> example -> score -> value."""
    found: dict[str, dict] = {}
    for dataset, sizes in SIZES.items():
        factors, noise = drawn_factors(sizes, sum(FULL), seed=0), drawn_noise(sum(FULL), seed=0)
        for name, make in {"perfect": perfect, **EXAMPLES}.items():
            values = report(make(factors, sizes, noise), factors).values()
            found.setdefault(dataset, {})[name] = plain(values)
    return found


def _ceilings() -> dict:
    """MIG and SAP of perfect codes for several draws of the factors: dataset -> score -> values."""
    found: dict[str, dict] = {}
    for dataset, sizes in SIZES.items():
        draws = [drawn_factors(sizes, sum(FULL), seed) for seed in range(_DRAWS)]
        found[dataset] = {
            "MIG": [mig(factors[: FULL[0]], factors[: FULL[0]]).score for factors in draws],
            "SAP": [sap(factors, factors).score for factors in draws],
        }
    return found


def _by_points() -> list[dict]:
    """D and C of the first example, from fewer and fewer training points."""
    codes, factors = _noisy_and_mixed(sum(FULL))
    found = []
    for count in (500, 1_000, 2_000, 5_000, FULL[0]):
        of_fewer = dci(codes[:count], factors[:count], test=(codes[FULL[0] :], factors[FULL[0] :]))
        found.append(
            {"points": count, "disentanglement": of_fewer.disentanglement, "completeness": of_fewer.completeness}
        )
    return found


def _by_scale() -> list[dict]:
    """SAP of the first example with its codes multiplied by a constant."""
    codes, factors = _noisy_and_mixed(sum(FULL))
    return [{"scale": scale, "SAP": sap(scale * codes, factors).score} for scale in (0.1, 0.3, 1.0, 3.0, 10.0)]


def _agreement() -> list[dict]:
    """D and C of the ten sets of codes by scikit-learn's trees, by ours and by ours in fast mode."""
    found = []
    with tqdm(ten_codes().items(), desc="scikit-learn's trees", unit="codes", disable=None) as bar:
        for name, scored in bar:
            row = {"codes": name, "scikit-learn": scikit_dci(name, scored, 0), "ours": _our_dci(*scored)}
            found.append({**row, "fast": _our_dci(*scored, fast=True)})
    return found


def _choices() -> list[dict]:
    """D and C of the first codes by scikit-learn's trees with several seeds."""
    name, scored = next(iter(ten_codes().items()))
    return [scikit_dci(name, scored, choice) for choice in range(_CHOICES)]


def _stored(name: str, measure: Callable[[], object]):
    """A part of the benchmark: read if a killed benchmark has stored it, else measured and stored."""
    path = _folder() / "parts" / f"{name}.json"
    if not path.exists():
        write_text(path, json.dumps(measure(), ensure_ascii=False))
    return json.loads(path.read_text(encoding="utf-8"))


def run(repeats: int = 5) -> dict:
    """Measure everything in an hour and a half on two cores, most of it scikit-learn's; resumes after a kill.

    Args:
        repeats: runs of which the median counts.
    """
    record = {
        "schema": SCHEMA,
        "command": "vitae bench scores",
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "machine": machine(),
        "points": {"train": FULL[0], "test": FULL[1], "counted": _COUNTED},
        "examples": _stored("examples", _examples),
        "ceilings": _stored("ceilings", _ceilings),
        "DCI by points": _stored("points", _by_points),
        "SAP by scale": _stored("scales", _by_scale),
        "seconds": {**_stored("seconds", lambda: _speed(repeats)), **_stored("sprites", _votes_on_all_sprites)},
        "agreement": _stored("agreement", _agreement),
        "choices": _stored("choices", _choices),
        **environment(torch.device("cpu")),
    }
    # Stored parts belong to this commit: the next benchmark must not read them.
    shutil.rmtree(_folder() / "parts")
    return record


def summary(found: dict) -> str:
    """A record as text for a terminal."""
    seconds = found["seconds"]
    lines = [
        f"{found['machine']['processor']}; {found['threads']} threads, medians of {found['repeats']}:",
        f"  DCI {seconds['DCI']:.1f} s, scikit-learn's trees on one core {seconds['DCI, scikit-learn']:.0f} s: "
        f"{seconds['DCI, scikit-learn'] / seconds['DCI']:.0f} times; fast mode {seconds['DCI, fast']:.1f} s",
        f"  {found['points']['counted']:,} points: MIG {seconds['MIG']:.2f}, modularity {seconds['modularity']:.2f} s",
        f"  FactorVAE score {seconds['FactorVAE score']:.2f} s; {seconds['sprites']:,} sprites drawn and encoded "
        f"in {seconds['sprites drawn and encoded']:.1f} s",
        f"  all scores {seconds['report']:.1f} s",
        "D and C by scikit-learn's trees / by ours / in fast mode:",
    ]
    for row in found["agreement"]:
        numbers = [
            " / ".join(f"{row[way][score]:.4f}" for way in ("scikit-learn", "ours", "fast"))
            for score in ("disentanglement", "completeness")
        ]
        lines.append(f"  {row['codes']}: D {numbers[0]}; C {numbers[1]}")
    spread = [choice["disentanglement"] for choice in found["choices"]]
    lines.append(f"scikit-learn's D of the first codes with several seeds: {', '.join(f'{d:.4f}' for d in spread)}")
    return "\n".join(lines)

"""Speed of log p(x): `vitae bench evaluate`, against plain torch and the machine's limit, measured in one run.

The plain implementation is that of the authors' code with its errors corrected: each image is repeated K times and
passes through the whole model, with torch's own matrix exponential, `affine_grid` and `grid_sample`. The networks are
the same. The limit is the rate of a large float32 matrix product.
"""

import math
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from vitae.data import DATASETS
from vitae.data.dataset import as_floats
from vitae.evaluation import likelihood
from vitae.experiments.build import build
from vitae.models.base import GenerativeModel
from vitae.models.gaussian import gaussian_log_prob
from vitae.models.vitae import VITAE
from vitae.report.benchmarks.measure import PlainAffine, machine, matrix_rate, medians
from vitae.report.benchmarks.train import with_authors_networks
from vitae.support.provenance import environment
from vitae.support.randomness import generator

SCHEMA = 1
SAMPLES = 1_000
_IMAGES = 20
_PLAIN = PlainAffine()


@torch.no_grad()
def plain_log_weights(model, x: Tensor, samples: int, noise: torch.Generator) -> Tensor:
    """`GenerativeModel.log_weights` of one image in the plain way: K copies pass through the whole model.

    Returns:
        log weights in nats, `samples`.
    """
    copies = x.repeat(samples, 1, 1, 1)
    if isinstance(model, VITAE):
        q_P = model.encoder_P(copies)
        z_P = q_P.sample(noise)
        gamma = model.decoder_P(z_P)
        q_A = model.encoder_A(_PLAIN.warp(copies, gamma, inverse=True))
        z_A = q_A.sample(noise)
        mean = _PLAIN.warp(torch.sigmoid(model.decoder_A(z_A)), gamma)
        parts = [(q_A, z_A), (q_P, z_P)]
    else:
        q = model.encoder(copies)
        z = q.sample(noise)
        mean, parts = torch.sigmoid(model.decoder(z)), [(q, z)]
    margin = model.likelihood.margin
    mean = margin + (1 - 2 * margin) * mean
    weights = -F.binary_cross_entropy(mean, copies, reduction="none").sum((1, 2, 3))
    for q, z in parts:
        weights = weights + (gaussian_log_prob(z, 0.0, 0.0) - q.log_prob(z)).sum(1)
    return weights


def _operations(model_name: str) -> float:
    """Floating-point operations in the matrix products that log p(x) of one image needs at least."""
    images = torch.zeros(1, 1, 28, 28)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        build(with_authors_networks(model_name), (1, 28, 28)).log_weights(images, generator("cpu", 0, "x"), SAMPLES)
    return counter.get_total_flops()


def _plain(model: GenerativeModel, images: Tensor) -> float:
    noise, values = generator("cpu", 0, "benchmark"), []
    for x in as_floats(images).split(1):
        weights = plain_log_weights(model, x, SAMPLES, noise).double()
        values.append(weights.logsumexp(0) - math.log(SAMPLES))
    return float(torch.stack(values).mean())


def _timed(work: Callable[[], float], nats: list[float]) -> Callable[[], float]:
    """A function that returns the seconds per image of `work` and appends what `work` returns to `nats`."""

    def seconds() -> float:
        started = time.perf_counter()
        nats.append(work())
        return (time.perf_counter() - started) / _IMAGES

    return seconds


def run(repeats: int = 5) -> dict:
    """Measure both models in some minutes, on as many threads as torch uses.

    Args:
        repeats: runs of which the median counts.
    """
    digits = DATASETS["mnist"].for_training("test", source="embedded", size=_IMAGES)
    images = digits.observe(0, "benchmark").images
    models = {name: build(with_authors_networks(name), tuple(images.shape[1:])).eval() for name in ("vae", "c-vitae")}
    rows: dict[str, dict] = {name: {"model": name, "samples": SAMPLES} for name in models}
    functions: dict[str, dict[str, Callable[[], float]]] = {name: {} for name in models}
    for name, model in models.items():
        functions[name]["plain"] = lambda model=model: _plain(model, images)
        for precision in ("float32", "bf16"):
            functions[name][precision] = lambda model=model, precision=precision: (
                likelihood.log_likelihood(model, images, samples=SAMPLES, seed=0, precision=precision).mean
            )
    # Plain first: our own evaluation changes how the process allocates memory.
    order = [(name, "plain") for name in models] + [(name, kind) for name in models for kind in ("float32", "bf16")]
    for name, kind in tqdm(order, disable=None, unit="part"):
        nats: list[float] = []
        measured = medians(repeats, **{kind: _timed(functions[name][kind], nats)}, limit=matrix_rate)
        rows[name] |= {
            f"{kind}, seconds an image": measured[kind],
            f"{kind}, nats": nats[-1],
            f"{kind}, limit, operations a second": measured["limit"],
        }
    for name, model in models.items():
        rows[name] |= {"parameters": model.parameter_count(), "operations an image": _operations(name)}
    return {
        "schema": SCHEMA,
        "command": "vitae bench evaluate",
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "machine": machine(),
        "log p(x)": list(rows.values()),
        **environment(torch.device("cpu")),
    }


def summary(found: dict) -> str:
    """A record as text for a terminal."""
    lines = [f"log p(x), K = {SAMPLES:,}, {found['threads']} threads, milliseconds per image:"]
    for row in found["log p(x)"]:
        plain = row["plain, seconds an image"]
        for name in ("float32", "bf16"):
            seconds, limit = row[f"{name}, seconds an image"], row[f"{name}, limit, operations a second"]
            lines.append(
                f"  {row['model']}, {name}: {seconds * 1e3:.1f}, {plain / seconds:.2f} x plain ({plain * 1e3:.1f}), "
                f"{row['operations an image'] / seconds / limit:.0%} of {limit / 1e9:.0f} GFLOP/s"
            )
    return "\n".join(lines)

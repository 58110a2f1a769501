"""Benchmarks of evaluation: `vitae bench evaluate`. The plain way, the limit and ours in one run on one machine.

The plain way is that of the authors' code with its errors mended: every image is repeated K times and goes through the
whole model, by torch's own matrix exponential, `affine_grid` and `grid_sample`. The networks are the same.
"""

import math
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from vitae import evaluate, results
from vitae.bench.measure import machine
from vitae.bench.train import the_authors
from vitae.compute import keep_freed_memory
from vitae.data.base import as_floats
from vitae.data.mnist import MNIST
from vitae.experiments import build
from vitae.models.vitae import VITAE
from vitae.nets import gaussian_log_prob
from vitae.randomness import generator

SCHEMA = 1
SAMPLES = 1_000
_IMAGES = 20


def _plain_warp(images: Tensor, gamma: Tensor) -> Tensor:
    generators = torch.zeros(len(gamma), 3, 3)
    generators[:, 0, 0], generators[:, 0, 1], generators[:, 0, 2] = gamma[:, 0], gamma[:, 1], gamma[:, 4]
    generators[:, 1, 0], generators[:, 1, 1], generators[:, 1, 2] = gamma[:, 2], gamma[:, 3], gamma[:, 5]
    maps = torch.linalg.matrix_exp(generators)[:, :2]
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


@torch.no_grad()
def plain_log_weights(model, x: Tensor, samples: int, noise: torch.Generator) -> Tensor:
    """`evaluate.log_weights` of one image as one writes it first: K copies through everything, `samples`."""
    copies = x.repeat(samples, 1, 1, 1)
    if isinstance(model, VITAE):
        q_P = model.encoder_P(copies)
        z_P = q_P.sample(noise)
        gamma = model.decoder_P(z_P)
        q_A = model.encoder_A(_plain_warp(copies, -gamma))
        z_A = q_A.sample(noise)
        mean = _plain_warp(torch.sigmoid(model.decoder_A(z_A)), gamma)
        parts = [(q_A, z_A), (q_P, z_P)]
    else:
        q = model.encoder(copies)
        z = q.sample(noise)
        mean, parts = torch.sigmoid(model.decoder(z)), [(q, z)]
    squeeze = model.likelihood.squeeze
    mean = squeeze + (1 - 2 * squeeze) * mean
    weights = -F.binary_cross_entropy(mean, copies, reduction="none").sum((1, 2, 3))
    for q, z in parts:
        weights = weights + (gaussian_log_prob(z, 0.0, 0.0) - q.log_prob(z)).sum(1)
    return weights


def _operations(model_name: str) -> float:
    """Float operations in the matrix products that log p(x) of one image cannot do without."""
    images = torch.zeros(1, 1, 28, 28)
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        evaluate.log_weights(build(the_authors(model_name), (1, 28, 28)), images, SAMPLES, generator("cpu", 0, "x"))
    return counter.get_total_flops()


def _rows(model_name: str, images: Tensor, repeats: int) -> dict:
    model = build(the_authors(model_name), tuple(images.shape[1:])).eval()

    def plain() -> float:
        noise, values = generator("cpu", 0, "benchmark"), []
        for x in as_floats(images).split(1):
            weights = plain_log_weights(model, x, SAMPLES, noise).double()
            values.append(weights.logsumexp(0) - math.log(SAMPLES))
        return float(torch.stack(values).mean())

    def ours(precision: str) -> Callable[[], float]:
        return lambda: evaluate.log_likelihood(model, images, samples=SAMPLES, seed=0, precision=precision).mean

    works = {"plain": plain, "float32": ours("float32"), "bf16": ours("bf16")}
    spent: dict[str, list[float]] = {name: [] for name in works}
    nats = {}
    for n in range(repeats + 1):
        for name, work in works.items():
            started = time.perf_counter()
            nats[name] = work()
            if n:
                spent[name].append((time.perf_counter() - started) / len(images))
    return {
        "model": model_name,
        "samples": SAMPLES,
        "parameters": model.parameter_count(),
        "operations an image": _operations(model_name),
        **{f"{name}, seconds an image": statistics.median(times) for name, times in spent.items()},
        **{f"{name}, nats": value for name, value in nats.items()},
    }


def run(repeats: int = 5) -> dict:
    """Measure everything, on as many threads as torch uses; some minutes."""
    keep_freed_memory()
    images = MNIST.load("test", source="embedded", size=_IMAGES).observe(0, "benchmark").images
    limits = machine()
    rows = [_rows(name, images, repeats) for name in tqdm(("vae", "c-vitae"), disable=None, unit="model")]
    return {
        "schema": SCHEMA,
        "command": "vitae bench evaluate",
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "machine": limits,
        "log p(x)": rows,
        **results.environment(torch.device("cpu")),
    }


def summary(found: dict) -> str:
    """A record as a person wants to read it in a terminal."""
    limit = found["machine"]["operations a second"]
    lines = [f"log p(x), K = {SAMPLES:,}, {found['threads']} threads, milliseconds an image:"]
    for row in found["log p(x)"]:
        plain = row["plain, seconds an image"]
        for name in ("float32", "bf16"):
            seconds = row[f"{name}, seconds an image"]
            lines.append(
                f"  {row['model']}, {name}: {seconds * 1e3:.1f}, {plain / seconds:.2f} x plain ({plain * 1e3:.1f}), "
                f"{row['operations an image'] / seconds / limit:.0%} of {limit / 1e9:.0f} GFLOP/s"
            )
    return "\n".join(lines)

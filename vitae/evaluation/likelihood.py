"""Likelihoods of a trained model: ELBO, importance-weighted log p(x), and reconstruction error.

The ELBO is always the plain one: KL weight 1, whatever the annealing or the objective of the training was.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from vitae.data.dataset import as_floats
from vitae.models.base import GenerativeModel
from vitae.models.likelihoods import Bernoulli
from vitae.models.objectives import elbo_per_image
from vitae.support import devices, threads
from vitae.support.errors import require_number
from vitae.support.randomness import generator

BATCH = 1_000  # images per forward pass

# Pixels that each thread decodes at a time on a CPU; more would not fit its caches.
_PIXELS_PER_CHUNK = 1_000_000

# On a GPU a chunk fills the free memory: images, warps and likelihood terms take about this many bytes per pixel.
_BYTES_PER_PIXEL = 100


@dataclass(frozen=True)
class Estimate:
    """A mean over images, in nats unless stated otherwise, with its standard error; nan for a single image."""

    mean: float
    standard_error: float

    @classmethod
    def of(cls, values: Tensor) -> "Estimate":
        spread = values.std() / math.sqrt(len(values)) if len(values) > 1 else torch.tensor(math.nan)
        return cls(float(values.mean()), float(spread))


def device_of(model: GenerativeModel) -> torch.device:
    """The device of the model's parameters."""
    return next(model.parameters()).device


@torch.no_grad()
def elbo(model: GenerativeModel, images: Tensor, *, seed: int) -> Estimate:
    """ELBO in nats per image, with one posterior draw per image.

    Args:
        images: uint8, `n x channels x height x width`, on the model's device.
    """
    model.eval()
    values = [
        elbo_per_image(model(as_floats(block), generator(device_of(model), seed, "elbo", number)))
        for number, block in enumerate(images.split(BATCH))
    ]
    return Estimate.of(torch.cat(values).double())


def _pixels_per_chunk(device: torch.device) -> int:
    if device.type != "cuda":
        return _PIXELS_PER_CHUNK
    return max(_PIXELS_PER_CHUNK, torch.cuda.mem_get_info(device)[0] // _BYTES_PER_PIXEL)


def log_likelihood(
    model: GenerativeModel,
    images: Tensor,
    *,
    samples: int,
    seed: int,
    precision: str = "float32",
    label: str = "log p(x)",
) -> Estimate:
    """Importance-weighted log p(x) in nats per image: log 1/K sum_k p(x, z_k) / q(z_k | x), K = `samples`.

    In expectation a lower bound of log p(x), which it approaches as K grows (Burda et al., 2016, section 3). On a CPU,
    images are distributed over threads.

    Args:
        images: uint8, `n x channels x height x width`, on the model's device.
        samples: K.
        precision: of matrix products, see `vitae.support.devices.precision`. Draws and densities use the same rounded
            posterior, so rounding in the encoder makes the bound slightly looser, but never invalid.
        label: of the progress bar.

    Raises:
        InputError: `samples` is not a whole number of 1 or more.
    """
    return Estimate.of(_bounds(model, images, (samples,), seed, precision, label)[0])


def log_likelihood_gain(
    model: GenerativeModel, images: Tensor, *, samples: int, more: int, seed: int, label: str = "log p(x), more samples"
) -> Estimate:
    """How much higher log p(x) is with K = `more` than with K = `samples`, in nats per image.

    Both use the same draws, the first `samples` of them and all, so the difference is known far better than either.
    Where it is large, both are loose bounds. Arguments and errors as `log_likelihood`.
    """
    fewer, all_of_them = _bounds(model, images, (samples, max(samples, more)), seed, "float32", label)
    return Estimate.of(all_of_them - fewer)


def bernoulli_limit(images: Tensor) -> float:
    """The largest mean of log p(x | z) in nats per image that Bernoulli pixels allow, that of the image itself.

    It is 0 for binary images; a grey pixel always costs nats.

    Args:
        images: uint8, `n x channels x height x width`.
    """
    blocks = [Bernoulli().log_prob(x, x) for x in map(as_floats, images.split(BATCH))]
    return float(torch.cat(blocks).double().mean())


def _bounds(
    model: GenerativeModel, images: Tensor, counts: Sequence[int], seed: int, precision: str, label: str
) -> Tensor:
    """Importance-weighted log p(x) of each image for several K, increasing, `counts x n`, float64."""
    for count in counts:
        require_number("samples", count, 1, whole=True)
    samples = counts[-1]
    devices.keep_freed_memory()
    model.eval()
    device = device_of(model)
    pixels, at_once = math.prod(images.shape[1:]) * model.images_per_draw, _pixels_per_chunk(device)
    per_chunk = max(1, min(samples, at_once // pixels))
    chunks = [min(per_chunk, samples - start) for start in range(0, samples, per_chunk)]
    batch = max(1, at_once // (pixels * per_chunk))
    # Allocated once: small results between large temporaries would fragment the heap by gigabytes.
    values = torch.empty(len(counts), len(images), dtype=torch.float64, device=device)
    blocks = list(zip(images.split(batch), values.split(batch, dim=1), strict=True))

    @torch.no_grad()
    def fill(number: int) -> int:
        block, results = blocks[number]
        x, noise = as_floats(block), generator(device, seed, "importance", number)
        with devices.precision(precision, device):
            weights = torch.cat([model.log_weights(x, noise, size).double() for size in chunks], dim=1)
        for count, bound in zip(counts, results, strict=True):
            bound.copy_(weights[:, :count].logsumexp(1) - math.log(count))
        return len(block)

    with (
        devices.tf32(precision == "tf32"),
        tqdm(total=len(images), desc=label, unit="image", disable=None, mininterval=1.0) as bar,
        threads.thread_map(min(torch.get_num_threads(), len(blocks)) if device.type == "cpu" else 1) as in_threads,
    ):
        for done in in_threads(fill, range(len(blocks))):
            bar.update(done)
    return values


@torch.no_grad()
def reconstruction(model: GenerativeModel, images: Tensor) -> Estimate:
    """Squared error per pixel and channel, in [0, 1], of reconstructions from posterior means.

    Args:
        images: uint8, `n x channels x height x width`, on the model's device.
    """
    model.eval()
    errors = []
    for block in images.split(BATCH):
        x = as_floats(block)
        errors.append((model.decode(model.infer(x, None).samples) - x).square().flatten(1).mean(1))
    return Estimate.of(torch.cat(errors).double())

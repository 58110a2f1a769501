"""What a trained model is worth: ELBO, importance-weighted log p(x), and codes. No warm-up, no beta, no strength."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from vitae.data.dataset import as_floats
from vitae.models.base import GenerativeModel
from vitae.models.gaussian import gaussian_log_prob
from vitae.models.objectives import elbo_per_image
from vitae.support import devices, threads
from vitae.support.errors import require_number
from vitae.support.randomness import generator

_BATCH = 1_000


# Pixels decoded at a time by one thread of a CPU; more would leave its caches.
_PIXELS_A_CHUNK = 1_000_000


# On a GPU as many as fit: images, warps and likelihood terms of a chunk take about so many bytes a pixel.
_BYTES_A_PIXEL = 100


@dataclass(frozen=True)
class Estimate:
    """A mean over images, in nats unless said otherwise, with the standard error of that mean."""

    mean: float
    standard_error: float

    @classmethod
    def of(cls, values: Tensor) -> "Estimate":
        spread = values.std() / math.sqrt(len(values)) if len(values) > 1 else torch.tensor(math.nan)
        return cls(float(values.mean()), float(spread))


def _device(model: GenerativeModel) -> torch.device:
    return next(model.parameters()).device


@torch.no_grad()
def elbo(model: GenerativeModel, images: Tensor, *, seed: int) -> Estimate:
    """The ELBO in nats per image, one posterior sample each.

    Args:
        images: uint8, `n x channels x height x width`, on the model's device.
    """
    model.eval()
    values = [
        elbo_per_image(model(as_floats(block), generator(_device(model), seed, "elbo", number)))
        for number, block in enumerate(images.split(_BATCH))
    ]
    return Estimate.of(torch.cat(values).double())


def log_weights(model: GenerativeModel, x: Tensor, samples: int, noise: torch.Generator) -> Tensor:
    """log p(x, z) - log q(z | x) for `samples` draws from the posterior of each image, in nats, `batch x samples`.

    For VITAE the draws of z_A follow the path of training: with every z_P, its own `T_-gamma(x)` and its own posterior.
    """
    latents = model.infer(x, noise, samples)
    mean = model.decode(latents.samples)
    weights = model.log_likelihood(x, mean)
    for name, posterior in latents.posteriors.items():
        z = latents.samples[name]
        weights = weights + (gaussian_log_prob(z, 0.0, 0.0) - posterior.log_prob(z)).sum(1)
    return weights.reshape(len(x), samples)


def _pixels_a_chunk(device: torch.device) -> int:
    if device.type != "cuda":
        return _PIXELS_A_CHUNK
    return max(_PIXELS_A_CHUNK, torch.cuda.mem_get_info(device)[0] // _BYTES_A_PIXEL)


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

    A lower bound in expectation that rises with K to log p(x) (Burda et al., 2016). On a CPU each thread takes its own
    images.

    Args:
        images: uint8, `n x channels x height x width`, on the model's device.
        precision: of matrix products, see `vitae.compute.precision`. Whatever it is, the density that is scored is
            the one that was drawn from, so the encoder's rounding costs nothing but a little tightness.
    """
    require_number("samples", samples, 1, whole=True)
    devices.keep_freed_memory()
    model.eval()
    device = _device(model)
    pixels, at_once = math.prod(images.shape[1:]), _pixels_a_chunk(device)
    per_chunk = max(1, min(samples, at_once // pixels))
    chunks = [min(per_chunk, samples - start) for start in range(0, samples, per_chunk)]
    batch = max(1, at_once // (pixels * per_chunk))
    # Filled in place: a growing list of small tensors between the large ones would fragment the heap by gigabytes.
    values = torch.empty(len(images), dtype=torch.float64, device=device)
    blocks = list(zip(images.split(batch), values.split(batch), strict=True))

    @torch.no_grad()
    def fill(number: int) -> int:
        block, room = blocks[number]
        x, noise = as_floats(block), generator(device, seed, "importance", number)
        with devices.precision(precision, device):
            weights = torch.cat([log_weights(model, x, size, noise).double() for size in chunks], dim=1)
        room.copy_(weights.logsumexp(1) - math.log(samples))
        return len(block)

    with (
        devices.tf32(precision == "tf32"),
        tqdm(total=len(images), desc=label, unit="image", disable=None, mininterval=1.0) as bar,
        threads.thread_map(min(torch.get_num_threads(), len(blocks)) if device.type == "cpu" else 1) as in_threads,
    ):
        for done in in_threads(fill, range(len(blocks))):
            bar.update(done)
    return Estimate.of(values)


@torch.no_grad()
def reconstruction(model: GenerativeModel, images: Tensor) -> Estimate:
    """The squared error of a pixel's channel, in [0, 1], of images decoded from their posterior means.

    Args:
        images: uint8, `n x channels x height x width`, on the model's device.
    """
    model.eval()
    errors = []
    for block in images.split(_BATCH):
        x = as_floats(block)
        errors.append((model.decode(model.infer(x, None).samples) - x).square().flatten(1).mean(1))
    return Estimate.of(torch.cat(errors).double())

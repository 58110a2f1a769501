"""Random numbers as a function of (seed, purpose, position), without any generator state to save.

Each training step draws its noise from a stream named by the seed and the step's number, and each epoch draws its order
and perspectives from a stream named by the seed and the epoch's number. An interrupted and resumed run therefore sees
the same numbers as an uninterrupted one.
"""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def stream(seed: int, purpose: str, *position: int) -> int:
    """The 63-bit seed of a named stream, for instance `stream(0, "noise", 1200)`."""
    name = repr((int(seed), purpose, *map(int, position))).encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little") >> 1


def generator(device: torch.device | str, seed: int, purpose: str, *position: int) -> torch.Generator:
    """A fresh generator at the start of the named stream."""
    return torch.Generator(device=device).manual_seed(stream(seed, purpose, *position))


class PredrawnNoise:
    """Noise drawn before the forward pass, returned tensor by tensor.

    It makes a model a pure function of tensors, which can be batched over runs by `vmap` and captured as a CUDA graph;
    neither works with a generator.
    """

    def __init__(self, pieces: Iterable[Tensor]):
        self._pieces = iter(pieces)

    def next_like(self, tensor: Tensor) -> Tensor:
        """The next tensor, which was drawn in the shape of `tensor`."""
        return next(self._pieces)


Noise = torch.Generator | PredrawnNoise


def normal(like: Tensor, noise: Noise) -> Tensor:
    """Standard normal noise in the shape of a tensor, drawn from a generator or beforehand."""
    if isinstance(noise, PredrawnNoise):
        return noise.next_like(like)
    return torch.randn(like.shape, generator=noise, dtype=like.dtype, device=like.device)

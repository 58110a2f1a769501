"""Every random number is a function of (seed, purpose, position): nothing to store, nothing to restore.

A training step draws its noise from a stream named by the seed and the step's number, an epoch draws its order
and its perspectives from a stream named by the seed and the epoch's number. So a run that was killed and resumed
sees the same numbers as one that was not, without saving the state of any generator.
"""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def stream(seed: int, purpose: str, *position: int) -> int:
    """The 63-bit seed of one named stream, for instance `stream(0, "noise", 1200)`."""
    name = repr((int(seed), purpose, *map(int, position))).encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little") >> 1


def generator(device: torch.device | str, seed: int, purpose: str, *position: int) -> torch.Generator:
    """A fresh generator at the start of the named stream."""
    return torch.Generator(device=device).manual_seed(stream(seed, purpose, *position))


class Drawn:
    """Noise drawn beforehand, handed out piece by piece.

    With it a model is a function of tensors alone, which can be batched over runs and recorded as a CUDA graph; one
    that draws from a generator can be neither.
    """

    def __init__(self, pieces: Iterable[Tensor]):
        self._pieces = iter(pieces)

    def like(self, tensor: Tensor) -> Tensor:
        """The next piece, of the shape of a tensor."""
        return next(self._pieces)


Noise = torch.Generator | Drawn


def normal(like: Tensor, noise: Noise) -> Tensor:
    """Standard normal numbers in the shape of a tensor, from a generator or from what was drawn beforehand."""
    if isinstance(noise, Drawn):
        return noise.like(like)
    return torch.randn(like.shape, generator=noise, dtype=like.dtype, device=like.device)

"""Every random number is a function of (seed, purpose, position): nothing to store, nothing to restore.

A training step draws its noise from a stream named by the seed and the step's number, an epoch draws its order
and its perspectives from a stream named by the seed and the epoch's number. So a run that was killed and resumed
sees the same numbers as one that was not, without saving the state of any generator.
"""

import hashlib

import torch


def stream(seed: int, purpose: str, *position: int) -> int:
    """The 63-bit seed of one named stream, for instance `stream(0, "noise", 1200)`."""
    name = repr((int(seed), purpose, *map(int, position))).encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little") >> 1


def generator(device: torch.device | str, seed: int, purpose: str, *position: int) -> torch.Generator:
    """A fresh generator at the start of the named stream."""
    return torch.Generator(device=device).manual_seed(stream(seed, purpose, *position))

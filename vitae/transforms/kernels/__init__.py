"""Implementations of the transformations: plain-torch references, compiled kernels, and their torch operators.

- `affine_reference`, `cpab_reference`: the mathematics in plain torch, also the fallback without kernels.
- `cpu` (numba), `gpu` (Triton): the same computations compiled, fused with bilinear sampling.
- `operators`: the interface that `affine.py` and `cpab.py` call, with gradients, `vmap` and `torch.compile` support.
"""

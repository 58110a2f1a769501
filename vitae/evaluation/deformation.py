"""What a transformation can do: the nats that remain when it turns one template into many images."""

import torch
from torch import Tensor

from vitae.data.dataset import as_floats
from vitae.models.likelihoods import Bernoulli
from vitae.support.errors import InputError
from vitae.transforms import Transformation

# Learning rates of gamma and of the templates' logits: each step moves them by at most about this much.
_GAMMA_RATE, _LOGIT_RATE = 0.005, 0.1


def nats_left(images: Tensor, transformation: Transformation | None, *, shared: bool, steps: int = 200) -> float:
    """Bernoulli nats per image that remain if each row is one template, deformed to each of its columns.

    Templates and deformations are fitted together by Adam. Zero is a perfect mean for every image. In a model whose
    appearance is the row and whose perspective is the column, this is what the appearance can gain by painting what the
    perspective cannot do; the difference between `shared` and not is what the perspective can gain by knowing the row.

    Args:
        images: uint8, `rows x columns x channels x height x width`.
        transformation: None leaves the templates as they are.
        shared: one deformation a column, the same for all rows; otherwise one for each image.
        steps: of Adam.

    Raises:
        InputError: the images have another number of dimensions.
    """
    if images.ndim != 5:
        raise InputError(f"images must be rows x columns x channels x height x width, got {tuple(images.shape)}.")
    (rows, columns), likelihood = images.shape[:2], Bernoulli()
    x = as_floats(images)
    logits = likelihood.decoded(x.mean(1)).requires_grad_()
    groups = [{"params": [logits], "lr": _LOGIT_RATE}]
    if transformation is not None:
        gamma = torch.zeros(1 if shared else rows, columns, transformation.dim, requires_grad=True)
        groups.append({"params": [gamma], "lr": _GAMMA_RATE})
    optimiser, x = torch.optim.Adam(groups), x.flatten(0, 1)
    limit, left = likelihood.log_prob(x, x).mean(), []
    for _ in range(steps):
        means = likelihood.mean(logits)[:, None].expand(-1, columns, -1, -1, -1).flatten(0, 1)
        if transformation is not None:
            means = transformation.warp(means, gamma.expand(rows, -1, -1).flatten(0, 1))
        loss = limit - likelihood.log_prob(x, means).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        left.append(loss.item())
    return min(left)

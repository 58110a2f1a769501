"""Which parts of a model a loss trains, for tests of models with several losses."""

import torch


def parts_trained_by(loss, model):
    """The parts of a model for which a loss has a gradient."""
    names, weights = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    pairs = zip(names, gradients, strict=True)
    return {name.partition(".")[0] for name, gradient in pairs if gradient is not None and gradient.abs().max() > 0}

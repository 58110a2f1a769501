"""For tests of models with several losses: which parts a loss trains, and what a trained discriminator estimates."""

import torch


def parts_trained_by(loss, model):
    """The parts of a model for which a loss has a gradient."""
    names, weights = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    pairs = zip(names, gradients, strict=True)
    return {name.partition(".")[0] for name, gradient in pairs if gradient is not None and gradient.abs().max() > 0}


def estimate_of_trained_discriminator(model, term, shape, random):
    """The mean of a model's term over 100 batches of noise, after its discriminator was trained on 400 of them."""
    optimiser, estimates = torch.optim.Adam(model.discriminator.parameters(), 2e-3), []
    for step in range(500):
        output = model(torch.randn(512, *shape, generator=random), random)
        optimiser.zero_grad()
        output.terms["discriminator"].backward()
        optimiser.step()
        if step >= 400:
            estimates.append(float(output.terms[term]))
    return sum(estimates) / 100

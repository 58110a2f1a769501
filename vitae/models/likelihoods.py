"""p(x | mean): what the numbers of a decoder mean. The same for every row of a table."""

import torch
from torch import Tensor, nn

from vitae.models.gaussian import gaussian_log_prob
from vitae.support.errors import InputError


def for_each_mean(x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Images and their means so that they broadcast: `batch x 1 x ...` and `batch x samples x ...`.

    Args:
        x: `batch x channels x height x width`.
        mean: one mean or several for each image, image-major, `(batch * samples) x channels x height x width`.
    """
    return x[:, None], mean.unflatten(0, (len(x), -1))


class Bernoulli(nn.Module):
    """Pixels in [0, 1] as probabilities of being lit; grey values count as mixtures, as the field does on MNIST.

    Means are squeezed into [1e-6, 1 - 1e-6]: a warped mean can reach 0 or 1 to the last bit, where a lit pixel
    would cost infinitely much, without a gradient that says where to go. The squeeze keeps the gradient and costs
    at most 0.001 nats on a 28 x 28 image.
    """

    squeeze = 1e-6

    def mean(self, decoded: Tensor) -> Tensor:
        """Decoder output to pixel means, `batch x channels x height x width`."""
        return torch.sigmoid(decoded)

    def log_prob(self, x: Tensor, mean: Tensor) -> Tensor:
        """log p(x | mean) in nats, one for each mean; see `for_each_mean`."""
        x, mean = for_each_mean(x, mean)
        p = mean.mul(1 - 2 * self.squeeze).add_(self.squeeze)
        # Written out, because torch's binary_cross_entropy raises on a mean that is not a number; the training loop
        # has the better message for that.
        return torch.lerp(torch.log1p(-p), torch.log(p), x).flatten(2).sum(2).flatten()


class GaussianPixels(nn.Module):
    """Pixels as N(mean, variance) with one variance for all pixels, learned unless it is given.

    The variance is never warped: zeros warped in from outside would make displaced borders earn likelihood.
    """

    def __init__(self, variance: float | None = None):
        super().__init__()
        if variance is not None and not variance > 0:
            raise InputError(f"the variance of pixels must be above 0, got {variance}.")
        start = torch.tensor(0.1 if variance is None else variance).log()
        self.log_variance = nn.Parameter(start, requires_grad=variance is None)

    def mean(self, decoded: Tensor) -> Tensor:
        """Decoder output to pixel means: the identity."""
        return decoded

    def log_prob(self, x: Tensor, mean: Tensor) -> Tensor:
        """log p(x | mean) in nats, one for each mean; see `for_each_mean`."""
        x, mean = for_each_mean(x, mean)
        return gaussian_log_prob(x, mean, self.log_variance).flatten(2).sum(2).flatten()


LIKELIHOODS = {"bernoulli": Bernoulli, "gaussian": GaussianPixels}

"""Likelihoods p(x | mean) of pixels, the same for every row of a table."""

import torch
from torch import Tensor, nn

from vitae.models.gaussian import gaussian_log_prob
from vitae.support.errors import InputError


def _broadcastable(x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Reshape images and means to broadcast: `batch x 1 x ...` and `batch x samples x ...`."""
    return x[:, None], mean.unflatten(0, (len(x), -1))


class Bernoulli(nn.Module):
    """Bernoulli pixels; a grey value x in [0, 1] is scored by x log p + (1 - x) log(1 - p), as is usual on MNIST.

    Means are mapped linearly to [1e-6, 1 - 1e-6], since a warped mean can be exactly 0 or 1, where a wrong pixel would
    cost infinitely many nats and give no usable gradient. The map keeps the gradient and costs at most 0.001 nats on a
    28 x 28 image.
    """

    margin = 1e-6

    def mean(self, decoded: Tensor) -> Tensor:
        """Pixel means, the sigmoid of the decoder's output, `batch x channels x height x width`."""
        return torch.sigmoid(decoded)

    def decoded(self, mean: Tensor) -> Tensor:
        """The decoder's output for a mean, which is moved into [0.02, 0.98]: beyond, a sigmoid has little gradient."""
        return torch.logit(0.02 + 0.96 * mean)

    def log_prob(self, x: Tensor, mean: Tensor) -> Tensor:
        """log p(x | mean) in nats, `(batch * samples)`.

        Args:
            x: `batch x channels x height x width`.
            mean: one mean or several per image, image-major, `(batch * samples) x channels x height x width`.
        """
        x, mean = _broadcastable(x, mean)
        p = mean.mul(1 - 2 * self.margin).add_(self.margin)
        # Not torch's binary_cross_entropy: it raises on NaN, which the training loop reports with a better message.
        return torch.lerp(torch.log1p(-p), torch.log(p), x).flatten(2).sum(2).flatten()


class GaussianPixels(nn.Module):
    """Gaussian pixels N(mean, variance) with one variance for all pixels.

    The variance is not warped with the mean: zero padding of a variance would reward displaced borders.

    Args:
        variance: fixed at this value; None learns it, starting at 0.1.

    Raises:
        InputError: a variance that is not positive.
    """

    def __init__(self, variance: float | None = None):
        super().__init__()
        if variance is not None and not variance > 0:
            raise InputError(f"the variance of pixels must be above 0, got {variance}.")
        start = torch.tensor(0.1 if variance is None else variance).log()
        self.log_variance = nn.Parameter(start, requires_grad=variance is None)

    def mean(self, decoded: Tensor) -> Tensor:
        """Pixel means: the decoder's output itself, `batch x channels x height x width`."""
        return decoded

    def decoded(self, mean: Tensor) -> Tensor:
        """The decoder's output for a mean, the mean itself."""
        return mean

    def log_prob(self, x: Tensor, mean: Tensor) -> Tensor:
        """log p(x | mean) in nats, `(batch * samples)`.

        Args:
            x: `batch x channels x height x width`.
            mean: one mean or several per image, image-major, `(batch * samples) x channels x height x width`.
        """
        x, mean = _broadcastable(x, mean)
        return gaussian_log_prob(x, mean, self.log_variance).flatten(2).sum(2).flatten()


# Name -> class.
LIKELIHOODS = {"bernoulli": Bernoulli, "gaussian": GaussianPixels}

"""Encoders and decoders for images of any shape: multilayer perceptrons and convolutions.

An encoder maps `batch x channels x height x width` to a diagonal Gaussian over `batch x latents`; a decoder maps
`batch x latents` to `batch x channels x height x width`, unbounded. What the numbers mean is the likelihood's business.
Whatever precision a network computes in, what it returns has the type of what it was given.
"""

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitae.errors import InputError
from vitae.randomness import Noise, normal

Shape = tuple[int, int, int]

# A log-variance outside this range says nothing more about an image and overflows exp in float32.
_LOG_VARIANCE_BOUND = 20.0


@dataclass
class Gaussian:
    """A batch of diagonal Gaussians: the posterior q(z | x). `mean` and `log_variance` are `batch x latents`."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Noise | None) -> Tensor:
        """One draw from each, `batch x latents`; the mean if there is no noise."""
        if noise is None:
            return self.mean
        return self.mean + torch.exp(0.5 * self.log_variance) * normal(self.mean, noise)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z) in nats, latent by latent, `batch x latents`."""
        return gaussian_log_prob(z, self.mean, self.log_variance)

    def kl_to_prior(self) -> Tensor:
        """KL(q || N(0, I)) in nats, latent by latent, `batch x latents`."""
        return 0.5 * (self.mean**2 + self.log_variance.exp() - 1 - self.log_variance)

    def total_correlation(self, z: Tensor) -> Tensor:
        """Minibatch-weighted estimate of TC = KL(q(z) || prod_j q(z_j)) in nats (Chen et al., 2018, section 4.1).

        The densities of the aggregate posterior are averages over the batch, log 1/B sum_k q(z_i | x_k). The paper's
        weight 1 / (N B) with the size N of the data set would leave a constant (d - 1) ln(N) behind; it changes no
        gradient, and without it the estimate is near zero for independent latents. Each image is in its own average,
        so posteriors that are narrow compared with their spacing give an overestimate: a number to train with and to
        watch, not a measurement.

        Args:
            z: one draw from each, `batch x latents`.
        """
        pairwise = Gaussian(self.mean[None], self.log_variance[None]).log_prob(z[:, None])
        log_batch = math.log(len(z))
        log_joint = pairwise.sum(2).logsumexp(1) - log_batch
        log_marginals = (pairwise.logsumexp(1) - log_batch).sum(1)
        return (log_joint - log_marginals).mean()

    def repeat(self, times: int) -> "Gaussian":
        """Each row `times` times in a row: image-major order, as `torch.repeat_interleave`."""
        return Gaussian(self.mean.repeat_interleave(times, 0), self.log_variance.repeat_interleave(times, 0))


def gaussian_log_prob(value: Tensor, mean: Tensor | float, log_variance: Tensor | float) -> Tensor:
    """log N(value; mean, exp(log_variance)) in nats, elementwise."""
    log_variance = torch.as_tensor(log_variance, dtype=value.dtype, device=value.device)
    return -0.5 * ((value - mean) ** 2 * torch.exp(-log_variance) + log_variance + math.log(2 * math.pi))


def _checked(x: Tensor, shape: Shape, like: Tensor) -> Tensor:
    if tuple(x.shape[1:]) != shape:
        wanted, got = (" x ".join(map(str, s)) for s in (shape, x.shape[1:]))
        raise InputError(f"this encoder takes images of {wanted} (channels x height x width), got {got}.")
    if x.dtype != like.dtype:
        raise InputError(f"this encoder takes images of {like.dtype} in [0, 1], got {x.dtype}.")
    return x


def _bounded(mean: Tensor, log_variance: Tensor) -> Gaussian:
    return Gaussian(mean, log_variance.clamp(-_LOG_VARIANCE_BOUND, _LOG_VARIANCE_BOUND))


class _Encoder(nn.Module):
    """A trunk from images to features, and one linear head for mean and log-variance."""

    def __init__(self, shape: Shape, trunk: nn.Module, features: int, latents: int):
        super().__init__()
        self.shape = tuple(shape)
        self.trunk = trunk
        self.head = nn.Linear(features, 2 * latents)

    def forward(self, x: Tensor) -> Gaussian:
        x = _checked(x, self.shape, self.head.weight)
        return _bounded(*self.head(self.trunk(x)).to(x.dtype).chunk(2, dim=1))


def _perceptron(widths: list[int]) -> list[nn.Module]:
    """Fully connected layers; raises `InputError` for a width below 1."""
    if min(widths) < 1:
        raise InputError(f"layers and latents need a width of 1 or more, got {widths}.")
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.1, inplace=True)]
    return layers


def perceptron(inputs: int, hidden: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Fully connected layers from `batch x inputs` to `batch x outputs`, the last one without an activation."""
    return nn.Sequential(*_perceptron([inputs, *hidden]), nn.Linear([inputs, *hidden][-1], outputs))


class MLPEncoder(_Encoder):
    """Flatten, then fully connected layers of the given widths."""

    def __init__(self, shape: Shape, latents: int, hidden: tuple[int, ...] = (512, 256)):
        widths = [math.prod(shape), *hidden]
        super().__init__(shape, nn.Sequential(nn.Flatten(), *_perceptron(widths)), widths[-1], latents)


class SeparateMLPEncoder(nn.Module):
    """Two networks, one for the mean and one for the log-variance, as in the authors' code; twice the work."""

    def __init__(self, shape: Shape, latents: int, hidden: tuple[int, ...] = (512, 256)):
        super().__init__()
        self.shape = tuple(shape)
        widths = [math.prod(shape), *hidden]
        self.mean, self.log_variance = (
            nn.Sequential(nn.Flatten(), *_perceptron(widths), nn.Linear(widths[-1], latents)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Gaussian:
        x = _checked(x, self.shape, self.mean[-1].weight)
        return _bounded(self.mean(x).to(x.dtype), self.log_variance(x).to(x.dtype))


class MLPDecoder(nn.Module):
    """The encoder's widths in reverse, then one output for each pixel and channel."""

    def __init__(self, shape: Shape, latents: int, hidden: tuple[int, ...] = (512, 256)):
        super().__init__()
        widths = [latents, *reversed(hidden)]
        self.layers = nn.Sequential(
            *_perceptron(widths), nn.Linear(widths[-1], math.prod(shape)), nn.Unflatten(1, tuple(shape))
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).to(z.dtype)


def _halvings(shape: Shape, layers: int) -> list[tuple[int, int]]:
    """Heights and widths after 0, 1, ... `layers` convolutions of stride two."""
    if layers < 1:
        raise InputError("a convolutional network needs at least one entry in channels: use an MLP instead.")
    sizes = [tuple(shape[1:])]
    for _ in range(layers):
        sizes.append(tuple((side + 1) // 2 for side in sizes[-1]))
    if min(sizes[-2]) < 2:
        wanted = 2 ** (layers - 1) + 1
        raise InputError(
            f"{layers} convolutions of stride two need images of {wanted} x {wanted} pixels or more, got "
            f"{shape[1]} x {shape[2]}: use fewer channels entries, or an MLP."
        )
    return sizes


class ConvEncoder(_Encoder):
    """Convolutions of stride two, one for each entry of `channels`, then a fully connected layer."""

    def __init__(self, shape: Shape, latents: int, channels: tuple[int, ...] = (32, 64, 128), hidden: int = 256):
        height, width = _halvings(shape, len(channels))[-1]
        layers: list[nn.Module] = []
        for inputs, outputs in zip((shape[0], *channels), channels, strict=False):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.LeakyReLU(0.1, inplace=True)]
        trunk = nn.Sequential(*layers, nn.Flatten(), *_perceptron([channels[-1] * height * width, hidden]))
        super().__init__(shape, trunk, hidden, latents)


class ConvDecoder(nn.Module):
    """The mirror image of `ConvEncoder`: a small image from the latents, doubled until it has the right size."""

    def __init__(self, shape: Shape, latents: int, channels: tuple[int, ...] = (32, 64, 128), hidden: int = 256):
        super().__init__()
        sizes = _halvings(shape, len(channels))
        height, width = sizes[-1]
        layers: list[nn.Module] = _perceptron([latents, hidden, channels[-1] * height * width])
        layers.append(nn.Unflatten(1, (channels[-1], height, width)))
        for step in reversed(range(len(channels))):
            outputs = channels[step - 1] if step else shape[0]
            # A stride-two convolution maps sides 2n - 1 and 2n to n; output_padding says which one to return to.
            odd = tuple(int(large == 2 * small) for large, small in zip(sizes[step], sizes[step + 1], strict=True))
            layers.append(nn.ConvTranspose2d(channels[step], outputs, 3, stride=2, padding=1, output_padding=odd))
            if step:
                layers.append(nn.LeakyReLU(0.1, inplace=True))
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).to(z.dtype)


def _near_zero(layer: nn.Linear, scale: float) -> nn.Linear:
    """A layer with `scale` times its usual weights, and no bias."""
    with torch.no_grad():
        layer.weight.mul_(scale)
        layer.bias.zero_()
    return layer


class ParameterDecoder(nn.Module):
    """decoder_P: from perspective latents to the parameters gamma of a transformation, `batch x dim`.

    The last layer starts `start` times smaller than usual and without a bias, so that training begins near the
    identity: a large random warp at the start throws digits out of the frame, and the model then learns to
    explain everything by appearance. No parameter goes beyond `limit`, which a tanh sees to; None is no limit.

    Given `generators`, `n x dim`, gamma is the sum of two parts: a linear map in which each latent starts as one of
    them, `start` times as much at one standard deviation (latents beyond the n-th start at random), and, if there are
    hidden layers, their output, which starts at zero. Where two motions are known equally well the ELBO costs the same
    whichever way they share two axes, so that a training has no reason to leave the axes it starts with.

    Raises:
        InputError: no latents, or generators of another size than `dim`.
    """

    def __init__(
        self,
        latents: int,
        dim: int,
        hidden: tuple[int, ...] = (128,),
        start: float = 0.1,
        limit: float | None = None,
        generators: Tensor | None = None,
    ):
        super().__init__()
        if generators is not None and (generators.ndim != 2 or generators.shape[1] != dim):
            raise InputError(f"generators must be n x {dim}, got {' x '.join(map(str, generators.shape))}.")
        self.limit = limit
        self.motions = self.layers = None
        bends = _perceptron([latents, *hidden])
        if generators is None or bends:
            self.layers = nn.Sequential(*bends, _near_zero(nn.Linear([latents, *hidden][-1], dim), start))
        if generators is not None:
            self.motions = _near_zero(nn.Linear(latents, dim), start)
            followed = generators[:latents]
            with torch.no_grad():
                self.motions.weight[:, : len(followed)] = start * followed.T
                if bends:
                    self.layers[-1].weight.zero_()

    def forward(self, z: Tensor) -> Tensor:
        gamma = sum(part(z) for part in (self.motions, self.layers) if part is not None).to(z.dtype)
        return gamma if self.limit is None else self.limit * torch.tanh(gamma / self.limit)

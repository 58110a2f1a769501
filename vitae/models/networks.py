"""Encoders and decoders for images of any shape: multilayer perceptrons and convolutions.

An encoder maps `batch x channels x height x width` to a diagonal Gaussian over `batch x latents`; a decoder maps
`batch x latents` to `batch x channels x height x width`, unbounded. What the numbers mean is the likelihood's business.
Whatever precision a network computes in, what it returns has the type of what it was given.
"""

import itertools
import math

from torch import Tensor, nn

from vitae.models.gaussian import Gaussian
from vitae.support.errors import InputError

Shape = tuple[int, int, int]


# A log-variance outside this range says nothing more about an image and overflows exp in float32.
_LOG_VARIANCE_BOUND = 20.0


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


def hidden_layers(widths: list[int]) -> list[nn.Module]:
    """Fully connected layers; raises `InputError` for a width below 1."""
    if min(widths) < 1:
        raise InputError(f"layers and latents need a width of 1 or more, got {widths}.")
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.1, inplace=True)]
    return layers


def perceptron(inputs: int, hidden: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Fully connected layers from `batch x inputs` to `batch x outputs`, the last one without an activation."""
    return nn.Sequential(*hidden_layers([inputs, *hidden]), nn.Linear([inputs, *hidden][-1], outputs))


class MLPEncoder(_Encoder):
    """Flatten, then fully connected layers of the given widths."""

    def __init__(self, shape: Shape, latents: int, hidden: tuple[int, ...] = (512, 256)):
        widths = [math.prod(shape), *hidden]
        super().__init__(shape, nn.Sequential(nn.Flatten(), *hidden_layers(widths)), widths[-1], latents)


class SeparateMLPEncoder(nn.Module):
    """Two networks, one for the mean and one for the log-variance, as in the authors' code; twice the work."""

    def __init__(self, shape: Shape, latents: int, hidden: tuple[int, ...] = (512, 256)):
        super().__init__()
        self.shape = tuple(shape)
        widths = [math.prod(shape), *hidden]
        self.mean, self.log_variance = (
            nn.Sequential(nn.Flatten(), *hidden_layers(widths), nn.Linear(widths[-1], latents)) for _ in range(2)
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
            *hidden_layers(widths), nn.Linear(widths[-1], math.prod(shape)), nn.Unflatten(1, tuple(shape))
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
        trunk = nn.Sequential(*layers, nn.Flatten(), *hidden_layers([channels[-1] * height * width, hidden]))
        super().__init__(shape, trunk, hidden, latents)


class ConvDecoder(nn.Module):
    """The mirror image of `ConvEncoder`: a small image from the latents, doubled until it has the right size."""

    def __init__(self, shape: Shape, latents: int, channels: tuple[int, ...] = (32, 64, 128), hidden: int = 256):
        super().__init__()
        sizes = _halvings(shape, len(channels))
        height, width = sizes[-1]
        layers: list[nn.Module] = hidden_layers([latents, hidden, channels[-1] * height * width])
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


# Name -> encoder, decoder and the name of the argument that sets their size.
NETWORKS = {
    "mlp": (MLPEncoder, MLPDecoder, "hidden"),
    "mlp-separate": (SeparateMLPEncoder, MLPDecoder, "hidden"),
    "conv": (ConvEncoder, ConvDecoder, "channels"),
}

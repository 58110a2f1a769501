"""Encoders and decoders for images of any shape: multilayer perceptrons and convolutional networks.

An encoder maps images, `batch x channels x height x width`, to a diagonal `Gaussian`, `batch x latents`. A decoder maps
`batch x latents` to unbounded images, `batch x channels x height x width`; the likelihood turns those into pixel means.
Outputs have the dtype of the inputs, even where autocast computes in another one.
"""

import itertools
import math

import torch
from torch import Tensor, nn

from vitae.models.gaussian import Gaussian
from vitae.support.errors import InputError

# Channels, height and width.
Shape = tuple[int, int, int]

# Larger log-variances make no practical difference, and exp of them can overflow in float32.
_LOG_VARIANCE_BOUND = 20.0


def _require_images(x: Tensor, shape: Shape, dtype: torch.dtype) -> None:
    if tuple(x.shape[1:]) != shape:
        expected, got = (" x ".join(map(str, s)) for s in (shape, x.shape[1:]))
        raise InputError(f"this encoder takes images of {expected} (channels x height x width), got {got}.")
    if x.dtype != dtype:
        raise InputError(f"this encoder takes images of {dtype} in [0, 1], got {x.dtype}.")


def _bounded(mean: Tensor, log_variance: Tensor) -> Gaussian:
    return Gaussian(mean, log_variance.clamp(-_LOG_VARIANCE_BOUND, _LOG_VARIANCE_BOUND))


class _Encoder(nn.Module):
    """A trunk from images to features, and one linear head for mean and log-variance.

    Raises:
        InputError: on images of another shape or dtype.
    """

    def __init__(self, shape: Shape, trunk: nn.Module, features: int, latents: int):
        super().__init__()
        self.shape = tuple(shape)
        self.trunk = trunk
        self.head = nn.Linear(features, 2 * latents)

    def forward(self, x: Tensor) -> Gaussian:
        _require_images(x, self.shape, self.head.weight.dtype)
        return _bounded(*self.head(self.trunk(x)).to(x.dtype).chunk(2, dim=1))


def hidden_layers(widths: list[int]) -> list[nn.Module]:
    """Fully connected layers with activations, from each width to the next.

    Raises:
        InputError: a width below 1.
    """
    if min(widths) < 1:
        raise InputError(f"layers and latents need a width of 1 or more, got {widths}.")
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.1, inplace=True)]
    return layers


def perceptron(inputs: int, hidden: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Fully connected layers from `batch x inputs` to `batch x outputs`; the last one has no activation."""
    return nn.Sequential(*hidden_layers([inputs, *hidden]), nn.Linear([inputs, *hidden][-1], outputs))


class MLPEncoder(_Encoder):
    """Flatten, then fully connected layers of the widths `hidden`."""

    def __init__(self, shape: Shape, latents: int, hidden: tuple[int, ...] = (512, 256)):
        widths = [math.prod(shape), *hidden]
        super().__init__(shape, nn.Sequential(nn.Flatten(), *hidden_layers(widths)), widths[-1], latents)


class SeparateMLPEncoder(nn.Module):
    """Two networks, one for the mean and one for the log-variance, as in the authors' code; twice the cost."""

    def __init__(self, shape: Shape, latents: int, hidden: tuple[int, ...] = (512, 256)):
        super().__init__()
        self.shape = tuple(shape)
        widths = [math.prod(shape), *hidden]
        self.mean, self.log_variance = (
            nn.Sequential(nn.Flatten(), *hidden_layers(widths), nn.Linear(widths[-1], latents)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Gaussian:
        _require_images(x, self.shape, self.mean[-1].weight.dtype)
        return _bounded(self.mean(x).to(x.dtype), self.log_variance(x).to(x.dtype))


class MLPDecoder(nn.Module):
    """Fully connected layers of the encoder's widths in reverse, then one output per pixel and channel."""

    def __init__(self, shape: Shape, latents: int, hidden: tuple[int, ...] = (512, 256)):
        super().__init__()
        widths = [latents, *reversed(hidden)]
        self.layers = nn.Sequential(
            *hidden_layers(widths), nn.Linear(widths[-1], math.prod(shape)), nn.Unflatten(1, tuple(shape))
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).to(z.dtype)


def _halvings(shape: Shape, layers: int) -> list[tuple[int, int]]:
    """Heights and widths after 0, 1, ... `layers` convolutions of stride two.

    Raises:
        InputError: no layers, or images too small for them.
    """
    if layers < 1:
        raise InputError("a convolutional network needs at least one entry in channels: use an MLP instead.")
    sizes = [tuple(shape[1:])]
    for _ in range(layers):
        sizes.append(tuple((side + 1) // 2 for side in sizes[-1]))
    if min(sizes[-2]) < 2:
        smallest = 2 ** (layers - 1) + 1
        raise InputError(
            f"{layers} convolutions of stride two need images of {smallest} x {smallest} pixels or more, got "
            f"{shape[1]} x {shape[2]}: use fewer entries in channels, or an MLP."
        )
    return sizes


class ConvEncoder(_Encoder):
    """Convolutions of stride two, one per entry of `channels`, then a fully connected layer of width `hidden`."""

    def __init__(self, shape: Shape, latents: int, channels: tuple[int, ...] = (32, 64, 128), hidden: int = 256):
        height, width = _halvings(shape, len(channels))[-1]
        layers: list[nn.Module] = []
        for inputs, outputs in zip((shape[0], *channels), channels, strict=False):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.LeakyReLU(0.1, inplace=True)]
        trunk = nn.Sequential(*layers, nn.Flatten(), *hidden_layers([channels[-1] * height * width, hidden]))
        super().__init__(shape, trunk, hidden, latents)


class ConvDecoder(nn.Module):
    """The layers of `ConvEncoder` in reverse: fully connected, then transposed convolutions that double the size."""

    def __init__(self, shape: Shape, latents: int, channels: tuple[int, ...] = (32, 64, 128), hidden: int = 256):
        super().__init__()
        sizes = _halvings(shape, len(channels))
        height, width = sizes[-1]
        layers: list[nn.Module] = hidden_layers([latents, hidden, channels[-1] * height * width])
        layers.append(nn.Unflatten(1, (channels[-1], height, width)))
        for step in reversed(range(len(channels))):
            outputs = channels[step - 1] if step else shape[0]
            # A convolution of stride two maps both 2n - 1 and 2n pixels to n; output_padding selects the original size.
            odd = tuple(int(large == 2 * small) for large, small in zip(sizes[step], sizes[step + 1], strict=True))
            layers.append(nn.ConvTranspose2d(channels[step], outputs, 3, stride=2, padding=1, output_padding=odd))
            if step:
                layers.append(nn.LeakyReLU(0.1, inplace=True))
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).to(z.dtype)


# Name -> encoder, decoder, and the name of their argument for the widths.
NETWORKS = {
    "mlp": (MLPEncoder, MLPDecoder, "hidden"),
    "mlp-separate": (SeparateMLPEncoder, MLPDecoder, "hidden"),
    "conv": (ConvEncoder, ConvDecoder, "channels"),
}

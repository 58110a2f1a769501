"""What objectives, evaluation and plots may expect of a model."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vitae.models.gaussian import Gaussian
from vitae.support.randomness import Noise


@dataclass
class Latents:
    """What inference found: posteriors and one draw from each, by the name of the latent space.

    `posteriors[name]` holds `batch x d_name` means and log-variances, `samples[name]` is `batch x d_name`.
    """

    posteriors: dict[str, Gaussian]
    samples: dict[str, Tensor]

    def joint(self) -> Gaussian:
        """All spaces side by side as one diagonal Gaussian, `batch x d`."""
        parts = self.posteriors.values()
        return Gaussian(
            torch.cat([q.mean for q in parts], dim=1),
            torch.cat([q.log_variance for q in parts], dim=1),
        )

    def joint_sample(self) -> Tensor:
        """The draws side by side, `batch x d`."""
        return torch.cat(list(self.samples.values()), dim=1)


@dataclass
class Output:
    """One pass through a model: the latents, the mean image and log p(x | z) in nats, `batch`.

    Attributes:
        further: passes of the same images through other spaces, which only training uses.
        terms: what a model's own objective needs besides, by name; each a scalar.
    """

    latents: Latents
    mean: Tensor
    log_likelihood: Tensor
    further: tuple["Output", ...] = ()
    terms: dict[str, Tensor] = field(default_factory=dict)


def frozen(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """A network whose weights get no gradient, though its inputs do: how one part of a model learns from another."""
    weights = {name: value.detach() for name, value in network.named_parameters()}
    return lambda x: torch.func.functional_call(network, weights, (x,))


class GenerativeModel(nn.Module, ABC):
    """A latent variable model with prior N(0, I) on every space and a posterior that can be sampled.

    `spaces` maps the name of each latent space to its dimension.
    """

    spaces: dict[str, int]

    @abstractmethod
    def infer(self, x: Tensor, noise: Noise | None, samples: int = 1) -> Latents:
        """Sample the posterior.

        Args:
            x: images in [0, 1], `batch x channels x height x width`.
            noise: a generator, or what was drawn beforehand; None takes posterior means, along the same path.
            samples: draws for each image; the rows of the result are image-major, `(batch * samples) x d`.
        """

    @abstractmethod
    def decode(self, z: dict[str, Tensor]) -> Tensor:
        """Mean images of latents, `batch x channels x height x width`."""

    def log_likelihood(self, x: Tensor, mean: Tensor) -> Tensor:
        """log p(x | z) in nats for one or several means of each image, image-major, `(batch * samples)`."""
        return self.likelihood.log_prob(x, mean)

    def forward(self, x: Tensor, noise: Noise | None) -> Output:
        latents = self.infer(x, noise)
        mean = self.decode(latents.samples)
        return Output(latents, mean, self.log_likelihood(x, mean))

    def parameter_count(self) -> int:
        """The number of trainable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

"""The interface that objectives, evaluation and figures use: `GenerativeModel` and what it returns."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vitae.models.gaussian import Gaussian
from vitae.support.randomness import Noise


@dataclass
class Latents:
    """The result of inference, by the name of the latent space.

    Attributes:
        posteriors: q(z | x), means and log-variances `batch x d`, d the dimension of the space.
        samples: one draw from each posterior, `batch x d`.
    """

    posteriors: dict[str, Gaussian]
    samples: dict[str, Tensor]

    def joint(self) -> Gaussian:
        """The posteriors of all spaces concatenated to one diagonal Gaussian, `batch x latents`."""
        parts = self.posteriors.values()
        return Gaussian(
            torch.cat([q.mean for q in parts], dim=1),
            torch.cat([q.log_variance for q in parts], dim=1),
        )

    def joint_sample(self) -> Tensor:
        """The draws of all spaces concatenated, `batch x latents`."""
        return torch.cat(list(self.samples.values()), dim=1)


@dataclass
class Output:
    """One forward pass of a batch.

    Attributes:
        latents: posteriors and draws.
        mean: mean of p(x | z), `batch x channels x height x width`.
        log_likelihood: log p(x | z) in nats, `batch`.
        extra_passes: passes of the same images through further latent spaces; only training uses them.
        terms: further terms of the model's own objective, by name; each a scalar.
    """

    latents: Latents
    mean: Tensor
    log_likelihood: Tensor
    extra_passes: tuple["Output", ...] = ()
    terms: dict[str, Tensor] = field(default_factory=dict)


def frozen(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network as a function whose inputs get gradients and whose weights do not, for adversarial losses."""
    weights = {name: value.detach() for name, value in network.named_parameters()}
    return lambda x: torch.func.functional_call(network, weights, (x,))


class GenerativeModel(nn.Module, ABC):
    """A latent variable model with prior N(0, I) on every latent space and a posterior that can be sampled.

    A subclass sets both attributes in its constructor, and implements `infer` and `decode`.

    Attributes:
        spaces: name of each latent space -> its dimension.
        likelihood: p(x | z) given its mean: a module with `mean(decoded)` and `log_prob(x, mean)`, see
            `vitae.models.likelihoods`.
    """

    spaces: dict[str, int]
    likelihood: nn.Module

    @abstractmethod
    def infer(self, x: Tensor, noise: Noise | None, samples: int = 1) -> Latents:
        """Sample the posterior.

        Args:
            x: images in [0, 1], `batch x channels x height x width`.
            noise: a generator, or noise drawn beforehand; None takes posterior means instead of draws.
            samples: draws per image; the rows of the result are image-major, `(batch * samples) x d`.
        """

    @abstractmethod
    def decode(self, z: dict[str, Tensor]) -> Tensor:
        """Mean images, `batch x channels x height x width`.

        Args:
            z: name of each latent space -> `batch x d`.
        """

    def log_likelihood(self, x: Tensor, mean: Tensor) -> Tensor:
        """log p(x | z) in nats, `(batch * samples)`.

        Args:
            x: images in [0, 1], `batch x channels x height x width`.
            mean: one mean or several per image, image-major, `(batch * samples) x channels x height x width`.
        """
        return self.likelihood.log_prob(x, mean)

    def forward(self, x: Tensor, noise: Noise | None) -> Output:
        """Infer, decode the draws, and compute their log-likelihood; arguments as in `infer`."""
        latents = self.infer(x, noise)
        mean = self.decode(latents.samples)
        return Output(latents, mean, self.log_likelihood(x, mean))

    def parameter_count(self) -> int:
        """The number of trainable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

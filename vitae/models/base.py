"""The interface that objectives, evaluation and figures use: `GenerativeModel` and what it returns."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from vitae.models.gaussian import Gaussian, gaussian_log_prob
from vitae.support.errors import InputError
from vitae.support.randomness import Noise
from vitae.transforms import Transformation


@dataclass(frozen=True)
class Latent:
    """One latent variable of a model, and where its code stands.

    Attributes:
        name: such as `z_P1`, or `k` for a choice.
        space: the latent space that it belongs to.
        columns: its columns in the codes of the space.
        categories: number of values of a categorical latent, whose code has a column for each; 0 if it is continuous.
    """

    name: str
    space: str
    columns: tuple[int, ...]
    categories: int = 0


class Posterior(Protocol):
    """What objectives need of the posterior of a latent space; usually a `Gaussian`."""

    def kl_to_prior(self) -> Tensor:
        """KL(q || p) in nats of each latent, `batch x latents`."""
        ...


@dataclass
class Latents:
    """The result of inference, by the name of the latent space.

    Attributes:
        posteriors: q(z | x).
        samples: one draw from each posterior, `batch x d`, d the dimension of the space.
    """

    posteriors: dict[str, Posterior]
    samples: dict[str, Tensor]

    def kl_to_prior(self) -> Tensor:
        """KL(q || p) in nats of each latent of all spaces, `batch x latents`."""
        return torch.cat([q.kl_to_prior() for q in self.posteriors.values()], dim=1)

    def joint(self) -> Gaussian:
        """The posteriors of all spaces, if all are Gaussian, as one diagonal Gaussian, `batch x latents`."""
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


def code_in(z: dict[str, Tensor], space: str) -> Tensor:
    """The codes of one latent space, `batch x d`, of those that a decoder is given.

    Raises:
        InputError: they are missing.
    """
    if not isinstance(z, dict) or space not in z:
        held = ", ".join(map(str, z)) if isinstance(z, dict) else type(z).__name__
        raise InputError(f"this decoder takes a dictionary with the codes of {space}, got {held or 'nothing'}.")
    return z[space]


class GenerativeModel(nn.Module, ABC):
    """A latent variable model with a posterior that can be sampled; the prior of a latent space is N(0, I), as a rule.

    A subclass sets both attributes in its constructor, and implements `infer` and `decode`.

    Attributes:
        spaces: name of each latent space -> its dimension.
        likelihood: p(x | z) given its mean: a module with `mean(decoded)` and `log_prob(x, mean)`, see
            `vitae.models.likelihoods`.
    """

    spaces: dict[str, int]
    likelihood: nn.Module
    # Images that are decoded for one posterior draw: how much memory evaluation needs.
    images_per_draw = 1

    @property
    def latents(self) -> list[Latent]:
        """The latent variables of all spaces, in the order of the codes; by default every dimension is one."""
        return [Latent(f"{name}{i + 1}", name, (i,)) for name, size in self.spaces.items() for i in range(size)]

    def start_from(self, x: Tensor, seed: int) -> None:
        """Set what starts at training images, before the first step of a training; by default nothing.

        Args:
            x: images in [0, 1], `n x channels x height x width`.
            seed: of whatever is random about it.
        """

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

    def log_weights(self, x: Tensor, noise: Noise, samples: int) -> Tensor:
        """Importance weights of posterior draws, log p(x, z) - log q(z | x) in nats, `batch x samples`.

        Inference is as in training: in C-VITAE each draw of z_P has its own `T_-gamma(x)`, so its own posterior of z_A.
        Arguments as in `infer`.
        """
        latents = self.infer(x, noise, samples)
        weights = self.log_likelihood(x, self.decode(latents.samples))
        for name, posterior in latents.posteriors.items():
            z = latents.samples[name]
            weights = weights + (gaussian_log_prob(z, 0.0, 0.0) - posterior.log_prob(z)).sum(1)
        return weights.reshape(len(x), samples)

    def forward(self, x: Tensor, noise: Noise | None) -> Output:
        """Infer, decode the draws, and compute their log-likelihood; arguments as in `infer`."""
        latents = self.infer(x, noise)
        mean = self.decode(latents.samples)
        return Output(latents, mean, self.log_likelihood(x, mean))

    def parameter_count(self) -> int:
        """The number of trainable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


class TransformingModel(GenerativeModel):
    """A model whose image is an appearance seen from a perspective, `T_gamma(appearance)`.

    Its spaces are appearance, `z_A`, and perspective, `z_P`. A subclass implements `infer`, `appearance` and `gamma`.

    Attributes:
        transformation: T.
    """

    transformation: Transformation

    @abstractmethod
    def appearance(self, z: dict[str, Tensor]) -> Tensor:
        """The mean image before the transformation, `batch x channels x height x width`; argument as in `decode`."""

    @abstractmethod
    def gamma(self, z: dict[str, Tensor]) -> Tensor:
        """The transformation's parameters, `batch x transformation.dim`; argument as in `decode`."""

    def decode(self, z: dict[str, Tensor]) -> Tensor:
        return self.transformation.warp(self.appearance(z), self.gamma(z))

    def undo_perspective(self, x: Tensor, z: dict[str, Tensor]) -> Tensor:
        """`T_-gamma(x)` with gamma of the codes; same shape as `x`."""
        return self.transformation.warp(x, self.gamma(z), inverse=True)

r"""Archetypes: a VITAE whose appearance is a choice among K learned templates.

Generative model: k ~ Categorical(1/K), z_P ~ N(0, I); gamma = decoder_P(z_P, k); x = T_gamma(template_k). For data
richer than K pictures a template is drawn by a decoder of (k, z_A), with few continuous latents z_A ~ N(0, I).

The inference model is q(k | x) q(z_P | x, k), and with continuous latents `q(z_A | T_-gamma(x), k)` as in C-VITAE. The
sum over k is exact, in the ELBO and in log p(x)::

    ELBO = sum_k q(k|x) (E[log p(x | z_A, z_P, k)] - KL(q(z_P|x,k) || p) - KL(q(z_A|x,k) || p)) - KL(q(k|x) || 1/K)

Why: a continuous appearance can paint what the transformation cannot quite do, and a perspective that is decoded
without knowing the appearance must encode it. Both raise the ELBO, and both mix the two spaces. A choice cannot paint,
and a decoder that is told the choice need not be told twice. The idea of templates under learned transformations is
that of transformed mixtures of Gaussians (Frey & Jojic, 2003) and of Deep Transformation-Invariant Clustering (Monnier
et al., 2020), which has no latent variable of the transformation.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from vitae.models.base import Latent, Latents, Output, Posterior, TransformingModel, code_in
from vitae.models.gaussian import Gaussian, gaussian_log_prob
from vitae.models.networks import Shape
from vitae.support.errors import InputError
from vitae.support.randomness import Noise, normal
from vitae.transforms import Transformation


class FreeTemplates(nn.Module):
    """Templates as free pixels: their unbounded images are parameters.

    Args:
        count: K.
        shape: channels, height and width.
        scale: of the parameters: Adam moves a pixel by about this many times the learning rate in a step, since pixels
            need larger steps than weights.
    """

    def __init__(self, count: int, shape: Shape, scale: float = 10.0):
        super().__init__()
        self.scale = scale
        self.pixels = nn.Parameter(torch.zeros(count, *shape))

    def forward(self, z: Tensor) -> Tensor:
        """Unbounded images of all templates, `batch x K x channels x height x width`; `z` is `batch x 1 x 0`."""
        return (self.scale * self.pixels).expand(len(z), *self.pixels.shape)

    def set(self, decoded: Tensor) -> None:
        """Set the unbounded images, `K x channels x height x width`."""
        with torch.no_grad():
            self.pixels.copy_(decoded / self.scale)


class DecodedTemplates(nn.Module):
    """Templates that a decoder draws from k and continuous latents.

    Args:
        count: K.
        decoder: `batch x (K + latents)` -> unbounded images; k is a one-hot vector.
    """

    def __init__(self, count: int, decoder: nn.Module):
        super().__init__()
        self.count, self.decoder = count, decoder

    def forward(self, z: Tensor) -> Tensor:
        """Unbounded images of all templates, `batch x K x channels x height x width`.

        Args:
            z: the continuous latents of each template, `batch x K x latents`, or `batch x 1 x latents` for all.
        """
        choice = torch.eye(self.count, dtype=z.dtype, device=z.device).expand(len(z), -1, -1)
        inputs = torch.cat([choice, z.expand(-1, self.count, -1)], 2)
        return self.decoder(inputs.flatten(0, 1)).unflatten(0, (len(z), self.count))


@dataclass
class _Known:
    """A posterior of which only the KL to the prior is asked, in nats, `batch x latents`."""

    kl: Tensor

    def kl_to_prior(self) -> Tensor:
        return self.kl


@dataclass
class _Inferred:
    """Inference for every k: `batch x K x ...`, or `batch x 1 x ...` where it is the same for all.

    Attributes:
        log_q: log q(k | x), `batch x K`.
        posteriors: q(z_A | ., k) and q(z_P | ., k), each `batch x K x latents`.
        samples: one draw from each.
        gamma: `batch x K x transformation.dim`.
    """

    log_q: Tensor
    posteriors: dict[str, Gaussian]
    samples: dict[str, Tensor]
    gamma: Tensor


class Archetypes(TransformingModel):
    """K templates, each seen from perspectives of its own.

    The code of `z_A` is k, one column for each template, followed by the continuous latents of appearance. A draw has a
    one in the column of a drawn k; a mean has the probabilities q(k | x), and the latents of the most probable k.

    Args:
        classifier: images -> logits of q(k | .), `batch x K`.
        encoder_P: images -> q(z_P | x, k), a `Gaussian`, `batch x (K * d_P)`; `batch x d_P` if `shared`.
        decoder_P: z_P and, unless `shared`, a one-hot k -> gamma, `batch x transformation.dim`.
        templates: `FreeTemplates` or `DecodedTemplates`.
        transformation: T_gamma.
        likelihood: see `vitae.models.likelihoods`.
        count: K.
        perspective: d_P.
        encoder_A: images -> q(z_A | .), a `Gaussian`, `batch x d_A`; None without continuous latents.
        appearance: d_A, the number of continuous latents.
        shared: one perspective for all templates instead of one given each: gamma does not depend on k, and k is
            inferred from the image with the perspective undone.

    Raises:
        InputError: in `forward`, if the templates are not K images of the shape of x.
    """

    def __init__(
        self,
        classifier: nn.Module,
        encoder_P: nn.Module,
        decoder_P: nn.Module,
        templates: nn.Module,
        transformation: Transformation,
        likelihood: nn.Module,
        *,
        count: int,
        perspective: int,
        shape: Shape,
        encoder_A: nn.Module | None = None,
        appearance: int = 0,
        shared: bool = False,
    ):
        super().__init__()
        if count < 1:
            raise InputError(f"archetypes need one template or more, got {count}.")
        self.classifier, self.encoder_A, self.encoder_P = classifier, encoder_A, encoder_P
        self.decoder_P, self.templates = decoder_P, templates
        self.transformation, self.likelihood = transformation, likelihood
        self.count, self.shared = count, shared
        self.sizes = {"z_A": appearance, "z_P": perspective}
        self.spaces = {"z_A": count + appearance, "z_P": perspective}
        self.images_per_draw = count
        # Centres of the k-means clusters that q(k | x) is held to at first.
        self.register_buffer("centres", torch.zeros(count, math.prod(shape)))

    @property
    def latents(self) -> list[Latent]:
        choice = Latent("k", "z_A", tuple(range(self.count)), categories=self.count)
        continuous = [
            Latent(f"{space}{i + 1}", space, (first + i,))
            for space, first in (("z_A", self.count), ("z_P", 0))
            for i in range(self.sizes[space])
        ]
        return [choice, *continuous]

    def start_from(self, x: Tensor, seed: int) -> None:
        """Run k-means on images; free templates start at its centres, and q(k | x) is held to its clusters.

        So each template has images of its own before the transformations are learned.

        Raises:
            InputError: there are fewer images than templates.
        """
        # Takes as long to import as torch, and only trainings of this model need it.
        from sklearn.cluster import KMeans

        if len(x) < self.count:
            raise InputError(f"{self.count} templates need as many training images, got {len(x)}: choose fewer.")
        found = KMeans(self.count, n_init=4, random_state=seed % 2**32).fit(x.flatten(1).cpu().numpy()).cluster_centers_
        self.centres.copy_(torch.from_numpy(found))
        if isinstance(self.templates, FreeTemplates):
            means = self.centres.unflatten(1, self.templates.pixels.shape[1:])
            self.templates.set(self.likelihood.decoded(means))

    def _infer(self, x: Tensor, noise: Noise | None) -> _Inferred:
        kinds = 1 if self.shared else self.count
        q_P = self.encoder_P(x)
        q_P = Gaussian(*(part.unflatten(1, (kinds, -1)) for part in (q_P.mean, q_P.log_variance)))
        z_P = q_P.sample(noise)
        gamma = self._gamma_of_each(z_P)
        q_A = Gaussian(*(z_P.new_zeros(len(x), 1, 0) for _ in range(2)))
        upright = x
        if self.encoder_A is not None or self.shared:
            repeated = x.repeat_interleave(kinds, 0)
            upright = self.transformation.warp(repeated, gamma.flatten(0, 1), inverse=True)
        if self.encoder_A is not None:
            found = self.encoder_A(upright)
            q_A = Gaussian(*(part.unflatten(0, (len(x), kinds)) for part in (found.mean, found.log_variance)))
        log_q = self.classifier(upright if self.shared else x).to(x.dtype).log_softmax(1)
        return _Inferred(log_q, {"z_A": q_A, "z_P": q_P}, {"z_A": q_A.sample(noise), "z_P": z_P}, gamma)

    def _gamma_of_each(self, z_P: Tensor) -> Tensor:
        """gamma of the perspective given each k, `batch x K x dim`; `batch x 1 x dim` if shared."""
        if not self.shared:
            choice = torch.eye(self.count, dtype=z_P.dtype, device=z_P.device)
            z_P = torch.cat([z_P, choice.expand(len(z_P), -1, -1)], 2)
        return self.decoder_P(z_P.flatten(0, 1)).unflatten(0, z_P.shape[:2])

    def _means(self, inferred: _Inferred, shape: torch.Size) -> Tensor:
        """The mean image of each k, `batch x K x channels x height x width`."""
        decoded = self.templates(inferred.samples["z_A"])
        if decoded.shape[1:] != (self.count, *shape):
            got, expected = (" x ".join(map(str, size)) for size in (decoded.shape[1:], (self.count, *shape)))
            raise InputError(f"the templates must be {expected} (K x channels x height x width), got {got}.")
        means = self.likelihood.mean(decoded)
        if not self.shared:
            return self.transformation.warp(means.flatten(0, 1), inferred.gamma.flatten(0, 1)).view_as(means)
        # One perspective: the templates of an image are warped together, as its channels.
        return self.transformation.warp(means.flatten(1, 2), inferred.gamma[:, 0]).view_as(means)

    def _log_likelihoods(self, x: Tensor, means: Tensor) -> Tensor:
        """log p(x | z, k) in nats, `batch x K`."""
        return self.log_likelihood(x, means.flatten(0, 1)).unflatten(0, (len(x), self.count))

    def forward(self, x: Tensor, noise: Noise | None) -> Output:
        inferred = self._infer(x, noise)
        means = self._means(inferred, x.shape[1:])
        log_likelihood = (inferred.log_q.exp() * self._log_likelihoods(x, means)).sum(1)
        codes, k = self._codes(inferred, noise)
        nearest = one_hot(torch.cdist(x.flatten(1), self.centres).argmin(1), self.count).to(x.dtype)
        terms = {"hold": -(nearest * inferred.log_q).sum(1).mean()}
        return Output(Latents(self._posteriors(inferred), codes), _of_choice(means, k), log_likelihood, terms=terms)

    def infer(self, x: Tensor, noise: Noise | None, samples: int = 1) -> Latents:
        inferred = self._infer(x.repeat_interleave(samples, 0), noise)
        return Latents(self._posteriors(inferred), self._codes(inferred, noise)[0])

    def _posteriors(self, inferred: _Inferred) -> dict[str, Posterior]:
        """KL(q(k | x) || 1/K), and the KL of each continuous latent as its mean over q(k | x)."""
        q = inferred.log_q.exp()
        of_choice = (q * (inferred.log_q + math.log(self.count))).sum(1, keepdim=True)
        z_A, z_P = ((q[..., None] * inferred.posteriors[name].kl_to_prior()).sum(1) for name in ("z_A", "z_P"))
        return {"z_A": _Known(torch.cat([of_choice, z_A], 1)), "z_P": _Known(z_P)}

    def _codes(self, inferred: _Inferred, noise: Noise | None) -> tuple[dict[str, Tensor], Tensor]:
        """The codes of both spaces, and the k that they have, `batch`."""
        q = inferred.log_q.exp()
        if noise is None:
            k, choice = q.argmax(1), q
        else:
            # The inverse of the cumulative probability at a uniform number, made from normal noise as all noise is.
            uniform = torch.special.ndtr(normal(q[:, :1], noise))
            k = (q.cumsum(1) < uniform).sum(1).clamp(max=self.count - 1)
            choice = one_hot(k, self.count).to(q.dtype)
        z_A, z_P = (_of_choice(inferred.samples[name].expand(-1, self.count, -1), k) for name in ("z_A", "z_P"))
        return {"z_A": torch.cat([choice, z_A], 1), "z_P": z_P}, k

    def log_weights(self, x: Tensor, noise: Noise, samples: int) -> Tensor:
        """log sum_k p(x, z_k, k) / q(z_k | x, k) of draws z_k for every k, in nats, `batch x samples`."""
        repeated = x.repeat_interleave(samples, 0)
        inferred = self._infer(repeated, noise)
        weights = self._log_likelihoods(repeated, self._means(inferred, x.shape[1:])) - math.log(self.count)
        for name, posterior in inferred.posteriors.items():
            z = inferred.samples[name]
            weights = weights + (gaussian_log_prob(z, 0.0, 0.0) - posterior.log_prob(z)).sum(2)
        return weights.logsumexp(1).unflatten(0, (len(x), samples))

    def appearance(self, z: dict[str, Tensor]) -> Tensor:
        means = self.likelihood.mean(self.templates(code_in(z, "z_A")[:, None, self.count :]))
        return _of_choice(means, self._choice(z))

    def gamma(self, z: dict[str, Tensor]) -> Tensor:
        z_P = code_in(z, "z_P")
        if not self.shared:
            z_P = torch.cat([z_P, one_hot(self._choice(z), self.count).to(z_P.dtype)], 1)
        return self.decoder_P(z_P)

    def _choice(self, z: dict[str, Tensor]) -> Tensor:
        """The k of a code, the column with the largest number, `batch`."""
        return code_in(z, "z_A")[:, : self.count].argmax(1)


def _of_choice(values: Tensor, k: Tensor) -> Tensor:
    """The values of each row's k: `batch x K x ...` -> `batch x ...`."""
    index = k.view(-1, 1, *[1] * (values.ndim - 2)).expand(-1, 1, *values.shape[2:])
    return values.gather(1, index)[:, 0]

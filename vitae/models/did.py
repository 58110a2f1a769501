r"""DiD, disentanglement in difference: a latent is what changes an image in its own way.

Nothing asks for independence. A generator G makes images of codes c ~ N(0, I) against a critic (WGAN with a
gradient penalty, Gulrajani et al., 2017). For each code one latent i is drawn anew; a difference encoder H sees the two
images and embeds what has changed between them. Embeddings of changes of the same latent are pulled together, those of
different latents pushed apart, and G learns from it too. A sample encoder E reads c off G(c) and is what gets scored.

By Zhang et al. (2025, arXiv:2502.03123), who published no code. Ours, where what we could read is silent: networks and
sizes; E is a Gaussian fitted to pairs (c, G(c)) by maximum likelihood, so (G, E) is a latent variable model with an
ELBO like all others; H sees the first image and the change, magnified to a common size; changes are compared over the
whole batch by the supervised contrastive loss (Khosla et al., 2020) of normalised embeddings at temperature 0.1; all
parts take one step at a time from one batch, each by its own loss.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from vitae.models.base import Output, frozen
from vitae.models.vae import VAE
from vitae.support.randomness import Noise, normal

_TEMPERATURE = 0.1
# Root mean square of a pixel's change below which a change stays small.
_SMALLEST_CHANGE = 1e-3


class DiD(VAE):
    """One latent space, `z`; see the module.

    Args:
        encoder: E, from images to a Gaussian.
        decoder: G, before the likelihood's mean.
        critic: from images to one number, `batch x 1`.
        difference: H, from an image and how it changes, side by side as channels, to embeddings.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: nn.Module,
        latents: int,
        critic: nn.Module,
        difference: nn.Module,
    ):
        super().__init__(encoder, decoder, likelihood, latents)
        self.critic, self.difference = critic, difference

    def forward(self, x: Tensor, noise: Noise | None) -> Output:
        """As in every model; with noise, `terms` has what each part is trained by, means over the batch.

        `critic` is its distance from generated to real images, `penalty` its gradient penalty, `generator` what the
        critic says of generated images, `difference` the contrastive loss, `encoder` E's -log q(c | G(c)) in nats and
        `total_correlation` that of E's codes of generated images, from which G alone learns.
        """
        with torch.no_grad():
            output = super().forward(x, noise)
        if noise is not None:
            output.terms.update(self._terms(x, noise))
        return output

    def _terms(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        like = x.new_zeros(len(x), self.spaces["z"])
        c = normal(like, noise)
        # Which latent changes: the place of the largest of as many equal draws.
        changed = one_hot(normal(like, noise).argmax(1), like.shape[1])
        other = torch.where(changed == 1, normal(like, noise), c)
        made, after = self.decode({"z": c}), self.decode({"z": other})
        part = torch.special.ndtr(normal(x[:, :1, :1, :1], noise))
        between = torch.lerp(x, made.detach(), part)
        slope = torch.func.grad(lambda image: self.critic(image).sum())(between)
        codes = frozen(self.encoder)(made)
        return {
            "critic": self.critic(made.detach()).mean() - self.critic(x).mean(),
            "penalty": ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean(),
            "generator": -frozen(self.critic)(made).mean(),
            "difference": contrast(
                self.difference(torch.cat([made, _magnified(after - made)], 1)), changed.to(x.dtype)
            ),
            "encoder": -self.encoder(made.detach()).log_prob(c).sum(1).mean(),
            "total_correlation": codes.total_correlation(codes.sample(noise)),
        }


def _magnified(change: Tensor) -> Tensor:
    """Changes of equal size, that a small one be seen as well as a large one, `batch x channels x height x width`."""
    size = change.flatten(1).square().mean(1).add(_SMALLEST_CHANGE**2).sqrt()
    return change / size[:, None, None, None]


def contrast(embeddings: Tensor, changed: Tensor) -> Tensor:
    """How little embeddings of the same change are together and those of others apart (supervised contrastive loss).

    Args:
        embeddings: `batch x size`; their lengths do not matter.
        changed: which latent changed, as one of `batch x latents`.
    """
    directions = normalize(embeddings, dim=1)
    alone = torch.eye(len(embeddings)).to(embeddings)
    # Nobody is compared with himself.
    alike = directions @ directions.T / _TEMPERATURE - 1e9 * alone
    same = changed @ changed.T * (1 - alone)
    log_part = alike - alike.logsumexp(1, keepdim=True)
    return -((same * log_part).sum(1) / same.sum(1).clamp(min=1)).mean()

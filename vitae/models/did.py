r"""DiD, disentanglement in difference (Zhang et al., 2025, arXiv:2502.03123): each latent changes an image differently.

The method does not require independent latents. A generator G turns codes c ~ N(0, I) into images and is trained
against a critic (WGAN with gradient penalty, Gulrajani et al., 2017). In each code one latent i is then redrawn, and a
difference encoder H embeds the change between the two images. A contrastive loss pulls together embeddings of changes
in the same latent and pushes apart those of different latents; G is trained by it too. A sample encoder E infers c from
G(c), and its codes are scored.

The authors published no code. Our choices where the paper gives none: networks and sizes; E is a Gaussian fitted to
pairs (c, G(c)) by maximum likelihood, so (G, E) is a latent variable model with an ELBO like the others; H sees the
first image and the change, scaled to a common size; changes are compared over the whole batch by the supervised
contrastive loss (Khosla et al., 2020) of normalised embeddings at temperature 0.1; each step updates all parts from
one batch, each part by its own loss.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from vitae.models.base import Output, frozen
from vitae.models.vae import VAE
from vitae.support.randomness import Noise, normal

_TEMPERATURE = 0.1
# Root mean square over pixels; much smaller changes are not scaled up to size one.
_SMALLEST_CHANGE = 1e-3


class DiD(VAE):
    """One latent space, `z`; see the module's docstring.

    Args:
        encoder: E, images -> `Gaussian`, `batch x latents`.
        decoder: G without the likelihood's mean, `batch x latents` -> unbounded images.
        likelihood: see `vitae.models.likelihoods`.
        latents: dimension of z.
        critic: images -> `batch x 1`.
        difference: H, an image and its change stacked as channels, `batch x 2 channels x height x width` ->
            embeddings, `batch x size`.
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
        """A pass as in every model, without gradients; with noise, `terms` holds the losses, means over the batch.

        `critic` is the critic's value of generated less that of real images, `penalty` its gradient penalty,
        `generator` minus its value of generated images, `difference` the contrastive loss, `encoder` E's
        -log q(c | G(c)) in nats, and `total_correlation` that of E's codes of generated images in nats, of which only G
        gets a gradient.
        """
        with torch.no_grad():
            output = super().forward(x, noise)
        if noise is not None:
            output.terms.update(self._terms(x, noise))
        return output

    def _terms(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        like = x.new_zeros(len(x), self.spaces["z"])
        c = normal(like, noise)
        # Uniform index of the latent that changes: argmax of independent normals.
        changed = one_hot(normal(like, noise).argmax(1), like.shape[1])
        changed_c = torch.where(changed == 1, normal(like, noise), c)
        generated, after = self.decode({"z": c}), self.decode({"z": changed_c})
        # Uniform in [0, 1]: the distribution function of a normal. `Noise` draws normals only.
        fraction = torch.special.ndtr(normal(x[:, :1, :1, :1], noise))
        between = torch.lerp(x, generated.detach(), fraction)
        slope = torch.func.grad(lambda image: self.critic(image).sum())(between)
        codes = frozen(self.encoder)(generated)
        return {
            "critic": self.critic(generated.detach()).mean() - self.critic(x).mean(),
            "penalty": ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean(),
            "generator": -frozen(self.critic)(generated).mean(),
            "difference": contrastive_loss(
                self.difference(torch.cat([generated, _rescaled(after - generated)], 1)), changed.to(x.dtype)
            ),
            "encoder": -self.encoder(generated.detach()).log_prob(c).sum(1).mean(),
            "total_correlation": codes.total_correlation(codes.sample(noise)),
        }


def _rescaled(change: Tensor) -> Tensor:
    """Changes at a root mean square of one, so that H sees their form, `batch x channels x height x width`."""
    size = change.flatten(1).square().mean(1).add(_SMALLEST_CHANGE**2).sqrt()
    return change / size[:, None, None, None]


def contrastive_loss(embeddings: Tensor, changed: Tensor) -> Tensor:
    """The supervised contrastive loss L_out of Khosla et al. (2020), with the changed latent as label; a scalar.

    Args:
        embeddings: `batch x size`, of any length.
        changed: one-hot, which latent changed, `batch x latents`.
    """
    directions = normalize(embeddings, dim=1)
    itself = torch.eye(len(embeddings)).to(embeddings)
    # Exclude each embedding's similarity to itself.
    similarity = directions @ directions.T / _TEMPERATURE - 1e9 * itself
    same_label = changed @ changed.T * (1 - itself)
    log_probability = similarity - similarity.logsumexp(1, keepdim=True)
    return -((same_label * log_probability).sum(1) / same_label.sum(1).clamp(min=1)).mean()

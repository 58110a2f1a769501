"""Every architecture by name, and how it is built from a configuration's settings.

An architecture with an objective is a row of a table, see `vitae.experiments.declaration`. `register_model` adds one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vitae.models.base import GenerativeModel
from vitae.models.devae import DeVAE
from vitae.models.did import DiD
from vitae.models.factor_vae import FactorVAE
from vitae.models.likelihoods import LIKELIHOODS
from vitae.models.networks import NETWORKS, Shape
from vitae.models.objectives import OBJECTIVES
from vitae.models.perspective_decoder import PERSPECTIVE_DECODERS, ParameterDecoder
from vitae.models.vae import VAE
from vitae.models.vitae import VITAE
from vitae.support.errors import InputError, require_known
from vitae.support.registry import Registry
from vitae.transforms import Transformation, transformation_named

# Widths of DeVAE's stage embedding and of DiD's embedding of a difference.
_STAGE_EMBEDDING, _DIFFERENCE_EMBEDDING = 8, 16


def setting(default: Any, text: str, choices: Callable[[], Any] | None = None, **metadata):
    """A dataclass field that is also a command-line option.

    Args:
        text: the option's help.
        choices: a function that returns the allowed values, called when they are needed, so that registered ones count.
    """
    return field(default=default, metadata={"help": text, "choices": choices, **metadata})


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What a builder reads: everything about a model but its weights.

    Attributes:
        appearance: dimension of z_A. A model with one latent space gets the sum of both dimensions.
        perspective: dimension of z_P.
        transform: name of the transformation, see `vitae.transforms.named`; unused by models with one latent space.
        network: `mlp`, `mlp-separate` (one network for the mean and one for the variance) or `conv`.
        widths: hidden widths of each encoder, or its channels, for models with two latent spaces.
        vae_widths: the same for models with one latent space: wider, so that all rows have about as many parameters.
        likelihood: of pixels, see `vitae.models.likelihoods`.
        strengths: the objective's own numbers, see `vitae.models.objectives`.
        perspective_decoder: `generators`, one linear map whose latents start as the transformation's named motions;
            `generators+hidden`, the same plus a hidden layer that starts at zero; `linear`, a linear map that starts at
            random; `hidden`, a network with one hidden layer that starts at random.
        gamma_scale: initial scale of gamma, see `ParameterDecoder`.
        gamma_limit: bound on each parameter of gamma; None for no bound.
    """

    appearance: int = setting(2, "dimension of z_A; a model with one latent space gets the sum")
    perspective: int = setting(4, "dimension of z_P")
    transform: str = setting("affine", "affine, cpab, cpab-ROWSxCOLUMNS, or several joined by +")
    network: str = setting("mlp", "kind of networks", lambda: NETWORKS)
    widths: tuple[int, ...] = (512, 256)
    vae_widths: tuple[int, ...] = (704, 352)
    likelihood: str = setting("bernoulli", "of pixels", lambda: LIKELIHOODS)
    strengths: dict[str, float] = field(default_factory=dict)
    perspective_decoder: str = setting("generators", "how z_P becomes gamma", lambda: PERSPECTIVE_DECODERS)
    gamma_scale: float = setting(0.1, "initial scale of the transformation's parameters")
    gamma_limit: float | None = setting(None, "bound on each parameter of the transformation")


Builder = Callable[[ModelSettings, Shape], GenerativeModel]


@dataclass(frozen=True)
class Architecture:
    """How a model is built, and which objectives can train it.

    Attributes:
        build: makes the model, with initial weights, from settings and the images' shape (channels, height, width).
        objectives: the objectives made for this architecture, which train no other; empty for the general ones.
        transforms: whether the model has a perspective space and a transformation.
    """

    build: Builder
    objectives: tuple[str, ...] = ()
    transforms: bool = False


ARCHITECTURES: Registry[Architecture] = Registry("architecture")


def register_architecture(
    name: str, *, objectives: tuple[str, ...] = (), transforms: bool = False
) -> Callable[[Builder], Builder]:
    """Decorator: register a function `(settings, shape) -> GenerativeModel` as an architecture.

    Args:
        objectives: objectives made for this architecture only; none for all general objectives.
        transforms: whether it has a perspective space and a transformation.
    """

    def registered(build: Builder) -> Builder:
        for objective in objectives:
            OBJECTIVES.named(objective)
        ARCHITECTURES.add(name, Architecture(build, tuple(objectives), transforms), module=build.__module__)
        return build

    return registered


def objectives_for(architecture: str) -> tuple[str, ...]:
    """The names of the objectives that can train an architecture."""
    own = ARCHITECTURES.named(architecture).objectives
    reserved = {name for each in ARCHITECTURES.values() for name in each.objectives}
    return own or tuple(name for name in OBJECTIVES if name not in reserved)


def require_trainable(architecture: str, objective: str) -> None:
    """Refuse an objective that cannot train an architecture.

    Raises:
        InputError: naming those that can.
    """
    OBJECTIVES.named(objective)
    fitting = objectives_for(architecture)
    if objective not in fitting:
        raise InputError(f"{architecture} cannot be trained by {objective}: choose one of {', '.join(fitting)}.")


def _single_space(settings: ModelSettings, shape: Shape, extra_decoder_inputs: int = 0) -> dict:
    """The arguments that every model with one latent space takes."""
    encoder, decoder, size_name = NETWORKS[settings.network]
    size = {size_name: settings.vae_widths}
    latents = settings.appearance + settings.perspective
    return {
        "encoder": encoder(shape, latents, **size),
        "decoder": decoder(shape, latents + extra_decoder_inputs, **size),
        "likelihood": LIKELIHOODS[settings.likelihood](),
        "latents": latents,
    }


@register_architecture("vae")
def _vae(settings: ModelSettings, shape: Shape) -> GenerativeModel:
    return VAE(**_single_space(settings, shape))


def _vitae(settings: ModelSettings, shape: Shape, conditional: bool) -> GenerativeModel:
    encoder, decoder, size_name = NETWORKS[settings.network]
    likelihood = LIKELIHOODS[settings.likelihood]()
    d_A, d_P = settings.appearance, settings.perspective
    size = {size_name: settings.widths}
    transformation = transformation_named(settings.transform)
    return VITAE(
        encoder(shape, d_A, **size),
        encoder(shape, d_P, **size),
        decoder(shape, d_A, **size),
        perspective_decoder(settings, transformation),
        transformation,
        likelihood,
        {"z_A": d_A, "z_P": d_P},
        conditional=conditional,
    )


@register_architecture("u-vitae", transforms=True)
def _u_vitae(settings: ModelSettings, shape: Shape) -> GenerativeModel:
    return _vitae(settings, shape, conditional=False)


@register_architecture("c-vitae", transforms=True)
def _c_vitae(settings: ModelSettings, shape: Shape) -> GenerativeModel:
    return _vitae(settings, shape, conditional=True)


@register_architecture("factor-vae", objectives=("factor",))
def _factor_vae(settings: ModelSettings, shape: Shape) -> GenerativeModel:
    return FactorVAE(**_single_space(settings, shape))


def _devae(settings: ModelSettings, shape: Shape, stages: int) -> GenerativeModel:
    parts = _single_space(settings, shape, extra_decoder_inputs=_STAGE_EMBEDDING)
    return DeVAE(**parts, stages=stages, embedding=_STAGE_EMBEDDING)


@register_architecture("devae", objectives=("decremental",))
def _devae_of_three(settings: ModelSettings, shape: Shape) -> GenerativeModel:
    return _devae(settings, shape, stages=3)


@register_architecture("devae-2", objectives=("decremental-2",))
def _devae_of_two(settings: ModelSettings, shape: Shape) -> GenerativeModel:
    return _devae(settings, shape, stages=2)


@register_architecture("did", objectives=("difference",))
def _did(settings: ModelSettings, shape: Shape) -> GenerativeModel:
    channels, height, width = shape
    return DiD(
        **_single_space(settings, shape),
        critic=_encoder_trunk(settings, shape, 1),
        difference=_encoder_trunk(settings, (2 * channels, height, width), _DIFFERENCE_EMBEDDING),
    )


def _encoder_trunk(settings: ModelSettings, shape: Shape, outputs: int) -> nn.Module:
    """A network like the encoder, from images to `batch x outputs`."""
    encoder, _, size_name = NETWORKS[settings.network]
    like = encoder(shape, outputs, **{size_name: settings.vae_widths})
    return nn.Sequential(like.trunk, nn.Linear(like.head.in_features, outputs))


def perspective_decoder(settings: ModelSettings, transformation: Transformation) -> ParameterDecoder:
    """The perspective decoder that the settings name, see `ModelSettings`."""
    how = {"start": settings.gamma_scale, "limit": settings.gamma_limit}
    start, _, hidden = settings.perspective_decoder.partition("+")
    if start == "generators":
        how["generators"] = transformation.generators
    if start != "hidden" and not hidden:
        how["hidden"] = ()
    return ParameterDecoder(settings.perspective, transformation.dim, **how)


def generators_of(transform: str) -> Tensor:
    """The named motions of a transformation, `n x dim`; raises `InputError` for an unknown name."""
    return transformation_named(transform).generators


def require_settings(settings: ModelSettings) -> None:
    """Refuse names that are unknown and a start that the transformation does not have.

    Raises:
        InputError: naming the setting and what is known.
    """
    require_known("network", settings.network, NETWORKS)
    require_known("likelihood", settings.likelihood, LIKELIHOODS)
    require_known("perspective_decoder", settings.perspective_decoder, PERSPECTIVE_DECODERS)
    if settings.perspective_decoder.startswith("generators") and not len(generators_of(settings.transform)):
        raise InputError(
            f"{settings.transform} has no named motions for latents to start as: choose another perspective_decoder "
            f"than {settings.perspective_decoder}, for instance hidden."
        )


def initial_weights(architecture: str, settings: ModelSettings, shape: Shape, stream: int) -> GenerativeModel:
    """A model with its initial weights, on the CPU, drawn from one seed without touching torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream)
        return ARCHITECTURES.named(architecture).build(settings, shape)

"""Architectures by name, each with a function that builds its model from settings.

A table row is an architecture with an objective, see `vitae.experiments.declaration`. `register_model` in
`vitae.experiments.build` adds both from outside the package.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vitae.models.archetypes import Archetypes, DecodedTemplates, FreeTemplates
from vitae.models.base import GenerativeModel, TransformingModel
from vitae.models.devae import DeVAE
from vitae.models.did import DiD
from vitae.models.factor_vae import FactorVAE
from vitae.models.likelihoods import LIKELIHOODS
from vitae.models.mutual_information import IndependentArchetypes, IndependentVITAE
from vitae.models.networks import NETWORKS, Shape
from vitae.models.objectives import OBJECTIVES
from vitae.models.perspective_decoder import PERSPECTIVE_DECODERS, ParameterDecoder
from vitae.models.vae import VAE
from vitae.models.vitae import VITAE
from vitae.support.errors import InputError, require_known
from vitae.support.registry import Registry
from vitae.support.settings import setting
from vitae.transforms import Transformation, transformation_named

# Dimensions of DeVAE's stage embedding and of DiD's embedding of a change.
_STAGE_EMBEDDING, _DIFFERENCE_EMBEDDING = 8, 16


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The settings that define a model and its initial weights' distribution; builders read them.

    Attributes:
        appearance: dimension of z_A. A model with one latent space gets the sum of both dimensions.
        perspective: dimension of z_P.
        transform: name of the transformation, see `vitae.transforms.named`; unused by models with one latent space.
        network: `mlp`, `mlp-separate` (one network for the mean and one for the variance) or `conv`.
        widths: hidden widths or channels of each encoder, for models with two latent spaces.
        vae_widths: the same for models with one latent space; wider, so that all rows have about as many parameters.
        likelihood: of pixels, see `vitae.models.likelihoods`.
        strengths: hyperparameters of the objective, see `vitae.models.objectives`.
        perspective_decoder: `generators`, a linear map whose latents start as the transformation's named motions;
            `generators+hidden`, the same plus a hidden layer whose output starts at zero; `linear`, a linear map with
            random initial weights; `hidden`, a network with one hidden layer and random initial weights.
        gamma_scale: initial scale of gamma, see `ParameterDecoder`.
        gamma_limit: bound on each parameter of gamma; None for no bound.
        templates: K, the number of templates of archetypes; other models have none.
        template_latents: continuous latents of each template, which a decoder then draws; with 0 its pixels are free.
        shared_perspective: whether the templates of archetypes share one perspective, see `Archetypes`.
    """

    appearance: int = setting("dimension of z_A; a model with one latent space gets the sum", 2)
    perspective: int = setting("dimension of z_P", 4)
    transform: str = setting("affine, cpab, cpab-ROWSxCOLUMNS, or several joined by +", "affine")
    network: str = setting("encoders and decoders", "mlp", lambda: NETWORKS)
    widths: tuple[int, ...] = (512, 256)
    vae_widths: tuple[int, ...] = (704, 352)
    likelihood: str = setting("likelihood of pixels", "bernoulli", lambda: LIKELIHOODS)
    strengths: dict[str, float] = field(default_factory=dict)
    perspective_decoder: str = setting("decoder_P, from z_P to gamma", "generators", lambda: PERSPECTIVE_DECODERS)
    gamma_scale: float = setting("initial scale of the transformation's parameters", 0.1)
    gamma_limit: float | None = setting("bound on each parameter of the transformation", None)
    templates: int = setting("K, the number of templates (archetypes)", 4)
    template_latents: int = setting("continuous latents of each template (archetypes)", 0)
    shared_perspective: bool = setting("one perspective for all templates (archetypes)", False)


Builder = Callable[[ModelSettings, Shape], GenerativeModel]


@dataclass(frozen=True)
class Architecture:
    """How a model is built, and which objectives can train it.

    Attributes:
        build: `(settings, shape) -> model` with initial weights; the shape is channels, height, width of the images.
        objectives: the objectives that belong to this architecture; empty if the general objectives train it.
        transforms: whether the model has a perspective space and a transformation.
        conditional: whether the posterior of one latent space depends on the draw from another, as in C-VITAE.
        settings: those of `ModelSettings` that only this architecture and its relatives read.
    """

    build: Builder
    objectives: tuple[str, ...] = ()
    transforms: bool = False
    conditional: bool = False
    settings: tuple[str, ...] = ()


ARCHITECTURES: Registry[Architecture] = Registry("architecture")


def register_architecture(
    name: str,
    *,
    objectives: tuple[str, ...] = (),
    transforms: bool = False,
    conditional: bool = False,
    settings: tuple[str, ...] = (),
) -> Callable[[Builder], Builder]:
    """Decorator: register a function `(settings, shape) -> GenerativeModel` as an architecture.

    Args:
        objectives: the objectives that belong to this architecture; none if the general objectives train it.
        transforms: whether it has a perspective space and a transformation.
        conditional, settings: see `Architecture`.

    Raises:
        InputError: the name is not allowed or taken, or an objective is unknown; nothing is registered then.
    """

    def registered(build: Builder) -> Builder:
        for objective in objectives:
            OBJECTIVES.named(objective)
        architecture = Architecture(build, tuple(objectives), transforms, conditional, tuple(settings))
        ARCHITECTURES.add(name, architecture, module=build.__module__)
        return build

    return registered


def settings_of_others(architecture: str) -> dict[str, str]:
    """The settings that an architecture does not have -> the architecture that they belong to."""
    others = {name: other for other, each in reversed(ARCHITECTURES.items()) for name in each.settings}
    return {name: other for name, other in others.items() if name not in ARCHITECTURES.named(architecture).settings}


def require_trainable(architecture: str, objective: str) -> None:
    """Refuse an objective that cannot train an architecture.

    Raises:
        InputError: the architecture or the objective is unknown, or they do not fit; the message lists those that do.
    """
    declared = ARCHITECTURES.named(architecture)
    require_objective(architecture, objective, declared.objectives, declared.conditional)


def require_objective(architecture: str, objective: str, own: Collection[str], conditional: bool) -> None:
    """Refuse an objective for an architecture that need not be registered yet.

    Args:
        own: the objectives that belong to the architecture; empty if the general objectives train it.
        conditional: see `Architecture`.

    Raises:
        InputError: the objective is unknown, or belongs to another architecture; the message lists those that fit.
    """
    OBJECTIVES.named(objective)
    # What an earlier registration of the same architecture reserved is free again.
    reserved = {taken for name, each in ARCHITECTURES.items() if name != architecture for taken in each.objectives}
    general = [
        name for name, each in OBJECTIVES.items() if name not in reserved and not (conditional and each.aggregate)
    ]
    allowed = own or general
    if conditional and OBJECTIVES[objective].aggregate and objective not in allowed:
        raise InputError(
            f"{architecture} cannot be trained by {objective}, which needs the aggregate posterior: the average of "
            f"q(z | x) over images is not known where the posterior of one space depends on the draw from another. "
            f"Choose one of {', '.join(allowed)}, or a model with independent posteriors, such as u-vitae+{objective}."
        )
    if objective not in allowed:
        raise InputError(f"{architecture} cannot be trained by {objective}: choose one of {', '.join(allowed)}.")


def _single_space(settings: ModelSettings, shape: Shape, extra_decoder_inputs: int = 0) -> dict:
    """The constructor arguments that all models with one latent space share."""
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


def _vitae(settings: ModelSettings, shape: Shape, conditional: bool, model: type[VITAE] = VITAE) -> GenerativeModel:
    encoder, decoder, size_name = NETWORKS[settings.network]
    likelihood = LIKELIHOODS[settings.likelihood]()
    d_A, d_P = settings.appearance, settings.perspective
    size = {size_name: settings.widths}
    transformation = transformation_named(settings.transform)
    return model(
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


@register_architecture("c-vitae", transforms=True, conditional=True)
def _c_vitae(settings: ModelSettings, shape: Shape) -> GenerativeModel:
    return _vitae(settings, shape, conditional=True)


@register_architecture("c-vitae-mi", objectives=("mi",), transforms=True, conditional=True)
def _c_vitae_mi(settings: ModelSettings, shape: Shape) -> GenerativeModel:
    return _vitae(settings, shape, conditional=True, model=IndependentVITAE)


_OF_TEMPLATES = ("templates", "template_latents", "shared_perspective")


@register_architecture("archetypes", objectives=("held",), transforms=True, conditional=True, settings=_OF_TEMPLATES)
def _archetypes(settings: ModelSettings, shape: Shape, model: type[Archetypes] = Archetypes) -> GenerativeModel:
    encoder, decoder, size_name = NETWORKS[settings.network]
    size = {size_name: settings.widths}
    count, d_A, d_P = settings.templates, settings.template_latents, settings.perspective
    transformation = transformation_named(settings.transform)
    return model(
        _encoder_trunk(settings.network, settings.widths, shape, count),
        encoder(shape, d_P * (1 if settings.shared_perspective else count), **size),
        perspective_decoder(settings, transformation, told=0 if settings.shared_perspective else count),
        DecodedTemplates(count, decoder(shape, count + d_A, **size)) if d_A else FreeTemplates(count, shape),
        transformation,
        LIKELIHOODS[settings.likelihood](),
        count=count,
        perspective=d_P,
        shape=shape,
        encoder_A=encoder(shape, d_A, **size) if d_A else None,
        appearance=d_A,
        shared=settings.shared_perspective,
    )


@register_architecture(
    "archetypes-mi", objectives=("held-mi",), transforms=True, conditional=True, settings=_OF_TEMPLATES
)
def _archetypes_mi(settings: ModelSettings, shape: Shape) -> GenerativeModel:
    return _archetypes(settings, shape, model=IndependentArchetypes)


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
        critic=_encoder_trunk(settings.network, settings.vae_widths, shape, 1),
        difference=_encoder_trunk(
            settings.network, settings.vae_widths, (2 * channels, height, width), _DIFFERENCE_EMBEDDING
        ),
    )


def _encoder_trunk(network: str, widths: tuple[int, ...], shape: Shape, outputs: int) -> nn.Module:
    """An encoder's layers without its Gaussian: a network from images to `batch x outputs`."""
    encoder_class, _, size_name = NETWORKS[network]
    encoder = encoder_class(shape, outputs, **{size_name: widths})
    return nn.Sequential(encoder.trunk, nn.Linear(encoder.head.in_features, outputs))


def perspective_decoder(settings: ModelSettings, transformation: Transformation, told: int = 0) -> ParameterDecoder:
    """The perspective decoder that the settings name, see `ModelSettings.perspective_decoder`.

    Args:
        told: number of further inputs, which say what the perspective is of.
    """
    arguments = {"start": settings.gamma_scale, "limit": settings.gamma_limit}
    start, _, hidden = settings.perspective_decoder.partition("+")
    if start == "generators":
        arguments["generators"] = transformation.generators[: settings.perspective]
    if start != "hidden" and not hidden:
        arguments["hidden"] = ()
    return ParameterDecoder(settings.perspective + told, transformation.dim, **arguments)


def generators_of(transform: str) -> Tensor:
    """The named motions of a transformation, `n x dim`, for instance rotation; empty if it has none.

    Raises:
        InputError: an unknown transformation.
    """
    return transformation_named(transform).generators


def require_valid_settings(settings: ModelSettings) -> None:
    """Refuse unknown names, and a perspective decoder that needs generators for a transformation without any.

    Raises:
        InputError: naming the setting and the allowed values.
    """
    require_known("network", settings.network, NETWORKS)
    require_known("likelihood", settings.likelihood, LIKELIHOODS)
    require_known("perspective_decoder", settings.perspective_decoder, PERSPECTIVE_DECODERS)
    generators = generators_of(settings.transform)
    if settings.perspective_decoder.startswith("generators") and not len(generators):
        raise InputError(
            f"{settings.transform} has no generators, which perspective_decoder {settings.perspective_decoder} starts "
            f"from: choose another perspective_decoder, for instance hidden."
        )


def initial_model(architecture: str, settings: ModelSettings, shape: Shape, seed: int) -> GenerativeModel:
    """A model with initial weights drawn from the seed, on the CPU; torch's global generator is left unchanged.

    Raises:
        InputError: the registered function returns no complete model.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ARCHITECTURES.named(architecture).build(settings, shape)
    _require_complete(architecture, model)
    return model


def _require_complete(architecture: str, model) -> None:
    """Refuse what is no model, or lacks what everything else asks of a model."""
    if not isinstance(model, GenerativeModel):
        raise InputError(
            f"the function registered as model '{architecture}' must return a vitae.models.base.GenerativeModel, got "
            f"{type(model).__name__}."
        )
    spaces = getattr(model, "spaces", None)
    sizes = spaces.values() if isinstance(spaces, dict) else ()
    if not sizes or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise InputError(
            f"the constructor of model '{architecture}' must set spaces, the dimension of each latent space by its "
            f"name, for instance {{'z': 5}}, got {str(spaces)[:60]}."
        )
    if isinstance(model, TransformingModel) and not {"z_A", "z_P"} <= set(spaces):
        raise InputError(
            f"model '{architecture}' transforms, so it needs z_A and z_P, got {', '.join(map(str, spaces))[:60]}."
        )
    if not isinstance(getattr(model, "likelihood", None), nn.Module):
        raise InputError(
            f"the constructor of model '{architecture}' must set likelihood, one of vitae.models.likelihoods."
        )

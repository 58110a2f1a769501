"""Generative models, one file each, with one interface: `infer`, `decode`, and `forward`, which combines the two."""

from vitae.models.archetypes import Archetypes
from vitae.models.base import Latents, Output
from vitae.models.devae import DeVAE
from vitae.models.did import DiD
from vitae.models.factor_vae import FactorVAE
from vitae.models.vae import VAE
from vitae.models.vitae import VITAE

__all__ = ["VAE", "VITAE", "Archetypes", "DeVAE", "DiD", "FactorVAE", "Latents", "Output"]

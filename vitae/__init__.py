"""Explicit disentanglement of appearance and perspective: models, transformations, training and scores::

from vitae import configure, run
record = run(configure("mnist", "c-vitae", profile="quick", seed=0))
print(record["scores"]["predictability"]["z_A"]["digit"])
"""

from vitae.data import MNIST, Dataset
from vitae.errors import InputError
from vitae.evaluate import codes_of
from vitae.experiments import Configuration, build, configure
from vitae.likelihoods import Bernoulli, GaussianPixels
from vitae.metrics import d_score, predictability
from vitae.models import VAE, VITAE
from vitae.nets import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder, ParameterDecoder
from vitae.runs import load_model, run, run_together
from vitae.schedule import Schedule
from vitae.transforms import CPAB, Affine, Sequential

__version__ = "0.1.0"

__all__ = [
    "CPAB",
    "MNIST",
    "VAE",
    "VITAE",
    "Affine",
    "Bernoulli",
    "Configuration",
    "ConvDecoder",
    "ConvEncoder",
    "Dataset",
    "GaussianPixels",
    "InputError",
    "MLPDecoder",
    "MLPEncoder",
    "ParameterDecoder",
    "Schedule",
    "Sequential",
    "build",
    "codes_of",
    "configure",
    "d_score",
    "load_model",
    "predictability",
    "run",
    "run_together",
]

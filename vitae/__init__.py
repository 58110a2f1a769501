"""Explicit disentanglement of appearance and perspective: models, transformations, training and scores::

    from vitae import configure, run
    record = run(configure("mnist", "c-vitae", profile="quick", seed=0))
    print(record["scores"]["predictability"]["z_A"]["digit"])

The public names below are imported when they are first used, so that `import vitae` takes no time.
"""

import importlib

__version__ = "0.1.0"

# Public name -> the module that defines it.
_HOME = {
    "CPAB": "transforms",
    "VAE": "models",
    "VITAE": "models",
    "Affine": "transforms",
    "Configuration": "experiments.configuration",
    "Dataset": "data",
    "InputError": "support.errors",
    "Sequential": "transforms",
    "build": "experiments.build",
    "codes_of": "evaluation.codes",
    "configure": "experiments.configuration",
    "load_data": "experiments.run_data",
    "load_model": "experiments.resume",
    "pretrained": "experiments.pretrained",
    "register_dataset": "data",
    "register_experiment": "experiments.declaration",
    "register_model": "experiments.build",
    "register_objective": "models.objectives",
    "register_score": "metrics",
    "register_transform": "transforms",
    "run": "experiments.run",
    "run_together": "experiments.run",
}

__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'vitae' has no attribute '{name}'")
    return getattr(importlib.import_module(f"vitae.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

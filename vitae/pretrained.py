"""Trained C-VITAE models that come with the package: codes and pictures without training.

>>> from vitae.pretrained import pretrained
>>> model = pretrained("mnist")
>>> model.spaces
{'z_A': 2, 'z_P': 4}
"""

import torch

from vitae import paths
from vitae.errors import InputError, require_known
from vitae.experiments import Configuration, build, configuration_of, weights_path
from vitae.files import read_tensors, write_tensors
from vitae.models.base import GenerativeModel


def _available() -> list[str]:
    return sorted(path.stem for path in paths.weights().glob("*.safetensors"))


def pretrained(dataset: str) -> GenerativeModel:
    """C-VITAE as trained with profile full and seed 0 on a dataset, on the CPU, ready for evaluation.

    Its weights were rounded to float16, which moves codes by a few thousandths; its record is that of the run.

    Raises:
        InputError: no weights of that dataset come with the package.
    """
    tensors, stated = read_tensors(
        paths.weights() / f"{require_known('trained model', dataset, _available())}.safetensors"
    )
    model = build(configuration_of({"run": dataset, "configuration": stated["configuration"]}), tuple(stated["shape"]))
    model.load_state_dict({name: value.float() for name, value in tensors.items()})
    return model.eval()


def keep(configuration: Configuration, shape: tuple[int, int, int]) -> None:
    """Round the weights of a finished run to float16 and put them where `pretrained` finds them.

    Raises:
        InputError: the run was not trained here.
    """
    try:
        tensors, _ = read_tensors(weights_path(configuration))
    except FileNotFoundError:
        raise InputError(f"there is no {weights_path(configuration)}: train that run first.") from None
    rounded = {name: value.to(torch.float16) for name, value in tensors.items()}
    stated = {"configuration": configuration.as_json(), "shape": list(shape)}
    write_tensors(paths.weights() / f"{configuration.dataset}.safetensors", rounded, stated)

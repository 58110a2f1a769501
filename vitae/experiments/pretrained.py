"""Trained C-VITAE models that come with the package: codes and pictures without training.

>>> from vitae import pretrained
>>> model = pretrained("mnist")
>>> model.spaces
{'z_A': 2, 'z_P': 4}
"""

import torch
from torch import Tensor

from vitae.experiments.build import build
from vitae.experiments.configuration import Configuration, configuration_of, weights_path
from vitae.models.base import GenerativeModel
from vitae.support import paths
from vitae.support.errors import InputError, require_known
from vitae.support.files import read_tensors, write_tensors

# Smaller tensors are stored unrounded: biases and scales.
_LARGE = 4096
_SCALE = ":scale"


def _available() -> list[str]:
    return sorted(path.stem for path in paths.weights().glob("*.safetensors"))


def pretrained(name: str) -> GenerativeModel:
    """C-VITAE as trained with profile full and seed 0, on the CPU, in evaluation mode.

    Each row of its large weights is rounded to 255 levels, which changes the ELBO by a few hundredths of a nat and
    codes by less than a tenth.

    Args:
        name: a dataset, for instance mnist; or mnist-cpab, whose transformation is CPAB.

    Raises:
        InputError: the package has no weights of that name; the message lists those that it has.
    """
    tensors, stated = read_tensors(
        paths.weights() / f"{require_known('trained model', name, _available())}.safetensors"
    )
    model = build(configuration_of({"run": name, "configuration": stated["configuration"]}), tuple(stated["shape"]))
    scales = {name: tensors.pop(name) for name in list(tensors) if name.endswith(_SCALE)}
    model.load_state_dict(
        {
            name: _scaled(value, scales[name + _SCALE]) if name + _SCALE in scales else value
            for name, value in tensors.items()
        }
    )
    return model.eval()


def _rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers from -127 to 127, and what to multiply each row with."""
    scale = weight.flatten(1).abs().amax(1).clamp(min=torch.finfo(weight.dtype).tiny) / 127
    return (weight / _by_row(scale, weight)).round().to(torch.int8), scale


def _scaled(rounded: Tensor, scale: Tensor) -> Tensor:
    return rounded.to(scale.dtype) * _by_row(scale, rounded)


def _by_row(scale: Tensor, weight: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (weight.ndim - 1))


def package_weights(configuration: Configuration, shape: tuple[int, int, int], name: str = "") -> None:
    """Round the weights of a finished run to eight bits and write them where `pretrained` finds them.

    Args:
        name: the name for `pretrained`; by default the dataset.

    Raises:
        InputError: the run was not trained here.
    """
    try:
        tensors, _ = read_tensors(weights_path(configuration))
    except FileNotFoundError:
        raise InputError(f"there is no {weights_path(configuration)}: train that run first.") from None
    rounded = {}
    for key, value in tensors.items():
        if value.ndim > 1 and value.numel() >= _LARGE:
            rounded[key], rounded[key + _SCALE] = _rounded(value)
        else:
            rounded[key] = value
    stated = {"configuration": configuration.as_json(), "shape": list(shape)}
    write_tensors(paths.weights() / f"{name or configuration.dataset}.safetensors", rounded, stated)

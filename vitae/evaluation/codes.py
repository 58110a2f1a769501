"""TODO evaluation.codes."""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from vitae.data.dataset import Dataset, as_floats
from vitae.data.grid import Grid
from vitae.evaluation.likelihood import _BATCH, _device
from vitae.models.base import GenerativeModel
from vitae.support import devices
from vitae.support.errors import InputError, reason, require_number
from vitae.support.randomness import generator


@torch.no_grad()
def codes(model: GenerativeModel, images: Tensor) -> dict[str, np.ndarray]:
    """Posterior means along the training path, `n x d` for each latent space.

    For C-VITAE that means z_A from `T_-gamma(x)`, gamma from the mean of z_P: not from the raw image.
    """
    return _inferred(model, images, lambda number: None)


@torch.no_grad()
def draws(model: GenerativeModel, images: Tensor, *, seed: int) -> dict[str, np.ndarray]:
    """One draw from the posterior of each image, `n x d` for each latent space: what the decoder gets to see."""
    return _inferred(model, images, lambda number: generator(_device(model), seed, "draws", number))


def _inferred(model: GenerativeModel, images: Tensor, noise_of: Callable) -> dict[str, np.ndarray]:
    model.eval()
    found: dict[str, list[np.ndarray]] = {name: [] for name in model.spaces}
    for number, block in enumerate(images.split(_BATCH)):
        for name, z in model.infer(as_floats(block), noise_of(number)).samples.items():
            found[name].append(z.cpu().double().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def codes_of(encoder: Callable, dataset: Dataset | Grid | Tensor, *, batch: int = _BATCH) -> np.ndarray:
    """The codes that any encoder gives the images of a dataset, `n x d`, ready for `vitae.metrics`.

    Args:
        encoder: a `GenerativeModel`, whose posterior means are taken, all latent spaces side by side; or a module or
            function from float32 images in [0, 1], `batch x channels x height x width`, to codes `batch x d`; or
            whatever has `transform`, as in scikit-learn, from flat images, `batch x pixels`.
        dataset: a dataset, or bare uint8 images `n x channels x height x width`; or a grid, all of whose combinations
            are then drawn and encoded, block by block, in the order of their numbers.
        batch: images encoded at a time.

    Raises:
        InputError: the encoder cannot take these images, or gives something else than a row of numbers an image.
    """
    require_number("batch", batch, 1, whole=True)
    if not isinstance(dataset, Dataset | Grid | Tensor):
        raise InputError(f"codes are of a Dataset, a Grid or a tensor of images, got {type(dataset).__name__}.")
    count = len(dataset)
    if count == 0:
        raise InputError("there are no images to encode.")
    devices.keep_freed_memory()
    encode = _encoding(encoder)
    found: np.ndarray | None = None
    with (
        tqdm(total=count, desc="codes", unit="image", disable=None, delay=1) as bar,
        torch.no_grad(),
        _evaluating(encoder),
    ):
        for start, images in _blocks(dataset, batch):
            part = encode(images)
            if part.ndim != 2 or len(part) != len(images) or part.dtype.kind not in "fiu" or part.shape[1] == 0:
                raise InputError(
                    f"the encoder must give a row of numbers an image, and gave {part.dtype} {part.shape} for "
                    f"{len(images)} images: wrap it in a function that returns its means."
                )
            if found is None:
                found = np.empty((count, part.shape[1]), np.float64)
            if part.shape[1] != found.shape[1]:
                raise InputError(
                    f"the encoder gave {found.shape[1]} numbers an image at first, and later {part.shape[1]}."
                )
            found[start : start + len(part)] = part
            bar.update(len(part))
    return found


@contextlib.contextmanager
def _evaluating(encoder) -> Iterator[None]:
    """A module in its mode for evaluation, and afterwards each part of it in the mode that it had."""
    modules = list(encoder.modules()) if isinstance(encoder, nn.Module) else []
    before = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training


# Drawn at a time from a grid: so few that the cache does not keep them, since the whole of a grid would fill a disk.
_DRAWN = 960


def _blocks(dataset: Dataset | Grid | Tensor, batch: int) -> Iterator[tuple[int, Tensor]]:
    """All images in pieces, each with the number of its first."""
    if isinstance(dataset, Grid):
        step = min(batch, _DRAWN)
        for start in range(0, len(dataset), step):
            yield start, dataset.images(dataset.positions(np.arange(start, min(start + step, len(dataset)))))
    else:
        images = dataset if isinstance(dataset, Tensor) else dataset.images
        yield from ((start, images[start : start + batch]) for start in range(0, len(images), batch))


def _encoding(encoder: Callable) -> Callable[[Tensor], np.ndarray]:
    """The encoder as a function from uint8 images to codes."""
    if isinstance(encoder, GenerativeModel):
        where = _device(encoder)
        return lambda images: np.concatenate(list(codes(encoder, images.to(where)).values()), axis=1)
    is_module = isinstance(encoder, nn.Module)
    if not is_module and callable(getattr(encoder, "transform", None)):

        def call(x: Tensor):
            return encoder.transform(x.flatten(1).numpy())

        where = torch.device("cpu")
    elif callable(encoder):
        call = encoder
        where = next((p.device for p in encoder.parameters()), None) if is_module else None
    else:
        raise InputError(f"an encoder is called or has a method transform, and {type(encoder).__name__} has neither.")

    def encode(images: Tensor) -> np.ndarray:
        x = as_floats(images)
        try:
            given = call(x if where is None else x.to(where))
        except Exception as error:  # whatever somebody's encoder raises
            raise InputError(f"the encoder cannot take images of {tuple(x.shape)}: {reason(error)}.") from error
        if isinstance(given, Tensor):
            # numpy has no bfloat16.
            given = (given.float() if given.dtype == torch.bfloat16 else given).detach().cpu()
        try:
            return np.asarray(given)
        except (ValueError, TypeError):
            return np.empty(0, object)  # of uneven parts, or sparse, which is refused where shapes are

    return encode

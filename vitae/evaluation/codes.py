"""Codes of images: posterior means and draws of a model, or the output of any other encoder."""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from vitae.data.dataset import Dataset, as_floats
from vitae.data.grid import Grid
from vitae.evaluation.likelihood import BATCH, device_of
from vitae.models.base import GenerativeModel
from vitae.support import devices
from vitae.support.errors import InputError, reason, require_number
from vitae.support.randomness import generator


@torch.no_grad()
def codes(model: GenerativeModel, images: Tensor) -> dict[str, np.ndarray]:
    """Posterior means: latent space -> `n x d`, float64.

    The inference path is that of training: C-VITAE infers z_A from `T_-gamma(x)`, with gamma from the mean of z_P, not
    from the raw image.

    Args:
        images: uint8, `n x channels x height x width`, on the model's device.
    """
    return _inferred(model, images, lambda number: None)


@torch.no_grad()
def draws(model: GenerativeModel, images: Tensor, *, seed: int) -> dict[str, np.ndarray]:
    """One posterior draw per image, as the decoder receives it in training: latent space -> `n x d`, float64."""
    return _inferred(model, images, lambda number: generator(device_of(model), seed, "draws", number))


def _inferred(model: GenerativeModel, images: Tensor, noise_of: Callable) -> dict[str, np.ndarray]:
    model.eval()
    blocks: dict[str, list[np.ndarray]] = {name: [] for name in model.spaces}
    for number, block in enumerate(images.split(BATCH)):
        for name, z in model.infer(as_floats(block), noise_of(number)).samples.items():
            blocks[name].append(z.cpu().double().numpy())
    return {name: np.concatenate(parts) for name, parts in blocks.items()}


def codes_of(encoder: Callable, dataset: Dataset | Grid | Tensor, *, batch: int = BATCH) -> np.ndarray:
    """Encode the images of a dataset with any encoder: codes `n x d`, float64, for `vitae.metrics`.

    Args:
        encoder: a `GenerativeModel`, for its posterior means with all latent spaces side by side; or a module or
            function from float32 images in [0, 1], `batch x channels x height x width`, to codes, `batch x d`; or an
            object with a method `transform`, as in scikit-learn, from flat images, `batch x pixels`, to codes.
        dataset: a dataset, or uint8 images, `n x channels x height x width`; or a grid, whose combinations are all
            rendered and encoded, block by block, in the order of their numbers.
        batch: images per call of the encoder.

    Raises:
        InputError: the encoder fails on these images, or does not return one row of numbers per image.
    """
    require_number("batch", batch, 1, whole=True)
    if not isinstance(dataset, Dataset | Grid | Tensor):
        raise InputError(f"dataset must be a Dataset, a Grid or a tensor of images, got {type(dataset).__name__}.")
    count = len(dataset)
    if count == 0:
        raise InputError("there are no images to encode.")
    devices.keep_freed_memory()
    encode = _encoding(encoder)
    table: np.ndarray | None = None
    with (
        tqdm(total=count, desc="codes", unit="image", disable=None, delay=1) as bar,
        torch.no_grad(),
        _evaluating(encoder),
    ):
        for start, images in _blocks(dataset, batch):
            part = encode(images)
            if part.ndim != 2 or len(part) != len(images) or part.dtype.kind not in "fiu" or part.shape[1] == 0:
                raise InputError(
                    f"the encoder must return one row of numbers per image, but returned {part.dtype} {part.shape} for "
                    f"{len(images)} images: wrap it in a function that returns its means."
                )
            if table is None:
                table = np.empty((count, part.shape[1]), np.float64)
            if part.shape[1] != table.shape[1]:
                raise InputError(
                    f"the encoder must return equally many numbers for every image, but returned {table.shape[1]} per "
                    f"image first and {part.shape[1]} later."
                )
            table[start : start + len(part)] = part
            bar.update(len(part))
    return table


@contextlib.contextmanager
def _evaluating(encoder) -> Iterator[None]:
    """Set all submodules to evaluation mode, and restore the mode of each afterwards."""
    modules = list(encoder.modules()) if isinstance(encoder, nn.Module) else []
    before = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training


# Images rendered at a time from a grid: few enough that they are not cached, since a whole grid would fill the disk.
_RENDERED_AT_ONCE = 960


def _blocks(dataset: Dataset | Grid | Tensor, batch: int) -> Iterator[tuple[int, Tensor]]:
    """All images in blocks, each with the index of its first image."""
    if isinstance(dataset, Grid):
        step = min(batch, _RENDERED_AT_ONCE)
        for start in range(0, len(dataset), step):
            yield start, dataset.images(dataset.positions(np.arange(start, min(start + step, len(dataset)))))
    else:
        images = dataset if isinstance(dataset, Tensor) else dataset.images
        yield from ((start, images[start : start + batch]) for start in range(0, len(images), batch))


def _encoding(encoder: Callable) -> Callable[[Tensor], np.ndarray]:
    """The encoder as a function from uint8 images to codes."""
    if isinstance(encoder, GenerativeModel):
        where = device_of(encoder)
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
        raise InputError(
            f"an encoder must be callable or have a method transform; {type(encoder).__name__} has neither."
        )

    def encode(images: Tensor) -> np.ndarray:
        x = as_floats(images)
        try:
            output = call(x if where is None else x.to(where))
        except Exception as error:  # the user's code may raise anything
            raise InputError(f"the encoder failed on images of shape {tuple(x.shape)}: {reason(error)}.") from error
        if isinstance(output, Tensor):
            # numpy has no bfloat16.
            output = (output.float() if output.dtype == torch.bfloat16 else output).detach().cpu()
        try:
            return np.asarray(output)
        except (ValueError, TypeError):
            return np.empty(0, object)  # ragged or sparse; `codes_of` refuses its shape

    return encode

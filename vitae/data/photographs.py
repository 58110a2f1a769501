"""Reading image files: turned upright, cropped, resized, in parallel, all unreadable ones named at once."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from vitae.data import generated
from vitae.errors import InputError, reason

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")
_NAMED = 5  # of the unreadable files, so many by name

# Width and height of an image to the box that is kept: left, top, right, bottom.
Crop = Callable[[int, int], tuple[float, float, float, float]]


def central(height: float, width: float) -> Crop:
    """The largest central box with these proportions."""

    def crop(image_width: int, image_height: int) -> tuple[float, float, float, float]:
        scale = min(image_width / width, image_height / height)
        x, y = (image_width - scale * width) / 2, (image_height - scale * height) / 2
        return x, y, image_width - x, image_height - y

    return crop


def read(
    files: list[Path], within: Path, name: str, channels: int, resolution: tuple[int, int], crop: Crop, version: str
) -> np.ndarray:
    """Images as uint8, `n x channels x height x width`; from the cache if these files were read before.

    Args:
        within: the folder that all files are in, which messages and the cache leave out.
        channels: 1 for grey, 3 for colour.
        version: names the crop in the cache.

    Raises:
        InputError: some files cannot be read; names the first few, says how many.
    """
    from PIL import Image, ImageOps

    mode = {1: "L", 3: "RGB"}[channels]
    unreadable: list[tuple[str, str]] = []

    def one(file: Path) -> np.ndarray:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image).convert(mode)
            resized = upright.resize(resolution[::-1], Image.Resampling.BILINEAR, box=crop(*upright.size))
        return np.asarray(resized).reshape(*resolution, channels).transpose(2, 0, 1)

    def fill(rows: slice, block: np.ndarray) -> None:
        for file, place in zip(files[rows], block, strict=True):
            try:
                place[:] = one(file)
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                unreadable.append((str(file.relative_to(within)), reason(error)))

    def make() -> np.ndarray:
        made = generated.filled((len(files), channels, *resolution), fill, name)
        if unreadable:
            named = ", ".join(f"{file} ({why})" for file, why in sorted(unreadable)[:_NAMED])
            more = f" and {len(unreadable) - _NAMED:,} more" if len(unreadable) > _NAMED else ""
            raise InputError(
                f"{len(unreadable):,} of {len(files):,} images under {within} cannot be read: {named}{more}. Copy them "
                f"again, or delete them to go on without."
            )
        return made

    arguments = {"files": generated.fingerprint(files, within), "version": version}
    return generated.kept(name, arguments, (len(files), channels, *resolution), make, most=None)

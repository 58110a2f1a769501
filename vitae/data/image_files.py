"""Reading image files: turned upright, cropped, resized, in parallel, all unreadable ones named at once."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from vitae.data import cache
from vitae.support.errors import InputError, reason

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")
# Pillow's modes without colour, and those of them with 16 bits.
_GREY, _DEEP = ("1", "L", "LA", "I", "F"), ("I;16", "I;16L", "I;16B", "I;16N")
_ORIENTATION, _ON_ITS_SIDE = 0x0112, 5  # the EXIF tag, and its first value for images that lie on their side
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


def header(file: Path) -> tuple[tuple[int, int], bool] | None:
    """Width and height as it is shown, and whether it is stored without colour; None of what is no image."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            turned = image.getexif().get(_ORIENTATION, 1) >= _ON_ITS_SIDE
            return image.size[::-1] if turned else image.size, image.mode in _GREY or image.mode in _DEEP
    except (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError):
        return None


def _in_mode(image, mode: str):
    """An image in grey or colour with 8 bits: 16 are scaled, what is transparent becomes white."""
    from PIL import Image

    if image.mode in _DEEP:
        image = Image.fromarray((np.asarray(image).astype(np.float64) / 257).round().astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("it has 32 bits a pixel: save it with 8 or 16")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


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
            upright = _in_mode(ImageOps.exif_transpose(image), mode)
            left, top, right, bottom = crop(*upright.size)
            # Rounding can put a box a hair outside its image.
            box = max(left, 0), max(top, 0), min(right, upright.width), min(bottom, upright.height)
            resized = upright.resize(resolution[::-1], Image.Resampling.BILINEAR, box=box)
        return np.asarray(resized).reshape(*resolution, channels).transpose(2, 0, 1)

    def fill(rows: slice, block: np.ndarray) -> None:
        for file, place in zip(files[rows], block, strict=True):
            try:
                place[:] = one(file)
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                unreadable.append((str(file.relative_to(within)), reason(error)))

    def make() -> np.ndarray:
        made = cache.filled((len(files), channels, *resolution), fill, name)
        if unreadable:
            named = ", ".join(f"{file} ({why})" for file, why in sorted(unreadable)[:_NAMED])
            more = f" and {len(unreadable) - _NAMED:,} more" if len(unreadable) > _NAMED else ""
            raise InputError(
                f"{len(unreadable):,} of {len(files):,} images under {within} cannot be read: {named}{more}. Copy them "
                f"again, or delete them to go on without."
            )
        return made

    arguments = {"files": cache.fingerprint(files, within), "version": version}
    return cache.kept(name, arguments, (len(files), channels, *resolution), make, most=None)

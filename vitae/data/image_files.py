"""Read image files in parallel: rotate as EXIF says, crop, resize; one error message lists all unreadable files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from vitae.data import cache
from vitae.support.errors import InputError, MemoryShortError, printable, reason
from vitae.support.files import opened

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")
# Pillow's modes without colour: 8 or 32 bits, and 16 bits.
_GREY, _GREY_16_BITS = ("1", "L", "LA", "I", "F"), ("I;16", "I;16L", "I;16B", "I;16N")
_EXIF_ORIENTATION, _FIRST_SIDEWAYS = 0x0112, 5  # orientations 5 to 8 swap width and height
_MAX_NAMED = 5  # unreadable files named in the error message

# Maps the width and height of an image to the box to cut out: left, top, right, bottom, in pixels.
Crop = Callable[[int, int], tuple[float, float, float, float]]


def central_crop(height: float, width: float) -> Crop:
    """The largest centred box with the proportions `height : width`."""

    def crop(image_width: int, image_height: int) -> tuple[float, float, float, float]:
        scale = min(image_width / width, image_height / height)
        x, y = (image_width - scale * width) / 2, (image_height - scale * height) / 2
        return x, y, image_width - x, image_height - y

    return crop


def read_header(file: Path) -> tuple[tuple[int, int], bool] | None:
    """((width, height) after EXIF rotation, whether the image is grey); None if the file is not an image."""
    from PIL import Image

    try:
        with opened(file) as stream, Image.open(stream) as image:
            sideways = image.getexif().get(_EXIF_ORIENTATION, 1) >= _FIRST_SIDEWAYS
            size = image.size[::-1] if sideways else image.size
            return size, image.mode in _GREY or image.mode in _GREY_16_BITS
    except MemoryShortError:
        raise
    except (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError):
        return None


def _convert(image, mode: str):
    """Convert to 8-bit grey or RGB: 16 bits are scaled to 8, transparency becomes white."""
    from PIL import Image

    if image.mode in _GREY_16_BITS:
        image = Image.fromarray((np.asarray(image).astype(np.float64) / 257).round().astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("32 bits per pixel: save it with 8 or 16")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def read(
    files: list[Path], folder: Path, name: str, channels: int, resolution: tuple[int, int], crop: Crop, version: str
) -> np.ndarray:
    """Read images, or take them from the cache if the files have not changed.

    Args:
        folder: the folder that contains all files; messages and the cache use paths relative to it.
        name: of the dataset, for the cache.
        channels: 1 for grey, 3 for colour.
        resolution: height and width in pixels.
        version: identifies `crop` in the cache.

    Returns:
        uint8, `n x channels x height x width`.

    Raises:
        InputError: some files cannot be read; the message names the first five.
    """
    from PIL import Image, ImageOps

    mode = {1: "L", 3: "RGB"}[channels]
    unreadable: list[tuple[str, str]] = []

    def read_one(file: Path) -> np.ndarray:
        with opened(file) as stream, Image.open(stream) as image:
            upright = _convert(ImageOps.exif_transpose(image), mode)
            left, top, right, bottom = crop(*upright.size)
            # Rounding can put the box slightly outside the image.
            box = max(left, 0), max(top, 0), min(right, upright.width), min(bottom, upright.height)
            resized = upright.resize(resolution[::-1], Image.Resampling.BILINEAR, box=box)
        return np.asarray(resized).reshape(*resolution, channels).transpose(2, 0, 1)

    def write_block(rows: slice, block: np.ndarray) -> None:
        for file, target in zip(files[rows], block, strict=True):
            try:
                target[:] = read_one(file)
            except MemoryShortError:
                raise
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                unreadable.append((printable(str(file.relative_to(folder))), reason(error)))

    def read_all() -> np.ndarray:
        images = cache.fill_in_parallel(shape, write_block, name)
        if unreadable:
            named = ", ".join(f"{file} ({why})" for file, why in sorted(unreadable)[:_MAX_NAMED])
            more = f" and {len(unreadable) - _MAX_NAMED:,} more" if len(unreadable) > _MAX_NAMED else ""
            raise InputError(
                f"{len(unreadable):,} of {len(files):,} images in {folder} cannot be read: {named}{more}. Copy them "
                f"again, or delete them to continue without them."
            )
        return images

    shape = (len(files), channels, *resolution)
    key = {"files": cache.file_state_hash(files, folder), "version": version}
    return cache.load_or_make(name, key, shape, read_all, max_bytes=None)

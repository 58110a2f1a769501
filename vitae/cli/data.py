"""`vitae data`: list the datasets, and what is present where; draw and export them."""

import argparse
from pathlib import Path

from vitae.cli.options import Parser, add_data, named_path
from vitae.data import DATASETS, SOURCES, Collection, cache
from vitae.data.collection import NotEnoughImagesError
from vitae.data.export import export
from vitae.support import paths
from vitae.support.errors import InputError, printable, require_known, require_number
from vitae.support.files import image_format, require_writable

_RESOLUTION_LENGTH = 11  # characters; a longer resolution is a typing error
_DESCRIBED = 20  # with more factors, only their names are printed
_PREVIEW = 64
_TRAVERSAL_STEPS = 10

_EXAMPLES = """\
  vitae data                                        # all datasets, and what is present where
  vitae data celeba --preview faces.png --traversal factors.png
  vitae data smpl --resolution 128x64 --export bodies
  vitae data dsprites --source download             # fetch the published file
"""


def parser(prog: str) -> argparse.ArgumentParser:
    """The command's options."""
    data = Parser("List the datasets, and what is present where; draw and export them.", _EXAMPLES, prog=prog)
    data.add_argument("dataset", nargs="?", help=f"one of: {', '.join(DATASETS)}; all if left out")
    data.add_argument("--preview", type=named_path, metavar="FILE", help="draw a contact sheet of 64 training images")
    data.add_argument(
        "--traversal", type=named_path, metavar="FILE", help="draw the embedded form, one factor changing in each row"
    )
    data.add_argument("--export", type=named_path, metavar="DIR", help="write train.npz, test.npz and manifest.json")
    data.add_argument("--size", type=int, help="images to draw, or to export of each part (default 64, or the usual)")
    data.add_argument("--seed", type=int, default=0, help="of the split and of random factors (default 0)")
    data.add_argument("--resolution", metavar="HxW", help="pixels, for instance 128x64 (default: the dataset's own)")
    add_data(data)
    return data


def execute(arguments: argparse.Namespace) -> None:
    """List, draw and export what was asked for."""
    for option in ("preview", "traversal", "export"):
        if getattr(arguments, option) and not arguments.dataset:
            raise InputError(f"--{option} needs a dataset: for instance 'vitae data mnist --{option} ...'.")
    names = [require_known("dataset", arguments.dataset, DATASETS)] if arguments.dataset else list(DATASETS)
    require_known("source", arguments.source, SOURCES)
    if arguments.size is not None:
        require_number("size", arguments.size, 1, whole=True)
    resolution = _resolution(arguments.resolution)
    for picture in filter(None, (arguments.preview, arguments.traversal)):
        # Before the work, not after it.
        image_format(picture)
        require_writable(picture)
    for name in names:
        print(f"{name}: {DATASETS[name].title}")
        for line in DATASETS[name].availability(arguments.data_root):
            print(f"  {printable(line)}")
    if not arguments.dataset:
        if entries := cache.entries():
            megabytes = sum(size for _, size in entries) / 1e6
            print(
                f"cache: {len(entries)} generated sets, {megabytes:,.0f} MB in {paths.generated()}; delete it at will"
            )
        return
    if arguments.size is not None and not (arguments.preview or arguments.export):
        raise InputError("--size says how many images to draw or to export: add --preview FILE or --export DIR.")

    collection = DATASETS[arguments.dataset]
    request = {
        "root": arguments.data_root,
        "source": arguments.source,
        "seed": arguments.seed,
        "resolution": resolution,
    }
    if arguments.source == "download":
        # Loading one image fetches all there is to fetch, whatever else is asked for.
        print(f"downloaded: {collection.load(**{**request, 'seed': 0, 'resolution': None}, size=1).source}")
    if arguments.preview:
        _draw(collection, request, arguments.size, arguments.preview)
    if arguments.traversal:
        from vitae.report import figures

        rows = collection.traversals(_TRAVERSAL_STEPS, resolution)
        figures.write_figure(figures.factor_sheet(rows), arguments.traversal)
        print(f"traversal: {arguments.traversal}, embedded: {collection.embedded_content}")
    if arguments.export:
        for path in export(collection, arguments.export, size=arguments.size, **request):
            print(f"export: {path} ({path.stat().st_size:,} bytes)")


def _draw(collection: Collection, request: dict, count: int | None, path: Path) -> None:
    # matplotlib takes a second to import, and only this needs it.
    from vitae.report import figures

    try:
        dataset = collection.load("train", size=count or _PREVIEW, **request)
    except NotEnoughImagesError as error:
        if count is not None:
            raise
        dataset = collection.load("train", size=error.available, **request)
    figures.write_figure(figures.contact_sheet(dataset.images), path)
    print(f"preview: {path}, {len(dataset):,} images")
    print(f"source: {printable(str(dataset.source))}")
    for kind, text in (("licence", dataset.licence), ("cite", dataset.citation)):
        if text:
            print(f"{kind}: {printable(text)}")
    about = dataset.about if len(dataset.about) <= _DESCRIBED else dataset.names
    print(f"factors: {printable('; '.join(map(str, about))) or 'none'}")


def _resolution(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, by, width = text.lower().partition("x")
    if not (by and height.isdecimal() and width.isdecimal() and len(text) <= _RESOLUTION_LENGTH):
        raise InputError(f"resolution must be HEIGHTxWIDTH in pixels, for instance 128x64, got '{text[:40]}'.")
    return int(height), int(width)

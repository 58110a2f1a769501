"""Saving figures with their provenance, and showing saved figures in notebooks with their captions.

A figure's file is `NOTEBOOK-NAME.png` or `.svg`. A JSON file beside it states the notebook, profile, seed, commit,
seconds and the runs that the figure shows.
"""

import base64
import html
import io
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from vitae.report.figures.style import STYLE
from vitae.support import paths
from vitae.support.errors import InputError, require_number
from vitae.support.files import image_format, write_bytes, write_text
from vitae.support.provenance import commit


@dataclass(frozen=True)
class Maker:
    """Saves a notebook's figures with their provenance, which it also shows as the caption.

    Attributes:
        notebook: its name, the first part of its figures' file names.
        profile: the profile of the runs.
        seed: the seed of the runs that are drawn.
        takes_models: whether the notebook has a parameter `models`; then the command in a caption names the models of
            the figure, so that running it does not train the others.

    Raises:
        InputError: `seed` is not a whole number of 0 or more; papermill passes on any text that was typed.
    """

    notebook: str
    profile: str
    seed: int
    takes_models: bool = False

    def __post_init__(self):
        require_number("seed", self.seed, 0, whole=True)

    def show(self, figure: Figure, name: str, alt: str, records: list[dict], *, vector: bool = False):
        """Save a figure with its provenance and return it, with its caption, for display.

        Args:
            name: what the figure shows; its file is `NOTEBOOK-NAME.png` or `.svg`.
            alt: a description of the picture for readers who do not see it.
            records: the runs that the figure shows.
            vector: save as SVG, for lines and points rather than images.
        """
        path = paths.figures(self.profile) / f"{self.notebook}-{name}.{'svg' if vector else 'png'}"
        write_figure(figure, path)
        provenance = {
            "notebook": f"notebooks/{self.notebook}.ipynb",
            "profile": self.profile,
            "seed": self.seed,
            "commit": commit(),
            "seconds": round(sum(sum(record["seconds"].values()) for record in records), 1),
            "runs": [record["run"] for record in records],
            "alt": alt,
        }
        if self.takes_models and records:
            provenance["models"] = list(dict.fromkeys(record["configuration"]["model"] for record in records))
        write_text(path.with_suffix(".json"), json.dumps(provenance, indent=1, ensure_ascii=False) + "\n")
        return saved_figure(path)


def saved_figure(path: Path):
    """A figure saved by a `Maker`, with its caption, for display in a notebook.

    Raises:
        InputError: the figure's file or its provenance is missing.
    """
    from IPython.display import HTML

    try:
        picture, provenance = path.read_bytes(), json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"there is no file {error.filename}: run the notebook that draws this figure first.") from None
    # An <img>, because the identifiers of two inline SVGs on one page would collide.
    if path.suffix == ".png":
        picture, (width, height) = _as_webp(picture)
        source = f"data:image/webp;base64,{base64.b64encode(picture).decode()}"
    else:
        drawing, (width, height) = _compact_svg(picture.decode())
        source = f"data:image/svg+xml,{drawing.replace('%', '%25').replace('#', '%23')}"
    work = f"{provenance['seconds']:.0f} s of training and scoring" if provenance["runs"] else "nothing trained"
    words = ["papermill", provenance["notebook"], "out.ipynb"]
    words += ["-p", "profile", provenance["profile"], "-p", "seed", str(provenance["seed"])]
    if models := provenance.get("models"):
        words += ["-p", "models", " ".join(models)]
    command = shlex.join(words)
    stated = (html.escape(str(provenance[name])) for name in ("notebook", "profile", "seed", "commit"))
    notebook, profile, seed, made_by = stated
    # Hidden from screen readers, which have just read the same text as the image's alt.
    seen = f'<span class="seen" aria-hidden="true">{html.escape(provenance["alt"])}</span>'
    caption = (
        f'{seen}<a href="../_sources/{notebook}" download>{notebook}</a> · profile {profile} · '
        f"seed {seed} · commit {made_by} · {work}"
        f'<button type="button" class="copy-command" data-command="{html.escape(command)}">copy command</button>'
    )
    return HTML(
        f'<figure class="{"vector" if path.suffix == ".svg" else "picture"}">'
        f'<img src="{source}" width="{width}" height="{height}" alt="{html.escape(provenance["alt"])}">'
        f'<figcaption class="provenance">{caption}</figcaption></figure>'
    )


def at_full_size(notebook: str, *names: str) -> list:
    """Figures of profile full for display on a page of any profile: the user's own, else the committed ones.

    Args:
        names: as given to `Maker.show`; `*` matches anything.

    Raises:
        InputError: no figure has one of the names.
    """
    shown = []
    for name in names:
        for folder in (paths.figures("full"), paths.committed_figures()):
            files = sorted(path for path in folder.glob(f"{notebook}-{name}.*") if path.suffix in (".png", ".svg"))
            if files:
                shown += map(saved_figure, files)
                break
        else:
            raise InputError(
                f"there is no figure {notebook}-{name} of profile full: run the notebook {notebook} with profile full "
                f"first."
            )
    return shown


# What a page leaves out of an SVG: metadata, and digits beyond a hundredth of a point. Numbers below 1 keep all
# digits, since glyphs are scaled by small factors.
_METADATA = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
_SUPERFLUOUS_DIGITS = re.compile(r"(\d\d\.\d|[1-9]\.\d\d)\d+")


def _compact_svg(drawing: str) -> tuple[str, tuple[int, int]]:
    """An SVG that fits into an HTML attribute in double quotes, and its width and height in pixels."""
    width, height = (round(float(side) * 4 / 3) for side in re.findall(r'(?:width|height)="([\d.]+)pt"', drawing)[:2])
    drawing = _SUPERFLUOUS_DIGITS.sub(r"\1", _METADATA.sub("", drawing))
    return re.sub(r"\s+", " ", drawing).replace("> <", "><").replace('"', "'").strip(), (width, height)


# A picture of more bytes is compressed with losses that are not visible, and reduced to about the width of a page.
_LARGE_PICTURE, _WIDEST = 40_000, 900


def _as_webp(png: bytes) -> tuple[bytes, tuple[int, int]]:
    """A PNG as WebP, because PNGs would add megabytes to a page, and its width and height in pixels."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    packed = io.BytesIO()
    image.save(packed, "WEBP", lossless=True)
    if packed.tell() > _LARGE_PICTURE:
        packed, shown = io.BytesIO(), image.copy()
        shown.thumbnail((_WIDEST, 10 * _WIDEST), Image.Resampling.LANCZOS)
        shown.save(packed, "WEBP", quality=70)
    return packed.getvalue(), image.size


def demonstration(name: str, still):
    """The place of an interactive demonstration in the page `play`, with a figure for print and without JavaScript.

    Args:
        name: the demonstration's name in `book/_play/NAME.js`.
        still: the figure, as `Maker.show` returned it.
    """
    from IPython.display import HTML

    return HTML(f'<div class="demo" data-demo="{name}"><div class="still">{still.data}</div></div>')


def write_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure atomically, as PNG or SVG by its extension; without dates, so equal figures give equal files.

    Raises:
        InputError: the extension is another one, or the folder cannot be written.
    """
    path = Path(path)
    extension = image_format(path)
    picture = io.BytesIO()
    with plt.style.context(STYLE):
        figure.savefig(picture, format=extension, metadata={"Date": None} if extension == "svg" else {})
    write_bytes(path, picture.getvalue())

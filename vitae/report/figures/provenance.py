"""TODO report.figures.provenance."""

import base64
import html
import io
import json
import re
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
    """Who makes a notebook's figures: what stands under each of them and in the file beside it.

    Attributes:
        notebook: its name, which its figures' names begin with.
        profile: of the runs.
        seed: of the runs that are drawn.
        takes_models: the notebook has a parameter `models`, so that a figure can be made without training those that
            it does not show.

    Raises:
        InputError: a seed that is no whole number from 0 on, as papermill passes on what somebody typed.
    """

    notebook: str
    profile: str
    seed: int
    takes_models: bool = False

    def __post_init__(self):
        require_number("seed", self.seed, 0, whole=True)

    def show(self, figure: Figure, name: str, alt: str, records: list[dict], *, vector: bool = False):
        """Save a figure with its provenance, and return it for display with its caption.

        Args:
            name: what the figure shows; its file is `NOTEBOOK-NAME.png` or `.svg`.
            alt: the picture in words, for those who do not see it.
            records: the runs that the figure shows.
            vector: save as SVG: for lines and points rather than images.
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
    """A figure that a `Maker` saved, with its caption, for display in a notebook.

    Raises:
        InputError: the figure or its provenance is not there.
    """
    from IPython.display import HTML

    try:
        picture, provenance = path.read_bytes(), json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"there is no {error.filename}: run the notebook that makes it first.") from None
    # As an image of its own, not inline: the identifiers inside two SVGs on one page would collide.
    if path.suffix == ".png":
        picture, (width, height) = _lighter(picture)
        source = f"data:image/webp;base64,{base64.b64encode(picture).decode()}"
    else:
        drawing, (width, height) = _shorter(picture.decode())
        source = f"data:image/svg+xml,{drawing.replace('%', '%25').replace('#', '%23')}"
    work = f"{provenance['seconds']:.0f} s of training and scoring" if provenance["runs"] else "nothing trained"
    notebook = Path(provenance["notebook"])
    command = f"papermill {notebook} out.ipynb -p profile {provenance['profile']} -p seed {provenance['seed']}"
    if models := provenance.get("models"):
        command += f" -p models '{' '.join(models)}'"
    # For eyes alone: whoever hears the page has just heard it as the picture's text.
    seen = f'<span class="seen" aria-hidden="true">{html.escape(provenance["alt"])}</span>'
    caption = (
        f'{seen}<a href="../_sources/{notebook}" download>{notebook}</a> · profile {provenance["profile"]} · '
        f"seed {provenance['seed']} · commit {provenance['commit']} · {work}"
        f'<button type="button" class="copy-command" data-command="{html.escape(command)}">copy command</button>'
    )
    return HTML(
        f'<figure class="{"vector" if path.suffix == ".svg" else "picture"}">'
        f'<img src="{source}" width="{width}" height="{height}" alt="{html.escape(provenance["alt"])}">'
        f'<figcaption class="provenance">{caption}</figcaption></figure>'
    )


def at_full_size(notebook: str, *names: str) -> list:
    """Figures of profile full for display, on a page of another profile: your own, else those that come with the clone.

    Args:
        names: as given to `Maker.show`; a star stands for anything.

    Raises:
        InputError: there is none of a name.
    """
    shown = []
    for name in names:
        for folder in (paths.figures("full"), paths.committed_figures()):
            found = sorted(path for path in folder.glob(f"{notebook}-{name}.*") if path.suffix in (".png", ".svg"))
            if found:
                shown += map(saved_figure, found)
                break
        else:
            raise InputError(f"there is no figure {notebook}-{name} of profile full: run the notebook with it first.")
    return shown


# Of an SVG: what no reader sees, and digits beyond the hundredth of a point; factors below one keep all of theirs.
_UNSEEN = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)


_DIGITS_UNSEEN = re.compile(r"(\d\d\.\d|[1-9]\.\d\d)\d+")


def _shorter(drawing: str) -> tuple[str, tuple[int, int]]:
    """An SVG for an attribute in double quotes, and its width and height in pixels."""
    width, height = (round(float(side) * 4 / 3) for side in re.findall(r'(?:width|height)="([\d.]+)pt"', drawing)[:2])
    drawing = _DIGITS_UNSEEN.sub(r"\1", _UNSEEN.sub("", drawing))
    return re.sub(r"\s+", " ", drawing).replace("> <", "><").replace('"', "'").strip(), (width, height)


# Beyond this many bytes a picture is shown with a loss that nobody sees, and hardly wider than a page.
_LARGE_PICTURE, _WIDEST = 40_000, 900


def _lighter(png: bytes) -> tuple[bytes, tuple[int, int]]:
    """A picture for a page, as WebP, and its width and height: a book of PNGs is megabytes a page."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    packed = io.BytesIO()
    image.save(packed, "WEBP", lossless=True)
    if packed.tell() > _LARGE_PICTURE:
        packed, shown = io.BytesIO(), image.copy()
        shown.thumbnail((_WIDEST, 10 * _WIDEST), Image.Resampling.LANCZOS)
        shown.save(packed, "WEBP", quality=70)
    return packed.getvalue(), image.size


def demonstration(name: str, still):
    """A demonstration of the book's page `play`, with a figure that stands for it on paper and without scripts.

    Args:
        name: as book/_static/play/NAME.js calls it.
        still: what `Maker.show` returned.
    """
    from IPython.display import HTML

    return HTML(f'<div class="demo" data-demo="{name}"><div class="still">{still.data}</div></div>')


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure atomically, as PNG or SVG by its extension, without dates, so that equal figures are equal files.

    Raises:
        InputError: another extension, or a folder that cannot be written.
    """
    extension = image_format(path)
    picture = io.BytesIO()
    with plt.style.context(STYLE):
        figure.savefig(picture, format=extension, metadata={"Date": None} if extension == "svg" else {})
    write_bytes(path, picture.getvalue())

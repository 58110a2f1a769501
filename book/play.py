"""What the page `play` loads: models, codes, digits, pictures and sheets of pictures, as scripts and images.

python book/play.py FOLDER

A page that is opened from a folder may load scripts, but no JSON: so data are scripts that call `vitae.receive`. Models
are the trained ones that come with the package, whatever the profile of the book, and the page computes with the very
numbers that Python does.
"""

import argparse
import base64
import io
import json
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vitae.data import load
from vitae.evaluation.codes import codes
from vitae.experiments.pretrained import pretrained
from vitae.models.base import GenerativeModel
from vitae.report import figures
from vitae.support import paths
from vitae.support.files import read_tensors, write_bytes, write_text

# Name in the page -> trained model that comes with the package.
MODELS = {"mnist-affine": "mnist", "mnist-cpab": "mnist-cpab"}
POINTS = 800
# Sheets of faces and bodies: the first two latents of each space, the other space's held where pictures are clear.
HELD = {"celeba": {"z_A": (0.0, -1.5), "z_P": (0.0, 0.0)}, "smpl": {"z_A": (1.5, -2.0), "z_P": (0.0, 0.0)}}
STEPS, REACH = 13, 2.5
# Where the codes of sevens lie in the appearance of MNIST.
SEVEN = (1.4, -1.4)


def _text(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


def layers(network: nn.Module, rounded: dict[str, Tensor], prefix: str) -> list[dict]:
    """A perceptron as the page's network.js reads it, large weights as the whole numbers that they are kept as."""
    found = []
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear):
            kept = f"{prefix}.{name}".rstrip(".") + ".weight"
            scale = rounded.get(f"{kept}:scale")
            weights = rounded[kept] if scale is not None else layer.weight.detach()
            found.append(
                {
                    "inputs": layer.in_features,
                    "outputs": layer.out_features,
                    "weights": _text(weights.numpy()),
                    "scales": None if scale is None else _text(scale.float().numpy()),
                    "biases": _text(layer.bias.detach().numpy()),
                }
            )
    return found


def model_parts(kept: str) -> dict[str, dict]:
    """Decoders and encoders of a trained C-VITAE whose networks are perceptrons, for network.js."""
    model = pretrained(kept)
    tensors, stated = read_tensors(paths.weights() / f"{kept}.safetensors")
    decoder_P = model.decoder_P
    parts = {"motions": decoder_P.motions, "layers": decoder_P.layers}
    decoders = {
        "transform": stated["configuration"]["transform"],
        "spaces": model.spaces,
        "shape": stated["shape"],
        "limit": decoder_P.limit,
        "appearance": layers(model.decoder_A, tensors, "decoder_A"),
        "perspective": [layers(part, tensors, f"decoder_P.{name}") for name, part in parts.items() if part is not None],
    }
    encoders = {
        "appearance": layers(model.encoder_A, tensors, "encoder_A"),
        "perspective": layers(model.encoder_P, tensors, "encoder_P"),
    }
    return {"decoders": decoders, "encoders": encoders}


def _codes(model: GenerativeModel, images: np.ndarray, digits: np.ndarray) -> dict:
    found = codes(model, images)
    return {"digits": digits.tolist()} | {space: found[space].round(3).tolist() for space in ("z_A", "z_P")}


def _picture(image: np.ndarray) -> dict:
    """A uint8 image, `channels x height x width`."""
    channels, height, width = image.shape
    return {"channels": channels, "height": height, "width": width, "bytes": _text(np.ascontiguousarray(image))}


def sheet(model: GenerativeModel, space: str, held: dict[str, tuple[float, float]]) -> np.ndarray:
    """All pictures of a plane in one, uint8, `(steps * height) x (steps * width) x channels`."""
    images = figures.plane(model, space, held, STEPS, REACH)
    height, width = images.shape[-2:]
    cells = images.unflatten(0, (STEPS, STEPS)).permute(0, 3, 1, 4, 2)
    return cells.reshape(STEPS * height, STEPS * width, -1).numpy()


def _strip(images: Tensor) -> bytes:
    """Means `n x channels x height x width` side by side, as a picture file."""
    row = torch.cat(list(images.clamp(0, 1).mul(255).round().byte()), dim=-1).permute(1, 2, 0).numpy()
    return _webp(row)


def _webp(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(file, "WEBP", quality=85)
    return file.getvalue()


def moving(frames: int = 60) -> dict[str, bytes]:
    """The pictures that move on the first page, as strips of frames: one digit seen in many ways, many in one."""
    model, turn = pretrained("mnist"), torch.linspace(0, 2 * math.pi, frames + 1)[:-1]
    still = {name: torch.zeros(frames, size) for name, size in model.spaces.items()}
    round_trip = 1.6 * torch.stack([turn.cos(), turn.sin(), (2 * turn).sin(), turn.cos()], dim=1)
    many = {**still, "z_A": 1.5 * torch.stack([turn.cos(), turn.sin()], dim=1)}
    seven = torch.tensor(SEVEN).repeat(frames, 1)
    with torch.no_grad():
        return {
            "perspective": _strip(model.decode({"z_A": seven, "z_P": round_trip})),
            "appearance": _strip(model.decode(many)),
        }


def write_script(folder: Path, name: str, value: dict) -> None:
    """A file that hands a value to the page under a name."""
    write_text(
        folder / f"{name}.js", f"vitae.receive({json.dumps(name)}, {json.dumps(value, separators=(',', ':'))});\n"
    )


def write_all(folder: Path) -> None:
    """Everything that the page loads."""
    test = load("mnist", "test", source="embedded", size=POINTS)
    for name, kept in MODELS.items():
        for part, value in model_parts(kept).items():
            write_script(folder, f"{name}-{part}", value)
        write_script(folder, f"{name}-codes", _codes(pretrained(kept), test.images, test.factor("digit")))
    # One of each digit, so that whoever cannot draw has all of them.
    first = [int(np.flatnonzero(test.factor("digit") == digit)[0]) for digit in range(10)]
    write_script(folder, "digits", {"pictures": [_picture(test.images[i]) for i in first]})
    shown = {"digit": test.images[first[4]]}
    for dataset, name in (("celeba", "face"), ("smpl", "body"), ("dsprites", "sprite")):
        shown[name] = load(dataset, "test", source="embedded", size=16).images[3]
    write_script(folder, "pictures", {name: _picture(image) for name, image in shown.items()})
    for name, picture in moving().items():
        write_bytes(folder / f"moving-{name}.webp", picture)
    sheets = {}
    for dataset, held in HELD.items():
        model = pretrained(dataset)
        for space in held:
            file = f"{dataset}-{space}.webp"
            write_bytes(folder / file, _webp(sheet(model, space, held)))
            what = {"celeba": "a face", "smpl": "a body"}[dataset]
            sheets.setdefault(dataset, {})[space] = {
                "file": file,
                "steps": STEPS,
                "reach": REACH,
                "alt": f"{what}, drawn by C-VITAE, over two latents of {space}",
            }
    write_script(folder, "sheets", sheets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    write_all(parser.parse_args().folder)


if __name__ == "__main__":
    main()

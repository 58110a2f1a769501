"""Write the data of the page `play`: models, codes, digits, pictures and image sheets, as scripts and images.

python book/play.py FOLDER

A page opened from a folder (file://) may load scripts but not JSON, so the data are scripts that call `vitae.receive`.
The models are the pretrained ones of the package, whatever the book's profile, with exactly the same weights.
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

# Name in the page -> pretrained model.
MODELS = {"mnist-affine": "mnist", "mnist-cpab": "mnist-cpab"}
POINTS = 800
# Image sheets of faces and bodies over the first two latents of a space; the other space has these values, which give
# clear pictures.
HELD = {"celeba": {"z_A": (0.0, -1.5), "z_P": (0.0, 0.0)}, "smpl": {"z_A": (1.5, -2.0), "z_P": (0.0, 0.0)}}
STEPS, REACH = 13, 2.5


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


def layers(network: nn.Module, stored: dict[str, Tensor], prefix: str) -> list[dict]:
    """The layers of a multilayer perceptron as network.js reads them; large weights stay in 8 bits as stored.

    Args:
        stored: the tensors of the weights file.
        prefix: of the network's tensors in it.
    """
    described = []
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear):
            key = f"{prefix}.{name}".rstrip(".") + ".weight"
            scale = stored.get(f"{key}:scale")
            weights = stored[key] if scale is not None else layer.weight.detach()
            described.append(
                {
                    "inputs": layer.in_features,
                    "outputs": layer.out_features,
                    "weights": _base64(weights.numpy()),
                    "scales": None if scale is None else _base64(scale.float().numpy()),
                    "biases": _base64(layer.bias.detach().numpy()),
                }
            )
    return described


def model_parts(name: str) -> dict[str, dict]:
    """Decoders and encoders of a pretrained C-VITAE with multilayer perceptrons, for network.js."""
    model = pretrained(name)
    tensors, metadata = read_tensors(paths.weights() / f"{name}.safetensors")
    decoder_P = model.decoder_P
    parts = {"motions": decoder_P.motions, "layers": decoder_P.layers}
    decoders = {
        "transform": metadata["configuration"]["transform"],
        "spaces": model.spaces,
        "shape": metadata["shape"],
        "limit": decoder_P.limit,
        "appearance": layers(model.decoder_A, tensors, "decoder_A"),
        "perspective": [
            layers(part, tensors, f"decoder_P.{part_name}") for part_name, part in parts.items() if part is not None
        ],
    }
    encoders = {
        "appearance": layers(model.encoder_A, tensors, "encoder_A"),
        "perspective": layers(model.encoder_P, tensors, "encoder_P"),
    }
    return {"decoders": decoders, "encoders": encoders}


def _codes(model: GenerativeModel, images: np.ndarray, digits: np.ndarray) -> dict:
    by_space = codes(model, images)
    return {"digits": digits.tolist()} | {space: by_space[space].round(3).tolist() for space in ("z_A", "z_P")}


def _picture(image: np.ndarray) -> dict:
    """A uint8 image, `channels x height x width`, as stage.js reads it."""
    channels, height, width = image.shape
    return {"channels": channels, "height": height, "width": width, "bytes": _base64(np.ascontiguousarray(image))}


def sheet(model: GenerativeModel, space: str, held: dict[str, tuple[float, float]]) -> np.ndarray:
    """The images of `figures.plane` in one picture, uint8, `(steps * height) x (steps * width) x channels`."""
    images = figures.plane(model, space, held, STEPS, REACH)
    height, width = images.shape[-2:]
    cells = images.unflatten(0, (STEPS, STEPS)).permute(0, 3, 1, 4, 2)
    return cells.reshape(STEPS * height, STEPS * width, -1).numpy()


def _strip(images: Tensor) -> bytes:
    """Mean images, `n x channels x height x width`, side by side in a WebP file."""
    row = torch.cat(list(images.clamp(0, 1).mul(255).round().byte()), dim=-1).permute(1, 2, 0).numpy()
    return _webp(row)


def _webp(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(file, "WEBP", quality=85)
    return file.getvalue()


def middle_of_sevens(model: GenerativeModel) -> Tensor:
    """The median code of test sevens in the appearance space of MNIST."""
    test = load("mnist", "test", source="embedded", size=POINTS)
    sevens = codes(model, test.images[test.factor("digit") == 7])["z_A"]
    return torch.as_tensor(np.median(sevens, axis=0))


def moving(frames: int = 60) -> dict[str, bytes]:
    """The animations of the first page, as strips of frames: perspective moves, or appearance moves."""
    model, angle = pretrained("mnist"), torch.linspace(0, 2 * math.pi, frames + 1)[:-1]
    zeros = {name: torch.zeros(frames, size) for name, size in model.spaces.items()}
    moving_perspective = 1.6 * torch.stack([angle.cos(), angle.sin(), (2 * angle).sin(), angle.cos()], dim=1)
    moving_appearance = {**zeros, "z_A": 1.5 * torch.stack([angle.cos(), angle.sin()], dim=1)}
    sevens = middle_of_sevens(model).float().repeat(frames, 1)
    with torch.no_grad():
        return {
            "perspective": _strip(model.decode({"z_A": sevens, "z_P": moving_perspective})),
            "appearance": _strip(model.decode(moving_appearance)),
        }


def write_script(folder: Path, name: str, value: dict) -> None:
    """Write a script that passes a value to the page under a name."""
    write_text(
        folder / f"{name}.js", f"vitae.receive({json.dumps(name)}, {json.dumps(value, separators=(',', ':'))});\n"
    )


def write_all(folder: Path) -> None:
    """Write everything that the page loads."""
    test = load("mnist", "test", source="embedded", size=POINTS)
    for name, weights in MODELS.items():
        for part, value in model_parts(weights).items():
            write_script(folder, f"{name}-{part}", value)
        write_script(folder, f"{name}-codes", _codes(pretrained(weights), test.images, test.factor("digit")))
    # One of each digit, for readers who cannot draw.
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
            subject = {"celeba": "a face", "smpl": "a body"}[dataset]
            sheets.setdefault(dataset, {})[space] = {
                "file": file,
                "steps": STEPS,
                "reach": REACH,
                "alt": f"{subject}, drawn by C-VITAE, over two latents of {space}",
            }
    write_script(folder, "sheets", sheets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    write_all(parser.parse_args().folder)


if __name__ == "__main__":
    main()

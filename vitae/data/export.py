"""A dataset as files that anything reads: an `.npz` a split, and a manifest that says what is in them."""

import dataclasses
import hashlib
import json
from pathlib import Path

from vitae.data.base import SPLITS, Collection, Dataset
from vitae.support.files import require_writable, write_arrays, write_text


def export(collection: Collection, folder: Path, **request) -> list[Path]:
    """Write `train.npz`, `test.npz` and `manifest.json`; each appears when it is whole, the manifest last.

    Args:
        request: what `Collection.load` takes besides the split.

    Returns:
        The files.

    Raises:
        InputError: the data is not to be had, or the folder cannot be written.
    """
    # All is there before anything is written, and no manifest describes files that are being replaced.
    parts = {split: collection.load(split, **request) for split in SPLITS}
    require_writable(folder / "manifest.json")
    (folder / "manifest.json").unlink(missing_ok=True)
    described, files = {}, []
    for split, dataset in parts.items():
        path = folder / f"{split}.npz"
        write_arrays(path, images=dataset.images.numpy(), factors=dataset.factors)
        files.append(path)
        described[split] = _described(dataset, path)
    manifest = {
        "dataset": collection.name,
        "seed": request.get("seed", 0),
        "arrays": {
            "images": "uint8, images x channels x height x width",
            "factors": "float64, images x factors: of a class its position in values, of a continuous factor its value",
        },
        "splits": described,
    }
    write_text(folder / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    return [*files, folder / "manifest.json"]


def _described(dataset: Dataset, path: Path) -> dict:
    return {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "images": list(dataset.images.shape),
        "factors": [dataclasses.asdict(factor) for factor in dataset.about],
        "source": dataclasses.asdict(dataset.source),
    }

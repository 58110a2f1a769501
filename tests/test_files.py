import os
import tempfile

import pytest
import torch

from vitae import InputError
from vitae.files import write_tensors, write_text
from vitae.train import read_checkpoint


@pytest.fixture
def full_disk(monkeypatch, tmp_path):
    """Every new file is /dev/full, which refuses each byte as a full disk does."""
    made = []

    def mkstemp(dir, prefix):
        made.append(real(dir=dir, prefix=prefix))
        return os.open("/dev/full", os.O_WRONLY), made[-1][1]

    real = tempfile.mkstemp
    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    yield
    for descriptor, _ in made:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("write", "content"),
    [(write_text, "new"), (write_tensors, {"model": {"weight": torch.zeros(100_000)}})],
    ids=["text", "tensors"],
)
def test_a_full_disk_leaves_the_old_file_and_no_litter(full_disk, write, content, tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(InputError, match=r"cannot write .*file: no space left on device; free some space"):
        write(path, content)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_tensors_survive_the_round_trip(tmp_path):
    state = {"model": {"weight": torch.arange(5.0)}, "step": 3}
    write_tensors(tmp_path / "deep" / "file", state)
    again = read_checkpoint(tmp_path / "deep" / "file")
    assert torch.equal(again["model"]["weight"], state["model"]["weight"])
    assert again["step"] == 3
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"file/below/x: (not a directory|file exists); choose another place"):
        write_text(tmp_path / "file" / "below" / "x", "")

import os
import tempfile

import pytest
import torch

from vitae import InputError
from vitae.support.files import read_metadata, read_tensors, write_tensors, write_text


@pytest.fixture
def full_disk(monkeypatch, tmp_path):
    """Temporary files are /dev/full, where every write fails as on a full disk."""
    created, original = [], tempfile.mkstemp

    def mkstemp(dir, prefix):
        created.append(original(dir=dir, prefix=prefix))
        return os.open("/dev/full", os.O_WRONLY), created[-1][1]

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    yield
    for descriptor, _ in created:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("write", "content"),
    [(write_text, ["new"]), (write_tensors, [{"weight": torch.zeros(100_000)}, {}])],
    ids=["text", "tensors"],
)
def test_a_full_disk_leaves_the_old_file_and_no_temporary_files(full_disk, write, content, tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(InputError, match=r"cannot write .*file: no space left on device; free some space"):
        write(path, *content)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_tensors_and_metadata_survive_a_round_trip(tmp_path):
    """Also rows of one tensor, which share memory."""
    rows = torch.arange(10.0).reshape(2, 5)
    path = tmp_path / "deep" / "file"
    write_tensors(path, {"first": rows[0], "second": rows[1], "one": torch.tensor(1.5)}, {"step": 3, "losses": [0.1]})
    tensors, metadata = read_tensors(path)
    assert torch.equal(tensors["first"], rows[0])
    assert torch.equal(tensors["second"], rows[1])
    assert tensors["one"] == 1.5
    assert metadata == read_metadata(path) == {"step": 3, "losses": [0.1]}
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["file"]


def test_the_replaced_file_is_moved_to_previous(tmp_path):
    path, previous = tmp_path / "file", tmp_path / "previous"
    for step in range(3):
        write_tensors(path, {"weight": torch.tensor(float(step))}, {"step": step}, previous)
    assert [read_metadata(file)["step"] for file in (path, previous)] == [2, 1]


def test_the_error_names_a_folder_that_cannot_be_created(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"file/below/x: (not a directory|file exists); choose another place"):
        write_text(tmp_path / "file" / "below" / "x", "")

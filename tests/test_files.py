import errno
from pathlib import Path

import pytest
import torch

from vitae import InputError
from vitae.files import write_atomically, write_text


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")

    def half(temporary):
        temporary.write_text("ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match="cannot write .*file: no space left on device. Free some space"):
        write_atomically(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_torchs_way_to_report_a_full_disk_is_understood(tmp_path):
    def half(temporary):
        raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")

    with pytest.raises(InputError, match="cannot write .*weights"):
        write_atomically(tmp_path / "weights", half)


def test_an_error_that_is_not_about_writing_is_not_hidden(tmp_path):
    def broken(temporary):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        write_atomically(tmp_path / "x", broken)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write .*file/below/x: (not a directory|file exists)"):
        write_text(tmp_path / "file" / "below" / "x", "")


def test_a_really_full_disk(tmp_path):
    """/dev/full refuses every byte, as a full disk does."""
    with pytest.raises(InputError, match="no space left on device"):
        write_atomically(tmp_path / "x", lambda temporary: Path("/dev/full").write_bytes(b"byte"))
    with pytest.raises(InputError, match=r"cannot write .*weights: "):
        write_atomically(tmp_path / "weights", lambda temporary: torch.save(torch.zeros(10**6), "/dev/full"))

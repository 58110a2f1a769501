import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from vitae import InputError
from vitae.support.errors import DamagedError, MemoryShortError, printable
from vitae.support.files import (
    append_line,
    read_arrays,
    read_json,
    read_metadata,
    read_tensors,
    require_writable,
    write_tensors,
    write_text,
)


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


def make_pipe(path):
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (make_pipe, "a pipe"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: path.symlink_to("/dev/null"), "a device"),
    ],
)
def test_what_is_no_regular_file_is_neither_read_nor_replaced(make, kind, tmp_path):
    path = tmp_path / "x"
    make(path)
    for read in (read_tensors, read_metadata, read_json, read_arrays):
        with pytest.raises(InputError, match=f"cannot read {path}: it is {kind}"):
            read(path)
    for write in (require_writable, lambda path: write_text(path, ""), lambda path: append_line(path, "")):
        with pytest.raises(InputError, match=f"cannot write {path}: it is (no regular file|{kind})"):
            write(path)
    assert not path.is_file()
    assert list(tmp_path.iterdir()) == [path]


def test_names_of_open_files_are_not_replaced(tmp_path):
    """Whoever redirected the output to that file would write into nothing."""
    with open(tmp_path / "x", "w") as file, pytest.raises(InputError, match="it is no regular file"):
        write_text(Path(f"/proc/self/fd/{file.fileno()}"), "new")
    with pytest.raises(InputError, match="it is no regular file"):
        write_text(Path("/dev/stdout"), "new")


def test_writing_through_links_replaces_the_target_and_keeps_the_links(tmp_path):
    target, link, further = tmp_path / "deep" / "target", tmp_path / "link", tmp_path / "further"
    link.symlink_to("deep/target")
    further.symlink_to(link)
    # The first time the link leads to nothing.
    for content in ("first", "second"):
        require_writable(further)
        write_text(further, content)
        assert target.read_text() == content
        assert link.is_symlink()
        assert further.is_symlink()
    assert [file.name for file in target.parent.iterdir()] == ["target"]
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(InputError, match="leads in a circle"):
        write_text(tmp_path / "circle", "")


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.ENOMEM, "x"), RuntimeError("DefaultCPUAllocator: not enough memory")]
)
def test_short_memory_is_not_called_damage(error, tmp_path, monkeypatch):
    path = tmp_path / "weights"
    write_tensors(path, {"weight": torch.zeros(3)}, {"step": 1})

    def load(content):
        raise error

    monkeypatch.setattr("safetensors.torch.load", load)
    with pytest.raises(MemoryShortError, match=r"not enough memory to read .*weights, which may well be in order"):
        read_tensors(path)


@pytest.mark.parametrize("levels", [65, 400, 100_000])
def test_json_that_is_nested_too_deeply_is_refused(levels, tmp_path):
    (tmp_path / "x.json").write_text("[" * levels + "]" * levels)
    with pytest.raises(DamagedError, match="nested too deeply"):
        read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text('{"a": ' * 60 + "1" + "}" * 60)
    assert read_json(tmp_path / "x.json")["a"]["a"]


def test_names_that_are_not_utf_8_are_read_and_written(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff\xfe")
    write_tensors(path, {"weight": torch.ones(3)}, {"step": 1})
    assert read_metadata(path) == {"step": 1}
    assert torch.equal(read_tensors(path)[0]["weight"], torch.ones(3))
    write_text(tmp_path / "x.json", f'["{path.name}"]')
    assert read_json(tmp_path / "x.json") == [path.name]
    assert printable(f"{path.name}\x1b[31m\n") == r"\xff\xfe\x1b[31m\x0a"


def test_an_archive_that_unpacks_to_more_than_any_memory_is_refused(tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", codes=np.zeros(1000))
    monkeypatch.setattr("vitae.support.files._MOST_UNPACKED", 1000)
    with pytest.raises(InputError, match=r"the arrays of .* take 0 GiB, more than"):
        read_arrays(tmp_path / "x.npz")

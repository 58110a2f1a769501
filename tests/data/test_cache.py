import numpy as np
import pytest
import torch

from vitae import InputError, data
from vitae.data import cache
from vitae.support import paths

SHAPE = (1_000, 4, 4)


def counting_writer(calls):
    def write_block(rows, block):
        calls.append(rows)
        block[:] = (np.arange(rows.start, rows.stop) % 256)[:, None, None]

    return write_block


def test_an_equal_key_reads_the_cache_and_another_key_renders():
    calls = []
    first = cache.cached_images("test", {"version": 1}, SHAPE, counting_writer(calls))
    assert len(calls) == 16
    second = cache.cached_images("test", {"version": 1}, SHAPE, counting_writer(calls))
    assert len(calls) == 16
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[:, 0, 0], np.arange(1_000) % 256)
    cache.cached_images("test", {"version": 2}, SHAPE, counting_writer(calls))
    assert len(calls) == 32
    assert len(cache.entries()) == 2


def test_few_images_and_too_many_bytes_are_not_cached():
    cache.cached_images("test", {}, (999, 2, 2), counting_writer([]))
    cache.load_or_make("test", {}, SHAPE, lambda: np.zeros(SHAPE, np.uint8), max_bytes=10)
    assert cache.entries() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_no_partial_entry(error):
    def write_block(rows, block):
        if rows.start > 500:
            raise error

    with pytest.raises(error):
        cache.cached_images("test", {}, SHAPE, write_block)
    assert list(paths.generated().glob("*")) == [] if paths.generated().exists() else True
    calls = []
    cache.cached_images("test", {}, SHAPE, counting_writer(calls))
    assert len(calls) == 16, "the next run must render everything"


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: b"not an array",
        lambda content: b"PK\x03\x04" + content,
        lambda content: content.replace(b"}", b" "),
    ],
)
def test_a_damaged_entry_is_rendered_again(damage):
    images = cache.cached_images("test", {}, SHAPE, counting_writer([]))
    ((path, _),) = cache.entries()
    path.write_bytes(damage(path.read_bytes()))
    np.testing.assert_array_equal(cache.cached_images("test", {}, SHAPE, counting_writer([])), images)
    np.testing.assert_array_equal(np.load(path), images)


def test_rendering_works_when_the_cache_cannot_be_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    images = cache.cached_images("test", {}, SHAPE, counting_writer([]))
    assert images.shape == SHAPE
    assert "Continuing without the cache." in capsys.readouterr().err


def test_a_cached_dataset_equals_the_rendered_one(monkeypatch):
    first = data.load("smpl", size=1_000)
    assert len(cache.entries()) == 1
    monkeypatch.setattr(cache, "fill_in_parallel", None)  # rendering would now raise a TypeError
    second = data.load("smpl", size=1_000)
    assert torch.equal(first.images, second.images)
    second.images[:] = 0  # must not change the cache
    assert torch.equal(first.images, data.load("smpl", size=1_000).images)
    with pytest.raises(TypeError):
        data.load("smpl", size=1_000, seed=1)


def test_a_changed_file_is_converted_again(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"1")
    converted = [cache.convert_file("test", file, (3,), lambda: np.zeros(3, np.uint8))[0]]
    file.write_bytes(b"22")
    converted.append(cache.convert_file("test", file, (3,), lambda: np.ones(3, np.uint8))[0])
    assert converted == [0, 1]


def test_a_full_disk_is_reported_once_and_does_not_stop_rendering(monkeypatch, capsys):
    def full(path, array):
        raise InputError(f"cannot write {path}: no space left on device; free some space.")

    monkeypatch.setattr(cache, "write_array", full)
    assert cache.cached_images("test", {}, SHAPE, counting_writer([])).shape == SHAPE
    assert capsys.readouterr().err.count("no space left") == 1

import numpy as np
import pytest
import torch

from vitae import InputError, data
from vitae.data import cache
from vitae.support import paths

SHAPE = (1_000, 4, 4)


def counting(calls):
    def fill(rows, block):
        calls.append(rows)
        block[:] = (np.arange(rows.start, rows.stop) % 256)[:, None, None]

    return fill


def test_what_was_made_is_found_again_and_other_arguments_make_anew():
    calls = []
    made = cache.cached("test", {"version": 1}, SHAPE, counting(calls))
    assert len(calls) == 16
    again = cache.cached("test", {"version": 1}, SHAPE, counting(calls))
    assert len(calls) == 16
    np.testing.assert_array_equal(made, again)
    np.testing.assert_array_equal(made[:, 0, 0], np.arange(1_000) % 256)
    cache.cached("test", {"version": 2}, SHAPE, counting(calls))
    assert len(calls) == 32
    assert len(cache.contents()) == 2


def test_few_images_and_too_many_bytes_stay_out_of_the_cache():
    cache.cached("test", {}, (999, 2, 2), counting([]))
    cache.kept("test", {}, SHAPE, lambda: np.zeros(SHAPE, np.uint8), most=10)
    assert cache.contents() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_generation_leaves_nothing(error):
    def fill(rows, block):
        if rows.start > 500:
            raise error

    with pytest.raises(error):
        cache.cached("test", {}, SHAPE, fill)
    assert list(paths.generated().glob("*")) == [] if paths.generated().exists() else True
    calls = []
    cache.cached("test", {}, SHAPE, counting(calls))
    assert len(calls) == 16, "the next run makes all of it"


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: b"no array",
        lambda content: b"PK\x03\x04" + content,
        lambda content: content.replace(b"}", b" "),
    ],
)
def test_a_damaged_entry_is_made_again(damage):
    made = cache.cached("test", {}, SHAPE, counting([]))
    ((path, _),) = cache.contents()
    path.write_bytes(damage(path.read_bytes()))
    np.testing.assert_array_equal(cache.cached("test", {}, SHAPE, counting([])), made)
    np.testing.assert_array_equal(np.load(path), made)


def test_without_a_place_for_the_cache_images_are_made_all_the_same(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    made = cache.cached("test", {}, SHAPE, counting([]))
    assert made.shape == SHAPE
    assert "Going on without the cache." in capsys.readouterr().err


def test_a_dataset_from_the_cache_is_the_dataset(monkeypatch):
    first = data.load("smpl", size=1_000)
    assert len(cache.contents()) == 1
    monkeypatch.setattr(cache, "filled", None)  # nothing may be rendered now
    again = data.load("smpl", size=1_000)
    assert torch.equal(first.images, again.images)
    again.images[:] = 0  # and what a caller does to it stays with the caller
    assert torch.equal(first.images, data.load("smpl", size=1_000).images)
    with pytest.raises(TypeError):
        data.load("smpl", size=1_000, seed=1)


def test_a_new_state_of_a_file_is_another_entry(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"1")
    converted = [cache.converted("test", file, (3,), lambda: np.zeros(3, np.uint8))[0]]
    file.write_bytes(b"22")
    converted.append(cache.converted("test", file, (3,), lambda: np.ones(3, np.uint8))[0])
    assert converted == [0, 1]


def test_the_disk_being_full_is_said_once_and_survived(monkeypatch, capsys):
    def full(path, array):
        raise InputError(f"cannot write {path}: no space left on device; free some space.")

    monkeypatch.setattr(cache, "write_array", full)
    assert cache.cached("test", {}, SHAPE, counting([])).shape == SHAPE
    assert capsys.readouterr().err.count("no space left") == 1

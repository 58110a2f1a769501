"""Damaged files of every kind that may come from somebody else: each loads, or is one sentence.

A thousand cases from a fixed seed. They found tracebacks that no list of bad inputs had.
"""

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from example_record import example_record

from vitae import InputError
from vitae.data.folder import _factors_from_table
from vitae.experiments.configuration import configuration_of, configure
from vitae.experiments.records import SCHEMA, read_record
from vitae.experiments.resume import checkpoint_holding, read_weights
from vitae.metrics import report
from vitae.report import tables
from vitae.support.files import read_arrays, write_tensors
from vitae.training.checkpoint import read_checkpoint
from vitae.training.schedule import Schedule
from vitae.training.step import Progress, Run

CASES = 200  # of each kind

# What somebody might put where another value belongs.
VALUES = (
    *(None, True, "", "text", "\x1b[31mred", "\udcff", -1, 0, 1.5, 10**9, 2**61, -(2**70), 10**400),
    *(float("nan"), float("inf"), -1e308, [], [[]], {}, {"": {}}, [None], ["x"] * 3, {"mean": "high"}),
)


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def places(value, path=()):
    """The path of every value inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from places(each, (*path, key))


def tampered(chance: random.Random, value):
    """A copy of a JSON value in which something is replaced, removed, added or renamed."""
    value = json.loads(json.dumps(value))
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        known = list(places(value))
        if not known:
            break
        *way, last = chance.choice(known)
        holder = value
        for key in way:
            holder = holder[key]
        what = chance.randrange(4)
        if what == 0:
            del holder[last]
        elif what == 1 and isinstance(holder, dict):
            holder[chance.choice(("x", "\x1b]0;title\x07", ""))] = holder.pop(last)
        else:
            holder[last] = chance.choice(VALUES)
    return value


def damaged(chance: random.Random, content: bytes) -> bytes:
    """Bytes of which some are cut off, replaced, doubled or preceded by others."""
    at = chance.randrange(len(content) + 1)
    what = chance.randrange(5)
    if what == 0:
        return content[:at]
    if what == 1:
        return content[:at] + bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9))) + content[at + 4 :]
    if what == 2:
        return content[:at] + content[at // 2 :]
    if what == 3:
        return b"\xef\xbb\xbf" + content
    changed = bytearray(content)
    for _ in range(8):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def as_json(chance: random.Random, value) -> bytes:
    text = json.dumps(tampered(chance, value))
    if chance.random() < 0.1:
        text = text.replace("[", deep(chance.choice((100, 100_000)))[:-1] + "[", 1)
    content = text.encode()
    return damaged(chance, content) if chance.random() < 0.3 else content


def record(chance: random.Random, file: Path) -> None:
    stated = {"schema": SCHEMA, **example_record("c-vitae")}
    stated["configuration"] = configure("mnist", "c-vitae", "smoke").as_json()
    file.write_bytes(as_json(chance, stated))
    found = read_record(file)
    # Whatever is accepted can be printed.
    for form in tables.FORMATS.values():
        form(tables.table([found]))
    tables.caption([found])
    configuration_of(found)


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 3)


def tiny_run() -> Run:
    return Run("run", Tiny(), 0, Schedule(epochs=3, batch=8), {}, "f", progress=Progress())


def saved_tensors() -> dict[str, torch.Tensor]:
    kinds = ("weights", "exp_avg", "exp_avg_sq")
    return {f"run/{kind}/{name}": value for kind in kinds for name, value in Tiny().state_dict().items()}


PROGRESS = {
    **{"step": 4, "seconds": 1.0, "losses": [3.0], "loss_sum": 0.0, "elbo_sum": 0.0, "elbo": -3.0, "diverged": None},
    **{"curves": {"KL z1": [0.1]}, "held_out": [-3.0]},
}


def write_tampered(chance: random.Random, file: Path, tensors: dict, stated: dict) -> None:
    for name in list(tensors):
        if chance.random() < 0.05:
            change = chance.choice((torch.Tensor.half, torch.Tensor.flatten, lambda t: t * float("nan"), None))
            if change is None:
                del tensors[name]
            else:
                tensors[name] = change(tensors[name])
    write_tensors(file, tensors, tampered(chance, stated) if chance.random() < 0.8 else stated)
    if chance.random() < 0.3:
        file.write_bytes(damaged(chance, file.read_bytes()))


def checkpoint(chance: random.Random, file: Path) -> None:
    file = file.with_suffix(".checkpoint")
    write_tampered(chance, file, saved_tensors(), {"run": {"fingerprint": "f", **PROGRESS}})
    checkpoint_holding([tiny_run()], file.parent)
    found = read_checkpoint([file], [tiny_run()], 35)
    tiny_run().model.load_state_dict(found["run"].weights)


def weights(chance: random.Random, file: Path) -> None:
    configuration = configure("mnist", "c-vitae", "smoke").as_json()
    stated = {"fingerprint": "f", "configuration": configuration, "progress": PROGRESS, "together": 1}
    write_tampered(chance, file, Tiny().state_dict(), stated)
    _, found = read_weights(file)
    configuration_of({"run": "r", "configuration": found["configuration"]})
    Progress(**{name: found["progress"][name] for name in PROGRESS if name in found["progress"]})


def arrays(chance: random.Random, file: Path) -> None:
    numbers = np.random.default_rng(chance.randrange(2**32))
    held = {"codes": numbers.normal(size=(40, 2)), "factors": numbers.integers(2, size=(40, 2)).astype(float)}
    name = chance.choice(("codes", "factors"))
    changes = (
        lambda a: a,
        lambda a: a[:, :1],
        lambda a: a[:7],
        lambda a: a.astype(str),
        lambda a: a.astype(complex),
        lambda a: a.astype("datetime64[s]"),
        lambda a: np.where(a > 0, np.nan, a),
        lambda a: np.ma.masked_greater(a, 0),
        lambda a: a.astype(object),
        lambda a: np.array(3.0),
        lambda a: a[..., None],
        lambda a: np.zeros(3, [("x", float)]),
    )
    held[name] = chance.choice(changes)(held[name])
    packed = io.BytesIO()
    np.savez(packed, **held)
    content = packed.getvalue()
    file.write_bytes(damaged(chance, content) if chance.random() < 0.7 else content)
    found = read_arrays(file, ("codes", "factors"), ("names",))
    if chance.random() < 0.05:
        report(found["codes"], found["factors"], fast=True)


def labels(chance: random.Random, file: Path) -> None:
    cells = (
        "a.png",
        "b.png",
        "3",
        "nan",
        "1e999",
        "",
        "x,y",
        '"',
        '"x\ny"',
        "\x1b[0m",
        "\x00",
        "é",
        "file",
        " ",
        "1_0",
    )
    lines = [["file", "shape", "size:class"], ["a.png", "round", "1"], ["b.png", "square", "2"]]
    for _ in range(chance.randrange(4)):
        row = chance.choice(lines)
        if row:
            row[chance.randrange(len(row))] = chance.choice(cells)
        if chance.random() < 0.2:
            row.append(chance.choice(cells))
    content = "\n".join(map(",".join, lines)).encode()
    file.write_bytes(damaged(chance, content) if chance.random() < 0.6 else content)
    about, values = _factors_from_table(file, ["a.png", "b.png"])
    assert values.shape == (2, len(about))
    assert np.isfinite(values).all()
    assert all(factor.name.isprintable() for factor in about)


@pytest.mark.parametrize("kind", [record, checkpoint, weights, arrays, labels])
def test_a_damaged_file_loads_or_is_one_sentence(kind, tmp_path):
    chance, messages = random.Random(kind.__name__), []
    for number in range(CASES):
        try:
            kind(chance, tmp_path / f"{number}")
        except InputError as error:
            messages.append(str(error))
    for message in messages:
        assert message.endswith((".", "?"))
        assert "\n" not in message
    # Damage that changes nothing, or that is always refused, tests nothing.
    assert 0.05 * CASES < len(messages) < 0.95 * CASES

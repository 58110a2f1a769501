"""Speed of the datasets: `vitae bench data` measures images per second on one thread, seconds to load, bytes on disk.

The cache is an empty temporary folder, so the first load finds nothing in it. Real files are measured if they lie under
the data root; the record lists them.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm import tqdm

from vitae.data import DATASETS, cache, load
from vitae.data.collection import FileCollection
from vitae.data.dsprites import agreement
from vitae.data.grid import GridCollection
from vitae.report.benchmarks.measure import machine, median_seconds
from vitae.support import paths
from vitae.support.provenance import environment
from vitae.support.randomness import generator

SCHEMA = 1
# What is rendered on one thread: dataset, resolution, images per call.
RENDERED = [
    ("dsprites", (64, 64), 900),
    ("shapes3d", (64, 64), 900),
    ("smpl", (64, 64), 200),
    ("smpl", (128, 64), 200),
    ("smpl", (400, 200), 100),
    ("celeba", (64, 64), 100),
]
# Target rates in images per second on one core.
TARGETS = {"dsprites 64x64": 20_000, "smpl 128x64": 10_000 / 60}


def _rendering(name: str, resolution: tuple[int, int], count: int, repeats: int) -> dict:
    """Images per second, in batches that are too small to be cached."""
    collection = DATASETS[name]
    if isinstance(collection, GridCollection):
        grid = collection.grid(source="embedded", resolution=resolution)
        positions = grid.sample(count, generator("cpu", 0, "benchmark"))
        seconds = median_seconds(lambda: grid.images(positions), repeats)
    else:
        request = {"source": "embedded", "resolution": resolution}
        seconds = median_seconds(lambda: collection.load(size=count, **request), repeats)
        # Loading one image draws the same factors, so the difference is rendering alone.
        seconds -= median_seconds(lambda: collection.load(size=1, **request), repeats)
        count -= 1
    return {
        "dataset": name,
        "resolution": list(resolution),
        "images": count,
        "images a second": count / seconds,
        "asked": TARGETS.get(f"{name} {resolution[0]}x{resolution[1]}"),
    }


def _loading(name: str, root: Path | None, source: str) -> dict:
    """Seconds to load the training split for the first and the second time, and bytes in the cache after that."""
    spent = []
    for _ in range(2):
        started = time.perf_counter()
        dataset = load(name, "train", root=root, source=source)
        spent.append(time.perf_counter() - started)
    entries = cache.entries()
    cached = sum(size for _, size in entries)
    for path, _ in entries:
        path.unlink()
    return {
        "dataset": name,
        "source": str(dataset.source),
        "shape": list(dataset.images.shape),
        "first seconds": spent[0],
        "again seconds": spent[1],
        "cache bytes": cached,
    }


def run(root: str | Path | None = None, repeats: int = 5) -> dict:
    """Measure all datasets in about two minutes, plus the time for the user's own files.

    Args:
        root: a folder of real data to load as well; default `$VITAE_DATA`.
        repeats: runs of which the median counts.
    """
    folder = paths.data_root(root)
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as cache:
        before = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = cache
        try:
            jobs: list[tuple[str, Callable[[], dict | None]]] = [("machine", machine)]
            jobs += [(f"rendering {case[:2]}", lambda case=case: _rendering(*case, repeats)) for case in RENDERED]
            for collection in DATASETS.values():
                name = collection.name
                if not isinstance(collection, FileCollection) or name == "folder":
                    continue
                jobs.append((f"loading {name}", lambda name=name: _loading(name, None, "embedded")))
                if folder is not None and collection.describe_files(folder):
                    jobs.append((f"loading your {name}", lambda name=name: _loading(name, folder, "data-root")))
            compared = folder is not None and DATASETS["dsprites"].describe_files(folder) is not None
            jobs.append(("agreement", lambda: agreement(folder) if compared else None))
            found: dict[str, list] = {}
            with tqdm(jobs, disable=None, unit="part") as bar:
                for name, job in bar:
                    bar.set_description(name)
                    kind = name.split()[0]
                    torch.set_num_threads(1 if kind in ("machine", "rendering") else threads)
                    found.setdefault(kind, []).append(job())
        finally:
            torch.set_num_threads(threads)
            os.environ.pop("XDG_CACHE_HOME")
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before
    return {
        "schema": SCHEMA,
        "command": "vitae bench data",
        "repeats": repeats,
        "threads": threads,
        "machine": found["machine"][0],
        "rendering": found["rendering"],
        "loading": found["loading"],
        "dsprites agreement": found["agreement"][0],
        **environment(torch.device("cpu")),
    }


def summary(found: dict) -> str:
    """A record as text for a terminal."""
    lines = [f"{found['machine']['processor']}; rendering on one thread, medians of {found['repeats']}:"]
    for row in found["rendering"]:
        size = " x ".join(map(str, row["resolution"]))
        target = f" (target {row['asked']:,.0f})" if row["asked"] else ""
        lines.append(f"  {row['dataset']} {size}: {row['images a second']:,.0f} images/s{target}")
    lines.append(f"loading the training split on {found['threads']} threads, first and from the cache:")
    for row in found["loading"]:
        shape = " x ".join(f"{side:,}" for side in row["shape"])
        seconds = f"{row['first seconds']:.1f} s, {row['again seconds']:.2f} s"
        cached = f"{row['cache bytes'] / 1e6:,.0f} MB in the cache"
        lines.append(f"  {row['dataset']}, {row['source']}, {shape}: {seconds}, {cached}")
    if agreement := found["dsprites agreement"]:
        lines.append(f"published dSprites: {agreement['equal pixels']:.4%} of its pixels equal ours")
    return "\n".join(lines)

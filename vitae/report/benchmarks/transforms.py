"""Benchmarks of the transformations: `vitae bench transforms`. One process, one thread, the competitor in the same run.

Everything is stored as one record, which the book's benchmark page reads: nanoseconds a point, errors in pixels, bytes
a point, and what this machine's core can do at best.
"""

import os
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from vitae.report.benchmarks.measure import machine, median_seconds
from vitae.support.errors import InputError
from vitae.support.provenance import environment
from vitae.support.randomness import generator
from vitae.transforms import CPAB, Affine, pixel_grid
from vitae.transforms.kernels import affine_reference, operators
from vitae.transforms.kernels import cpab_reference as reference
from vitae.transforms.libcpab import gamma_of_theta, orthonormal_basis

SCHEMA = 1
# (tessellation, batch, channels, height, width): the sizes that the table promises.
CASES = [
    ((2, 4), 64, 1, 128, 128),
    ((2, 4), 256, 3, 64, 64),
    ((2, 4), 256, 1, 28, 28),
    ((4, 4), 256, 3, 64, 64),
    ((8, 8), 256, 3, 64, 64),
    ((8, 8), 256, 1, 28, 28),
]
_ACCURACY_SIDE, _ACCURACY_FIELDS = 64, 512
_EXACT_STEPS = 3000
# Of one evaluation and its step, as `flow` writes them: x += k and y = x + k / 2 for two components (8), four
# comparisons against the square (4), cell and place (4), s - t and s + t - 1 (3), and two fields of four products
# and four sums (16). Absolute values, conversions and everything done once a cell more than needed count as nothing.
OPERATIONS_AN_EVALUATION = 35


def _prior(cpab: CPAB, batch: int, seed: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """libcpab's unit prior: theta ~ N(0, I), its basis, and the same fields as our gamma."""
    basis = orthonormal_basis(cpab)
    theta = torch.randn(batch, basis.shape[1], generator=generator("cpu", seed, "benchmark"), dtype=torch.float64)
    return theta.to(dtype), basis, gamma_of_theta(theta, basis, cpab).to(dtype)


class _Competitor:
    """libcpab with our basis, so that both integrate the same fields."""

    def __init__(self):
        try:
            from libcpab import Cpab
        except ImportError:
            raise InputError(
                "libcpab is not installed: 'pip install --no-deps libcpab==0.1.3' into a folder on PYTHONPATH, or "
                "leave --against-libcpab out."
            ) from None
        self._make, self._made = Cpab, {}

    def of(self, cpab: CPAB, basis: Tensor):
        key = cpab.tessellation
        if key not in self._made:
            # Its own null space of an 8 x 8 tessellation is slow to compute, and ours is the same space.
            made = self._make([1, 1], device="cpu", zero_boundary=True)
            made.params.nc, made.params.nC = list(key), 4 * key[0] * key[1]
            made.params.inc = [1 / side for side in key]
            made.params.basis = basis.numpy()
            made.params.D, made.params.d = basis.shape
            self._made[key] = made
        return self._made[key]


def _speed(case: tuple, repeats: int, competitor: _Competitor | None) -> dict:
    """Nanoseconds a point of one case: ours with 16 and 50 steps, plain torch, and the competitor's 50 steps."""
    tessellation, batch, channels, height, width = case
    points = batch * height * width
    images = torch.rand(batch, channels, height, width, generator=generator("cpu", 0, "benchmark images"))
    theta, basis, gamma = _prior(CPAB(tessellation), batch, 0)
    needs = gamma.clone().requires_grad_()
    images_need = images.clone().requires_grad_()

    def nanoseconds(work: Callable[[], object]) -> float:
        return median_seconds(work, repeats) / points * 1e9

    def both_ways(forward: Callable[[], Tensor], *leaves: Tensor) -> None:
        for leaf in leaves:
            leaf.grad = None
        result = forward()
        result.backward(torch.ones_like(result))

    def of(cpab: CPAB) -> dict:
        return {
            "grid": nanoseconds(lambda: cpab.grid(gamma, height, width)),
            "grid, both ways": nanoseconds(lambda: both_ways(lambda: cpab.grid(needs, height, width), needs)),
            "images": nanoseconds(lambda: cpab.warp(images, gamma)),
            "images, both ways": nanoseconds(
                lambda: both_ways(lambda: cpab.warp(images_need, needs), needs, images_need)
            ),
        }

    found: dict = {"tessellation": tessellation, "batch": batch, "channels": channels, "height": height, "width": width}
    for steps in (16, 50):
        found[f"ours, {steps} steps"] = of(CPAB(tessellation, steps=steps))
    # The reference is for reading; a few samples show its speed.
    few = slice(min(batch, 64))
    field = reference.coefficients_of(gamma[few], *tessellation, True)
    taken = torch.full((len(field),), 50, dtype=torch.int32)
    grid = pixel_grid(height, width)[None]
    seconds = median_seconds(lambda: reference.flow(field, taken, grid, *tessellation, height, width), 3)
    found["plain torch, 50 steps"] = {"grid": seconds / (len(field) * height * width) * 1e9}
    if competitor is not None:
        lib = competitor.of(CPAB(tessellation), basis)
        mesh = lib.uniform_meshgrid([height, width])
        lib_needs = theta.clone().requires_grad_()

        def forward() -> Tensor:
            with torch.no_grad():
                return lib.transform_grid(mesh, theta)

        few_repeats = min(repeats, 3)
        found["libcpab, 50 steps"] = {
            "grid": median_seconds(forward, few_repeats) / points * 1e9,
            "grid, both ways": median_seconds(
                lambda: both_ways(lambda: lib.transform_grid(mesh, lib_needs), lib_needs), few_repeats
            )
            / points
            * 1e9,
        }
    return found


def _accuracy(tessellation: tuple[int, int], competitor: _Competitor | None) -> dict:
    """Errors in pixels of a 64 x 64 image over 512 fields of libcpab's unit prior, against 3,000 steps in float64."""
    side = _ACCURACY_SIDE
    theta, basis, gamma = _prior(CPAB(tessellation), _ACCURACY_FIELDS, 1)
    exact = CPAB(tessellation, steps=_EXACT_STEPS).grid(gamma.double(), side, side)
    points = pixel_grid(side, side)

    def pixels(difference: Tensor) -> dict:
        distance = difference.double().norm(dim=-1) * side / 2
        worst = distance.amax(1)
        # The largest of a field's points, in the median field and in the worst of all.
        return {"max": worst.max().item(), "median max": worst.median().item(), "mean": distance.mean().item()}

    found: dict = {"tessellation": tessellation}
    for name, cpab in (
        ("ours, 16 steps", CPAB(tessellation, steps=16)),
        ("ours, automatic steps", CPAB(tessellation)),
        ("ours, 50 steps", CPAB(tessellation, steps=50)),
    ):
        ends = cpab.apply(gamma, points)
        found[name] = {"error": pixels(ends - exact), "inverse": pixels(cpab.apply(gamma, ends, inverse=True) - points)}
    found["ours, automatic steps"]["steps"] = CPAB(tessellation).steps_of(gamma).double().mean().item()
    if competitor is not None:
        lib = competitor.of(CPAB(tessellation), basis)
        theirs = (points.flip(-1).T + 1) / 2
        with torch.no_grad():
            ends = lib.transform_grid(theirs, theta)
            back = lib.transform_grid(ends, -theta)

        def ours(moved: Tensor) -> Tensor:
            return 2 * moved.mT.flip(-1) - 1

        found["libcpab, 50 steps"] = {"error": pixels(ours(ends) - exact), "inverse": pixels(ours(back) - points)}
    return found


def convergence(tessellation: tuple[int, int], evaluations: list[int], side: int = 64, fields: int = 16) -> dict:
    """Mean and largest error in pixels against the number of evaluations: ours, Euler, and exponential Euler.

    Exponential Euler is what libcpab does: in each step a point follows the affine field of the triangle where the step
    starts, exactly.
    """
    _, _, gamma = _prior(CPAB(tessellation), fields, 2, torch.float64)
    exact = CPAB(tessellation, steps=_EXACT_STEPS).grid(gamma, side, side)
    rows, columns = tessellation
    field = reference.coefficients_of(gamma, rows, columns, True)
    start = reference.to_cells(pixel_grid(side, side, dtype=torch.float64)[None], rows, columns).expand(fields, -1, -1)

    def euler(steps: int) -> Tensor:
        at = start
        for _ in range(steps):
            at = at + reference.velocity(field, at, rows, columns) / steps
        return at

    def exponential_euler(steps: int) -> Tensor:
        at = start
        for _ in range(steps):
            velocity, derivative = reference.linearised(field, at, rows, columns)
            # The flow of v + J (x - at) for a time h moves `at` by h phi(h J) v.
            generators = torch.cat([derivative.flatten(-2), velocity], dim=-1).flatten(0, 1) / steps
            at = at + affine_reference.expm(generators)[:, 4:].view_as(at)
        return at

    found: dict = {"tessellation": tessellation, "evaluations": evaluations}
    size = torch.tensor([columns, rows], dtype=torch.float64)
    for name, integrate in (
        ("Euler", euler),
        ("exponential Euler (libcpab)", exponential_euler),
        (
            "one-leg (ours)",
            lambda n: reference.to_cells(CPAB(tessellation, steps=n - 1).grid(gamma, side, side), rows, columns),
        ),
    ):
        # Too few steps are the point here, and no surprise.
        with warnings.catch_warnings(action="ignore"):
            errors = [
                ((integrate(n) - reference.to_cells(exact, rows, columns)) / size * side).norm(dim=-1)
                for n in evaluations
            ]
        found[name] = {"mean": [e.mean().item() for e in errors], "max": [e.max().item() for e in errors]}
    return found


def _affine(repeats: int) -> dict:
    """Microseconds: the exponential of 1,024 generators, and a warp of 256 x 1 x 28 x 28 images."""
    gamma = 0.3 * torch.randn(1024, 6, generator=generator("cpu", 0, "benchmark affine"))
    needs = gamma.clone().requires_grad_()
    images = torch.rand(256, 1, 28, 28, generator=generator("cpu", 0, "benchmark images")).requires_grad_()

    def theirs(of: Tensor) -> Tensor:
        whole = F.pad(torch.cat([of[:, :4].unflatten(1, (2, 2)), of[:, 4:, None]], -1), (0, 0, 0, 1))
        return torch.linalg.matrix_exp(whole)[:, :2]

    def their_warp() -> Tensor:
        return F.grid_sample(
            images,
            F.affine_grid(theirs(needs[:256]), [256, 1, 28, 28], align_corners=False),
            padding_mode="border",
            align_corners=False,
        )

    affine = Affine()

    def both_ways(work: Callable[[], Tensor]) -> None:
        needs.grad = images.grad = None
        work().sum().backward()

    def microseconds(work: Callable[[], object]) -> float:
        return median_seconds(work, 5 * repeats) * 1e6

    return {
        "exponential": {
            "ours": microseconds(lambda: affine.matrix(gamma)),
            "torch": microseconds(lambda: theirs(gamma)),
            "ours, both ways": microseconds(lambda: both_ways(lambda: affine.matrix(needs))),
            "torch, both ways": microseconds(lambda: both_ways(lambda: theirs(needs))),
        },
        "images": {
            "ours": microseconds(lambda: affine.warp(images.detach(), gamma[:256])),
            "torch": microseconds(lambda: their_warp().detach()),
            "ours, both ways": microseconds(lambda: both_ways(lambda: affine.warp(images, needs[:256]))),
            "torch, both ways": microseconds(lambda: both_ways(their_warp)),
        },
    }


def _memory() -> dict | None:
    """Peak bytes a point of one forward and backward pass beyond what there was before; Linux only."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None

    def resident(field: str) -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(field)) * 1024

    batch, side = 64, 256
    cpab = CPAB((2, 4), steps=50)
    _, _, gamma = _prior(cpab, batch, 0)
    gamma.requires_grad_()
    cpab.grid(gamma[:1], side, side).sum().backward()
    before, peak, done = resident("VmRSS"), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, resident("VmRSS"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    result = cpab.grid(gamma, side, side)
    result.backward(torch.ones_like(result))
    done.set()
    watcher.join()
    return {"bytes a point": (peak - before) / (batch * side * side), "points": batch * side * side}


def run(repeats: int = 7, against: bool = False) -> dict:
    """Measure everything on one thread; ten minutes with a competitor, three without.

    Args:
        repeats: runs of which the median counts.
        against: measure libcpab 0.1.3 in the same process.

    Raises:
        InputError: libcpab is wanted and not installed, or there are no kernels to measure.
    """
    if not operators.has_kernels(torch.zeros(())):
        raise InputError("there are no CPU kernels to measure: install numba.")
    competitor = _Competitor() if against else None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        jobs: list[tuple[str, Callable[[], dict | None]]] = [("machine", machine), ("memory", _memory)]
        jobs.append(("affine", lambda: _affine(repeats)))
        jobs += [(f"speed {case}", lambda case=case: _speed(case, repeats, competitor)) for case in CASES]
        meshes = [(2, 4), (4, 4), (8, 8)]
        jobs += [(f"accuracy {mesh}", lambda mesh=mesh: _accuracy(mesh, competitor)) for mesh in meshes]
        found: dict[str, list] = {}
        with tqdm(jobs, disable=None, unit="part") as bar:
            for name, job in bar:
                bar.set_description(name)
                found.setdefault(name.split()[0], []).append(job())
    finally:
        torch.set_num_threads(threads)
    policy = os.environ.get("OMP_WAIT_POLICY")
    return {
        "schema": SCHEMA,
        "command": (f"OMP_WAIT_POLICY={policy} " if policy else "")
        + "vitae bench transforms"
        + (" --against-libcpab" if against else ""),
        "wait policy": policy or "unset",
        "repeats": repeats,
        "machine": found["machine"][0],
        "memory": found["memory"][0],
        "affine": found["affine"][0],
        "speed": found["speed"],
        "accuracy": found["accuracy"],
        "operations an evaluation": OPERATIONS_AN_EVALUATION,
        "platform": sys.platform,
        **environment(torch.device("cpu")),
    }


def summary(found: dict) -> str:
    """A record as a person wants to read it in a terminal."""
    lines = [f"{found['machine']['processor']}, one thread, medians of {found['repeats']}; nanoseconds a point:"]
    for case in found["speed"]:
        size = f"{case['batch']} x {case['channels']} x {case['height']} x {case['width']}"
        ours = case["ours, 50 steps"]
        mesh = tuple(case["tessellation"])
        line = f"  {mesh}, {size}: {ours['grid']:.0f} forward, {ours['grid, both ways']:.0f} both ways"
        if theirs := case.get("libcpab, 50 steps"):
            times = [theirs[way] / ours[way] for way in ("grid", "grid, both ways")]
            line += f"; libcpab {theirs['grid']:.0f} and {theirs['grid, both ways']:.0f}, "
            line += f"{times[0]:.0f} and {times[1]:.0f} times as much"
        lines.append(line)
    for row in found["accuracy"]:
        ours = row["ours, 50 steps"]
        lines.append(
            f"  {tuple(row['tessellation'])}: error at most {ours['error']['max']:.1e} pixels, inverse at most "
            f"{ours['inverse']['max']:.1e}"
        )
    return "\n".join(lines)

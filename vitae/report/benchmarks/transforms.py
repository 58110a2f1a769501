"""Speed and accuracy of the transformations: `vitae bench transforms`, on one thread, if wanted against libcpab.

The record, which the book's benchmark page shows, has nanoseconds per point, errors in pixels, bytes per point, and the
rates that one core of this machine reaches at best.
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
# The sizes in the table: tessellation, batch, channels, height, width.
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
# Operations of one evaluation of the velocity field and one step: x += k and y = x + k / 2 for two components (8), four
# comparisons with the square (4), cell and position in it (4), s - t and s + t - 1 (3), and two components of four
# products and four sums (16). Absolute values and conversions are not counted.
OPERATIONS_AN_EVALUATION = 35


def _prior(cpab: CPAB, batch: int, seed: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Draws of libcpab's unit prior: theta ~ N(0, I), the basis, and the same velocity fields as our gamma."""
    basis = orthonormal_basis(cpab)
    theta = torch.randn(batch, basis.shape[1], generator=generator("cpu", seed, "benchmark"), dtype=torch.float64)
    return theta.to(dtype), basis, gamma_of_theta(theta, basis, cpab).to(dtype)


class _Libcpab:
    """libcpab with our basis, so that both integrate the same velocity fields."""

    def __init__(self):
        try:
            from libcpab import Cpab
        except ImportError:
            raise InputError(
                "libcpab is not installed: run 'pip install --no-deps libcpab==0.1.3', or leave --against-libcpab out."
            ) from None
        self._constructor, self._by_tessellation = Cpab, {}

    def of(self, cpab: CPAB, basis: Tensor):
        key = cpab.tessellation
        if key not in self._by_tessellation:
            # Its own basis of the same space is slow to compute for 8 x 8 cells.
            lib = self._constructor([1, 1], device="cpu", zero_boundary=True)
            lib.params.nc, lib.params.nC = list(key), 4 * key[0] * key[1]
            lib.params.inc = [1 / side for side in key]
            lib.params.basis = basis.numpy()
            lib.params.D, lib.params.d = basis.shape
            self._by_tessellation[key] = lib
        return self._by_tessellation[key]


def _speed(case: tuple, repeats: int, libcpab: _Libcpab | None) -> dict:
    """Nanoseconds per point of one case: ours with 16 and 50 steps, plain torch and libcpab with 50 steps."""
    tessellation, batch, channels, height, width = case
    points = batch * height * width
    images = torch.rand(batch, channels, height, width, generator=generator("cpu", 0, "benchmark images"))
    theta, basis, gamma = _prior(CPAB(tessellation), batch, 0)
    gamma_leaf = gamma.clone().requires_grad_()
    images_leaf = images.clone().requires_grad_()

    def nanoseconds(work: Callable[[], object]) -> float:
        return median_seconds(work, repeats) / points * 1e9

    def forward_backward(forward: Callable[[], Tensor], *leaves: Tensor) -> None:
        for leaf in leaves:
            leaf.grad = None
        result = forward()
        result.backward(torch.ones_like(result))

    def of(cpab: CPAB) -> dict:
        return {
            "grid": nanoseconds(lambda: cpab.grid(gamma, height, width)),
            "grid, both ways": nanoseconds(
                lambda: forward_backward(lambda: cpab.grid(gamma_leaf, height, width), gamma_leaf)
            ),
            "images": nanoseconds(lambda: cpab.warp(images, gamma)),
            "images, both ways": nanoseconds(
                lambda: forward_backward(lambda: cpab.warp(images_leaf, gamma_leaf), gamma_leaf, images_leaf)
            ),
        }

    found: dict = {"tessellation": tessellation, "batch": batch, "channels": channels, "height": height, "width": width}
    for steps in (16, 50):
        found[f"ours, {steps} steps"] = of(CPAB(tessellation, steps=steps))
    # The reference implementation is slow: a few samples suffice.
    few = slice(min(batch, 64))
    field = reference.coefficients_of(gamma[few], *tessellation, True)
    taken = torch.full((len(field),), 50, dtype=torch.int32)
    grid = pixel_grid(height, width)[None]
    seconds = median_seconds(lambda: reference.flow(field, taken, grid, *tessellation, height, width), 3)
    found["plain torch, 50 steps"] = {"grid": seconds / (len(field) * height * width) * 1e9}
    if libcpab is not None:
        lib = libcpab.of(CPAB(tessellation), basis)
        mesh = lib.uniform_meshgrid([height, width])
        theta_leaf = theta.clone().requires_grad_()

        def forward() -> Tensor:
            with torch.no_grad():
                return lib.transform_grid(mesh, theta)

        few_repeats = min(repeats, 3)
        found["libcpab, 50 steps"] = {
            "grid": median_seconds(forward, few_repeats) / points * 1e9,
            "grid, both ways": median_seconds(
                lambda: forward_backward(lambda: lib.transform_grid(mesh, theta_leaf), theta_leaf), few_repeats
            )
            / points
            * 1e9,
        }
    return found


def _accuracy(tessellation: tuple[int, int], libcpab: _Libcpab | None) -> dict:
    """Errors in pixels of a 64 x 64 image for 512 draws of libcpab's unit prior, against 3,000 steps in float64."""
    side = _ACCURACY_SIDE
    theta, basis, gamma = _prior(CPAB(tessellation), _ACCURACY_FIELDS, 1)
    exact = CPAB(tessellation, steps=_EXACT_STEPS).grid(gamma.double(), side, side)
    points = pixel_grid(side, side)

    def pixels(difference: Tensor) -> dict:
        distance = difference.double().norm(dim=-1) * side / 2
        worst = distance.amax(1)
        # The largest error over a field's points: of the worst field, and the median over fields.
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
    if libcpab is not None:
        lib = libcpab.of(CPAB(tessellation), basis)
        lib_points = (points.flip(-1).T + 1) / 2
        with torch.no_grad():
            ends = lib.transform_grid(lib_points, theta)
            back = lib.transform_grid(ends, -theta)

        def ours(moved: Tensor) -> Tensor:
            return 2 * moved.mT.flip(-1) - 1

        found["libcpab, 50 steps"] = {"error": pixels(ours(ends) - exact), "inverse": pixels(ours(back) - points)}
    return found


def convergence(tessellation: tuple[int, int], evaluations: list[int], side: int = 64, fields: int = 16) -> dict:
    """Mean and largest error in pixels by number of evaluations: ours, Euler, and exponential Euler, libcpab's scheme.

    Exponential Euler integrates, in each step, the affine field of the triangle in which the step starts exactly.

    Args:
        evaluations: numbers of evaluations of the velocity field.
        side: pixels per side of the image.
        fields: draws of the prior.
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
        # Few steps cause a warning, but are what is measured here.
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
    gamma_leaf = gamma.clone().requires_grad_()
    images = torch.rand(256, 1, 28, 28, generator=generator("cpu", 0, "benchmark images")).requires_grad_()

    def torch_matrix(of: Tensor) -> Tensor:
        whole = F.pad(torch.cat([of[:, :4].unflatten(1, (2, 2)), of[:, 4:, None]], -1), (0, 0, 0, 1))
        return torch.linalg.matrix_exp(whole)[:, :2]

    def torch_warp() -> Tensor:
        return F.grid_sample(
            images,
            F.affine_grid(torch_matrix(gamma_leaf[:256]), [256, 1, 28, 28], align_corners=False),
            padding_mode="border",
            align_corners=False,
        )

    affine = Affine()

    def forward_backward(work: Callable[[], Tensor]) -> None:
        gamma_leaf.grad = images.grad = None
        work().sum().backward()

    def microseconds(work: Callable[[], object]) -> float:
        return median_seconds(work, 5 * repeats) * 1e6

    return {
        "exponential": {
            "ours": microseconds(lambda: affine.matrix(gamma)),
            "torch": microseconds(lambda: torch_matrix(gamma)),
            "ours, both ways": microseconds(lambda: forward_backward(lambda: affine.matrix(gamma_leaf))),
            "torch, both ways": microseconds(lambda: forward_backward(lambda: torch_matrix(gamma_leaf))),
        },
        "images": {
            "ours": microseconds(lambda: affine.warp(images.detach(), gamma[:256])),
            "torch": microseconds(lambda: torch_warp().detach()),
            "ours, both ways": microseconds(lambda: forward_backward(lambda: affine.warp(images, gamma_leaf[:256]))),
            "torch, both ways": microseconds(lambda: forward_backward(torch_warp)),
        },
    }


def _memory() -> dict | None:
    """Bytes per point that a forward and backward pass adds to the peak memory; None on other systems than Linux."""
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
    """Measure everything on one thread, in ten minutes with libcpab and three without.

    Args:
        repeats: runs of which the median counts.
        against: measure libcpab 0.1.3 in the same process.

    Raises:
        InputError: libcpab is to be measured but is not installed, or numba is missing.
    """
    if not operators.has_kernels(torch.zeros(())):
        raise InputError("the CPU kernels need numba: install it to measure them.")
    libcpab = _Libcpab() if against else None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        jobs: list[tuple[str, Callable[[], dict | None]]] = [("machine", machine), ("memory", _memory)]
        jobs.append(("affine", lambda: _affine(repeats)))
        jobs += [(f"speed {case}", lambda case=case: _speed(case, repeats, libcpab)) for case in CASES]
        meshes = [(2, 4), (4, 4), (8, 8)]
        jobs += [(f"accuracy {mesh}", lambda mesh=mesh: _accuracy(mesh, libcpab)) for mesh in meshes]
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
    """A record as text for a terminal."""
    lines = [f"{found['machine']['processor']}, one thread, medians of {found['repeats']}; nanoseconds per point:"]
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

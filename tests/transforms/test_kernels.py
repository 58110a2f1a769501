"""The compiled kernels against the reference implementations, and their integration with torch."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitae.transforms import CPAB, Affine, pixel_grid, resample
from vitae.transforms.kernels import affine_reference, cpab_reference, cpu, operators

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = {torch.float32: {"rtol": 1e-5, "atol": 1e-5}, torch.float64: {"rtol": 1e-11, "atol": 1e-12}}


def field(rows, columns, batch, generator, dtype, size=0.3):
    dim = len(cpab_reference.free_components(rows, columns, False))
    gamma = size / max(rows, columns) * torch.randn(batch, dim, generator=generator, dtype=dtype)
    steps = torch.randint(1, 20, (batch,), generator=generator, dtype=torch.int32)
    return cpab_reference.coefficients_of(gamma, rows, columns, False), steps


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 4),
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64]),
    st.integers(0, 2**31),
)
def test_cpab_cpu_kernels_equal_the_reference(mesh, batch, shape, shared, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    channels, height, width = shape
    coefficients, steps = field(*mesh, batch, generator, dtype)
    n = height * width
    points = 2.6 * torch.rand(1 if shared else batch, n, 2, generator=generator, dtype=dtype) - 1.3
    # Small pixel differences, because rounding errors of points are multiplied by the image gradient.
    images = torch.rand(batch, channels, height, width, generator=generator, dtype=dtype) / max(height, width)
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(
        cpu.flow(coefficients, steps, points, *mesh, height, width),
        cpab_reference.flow(coefficients, steps, points, *mesh, height, width),
        **tolerance,
    )
    torch.testing.assert_close(
        cpu.sample(coefficients, steps, points, images, *mesh),
        cpab_reference.sample(coefficients, steps, points, images, *mesh),
        **tolerance,
    )


@pytest.mark.parametrize("mesh", [(1, 1), (2, 4), (8, 8)])
def test_adjoints_of_kernels_and_reference_equal_autograd(mesh, generator):
    """Three ways to the same gradients: the CPU kernels, the reference's adjoint, and torch's autograd."""
    coefficients, steps = field(*mesh, 3, generator, torch.float64)
    points = 2.4 * torch.rand(3, 17 * 19, 2, generator=generator, dtype=torch.float64) - 1.2
    images = torch.rand(3, 2, 17, 19, generator=generator, dtype=torch.float64)
    leaves = [each.clone().requires_grad_() for each in (coefficients, points, images)]
    out = cpab_reference.sample(leaves[0], steps, *leaves[1:], *mesh)
    cotangent = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    expected = torch.autograd.grad(out, leaves, cotangent)
    for module in (cpu, cpab_reference):
        gradients = module.adjoint(coefficients, steps, 20, points, images, cotangent, *mesh, True, True)
        for gradient, autograd in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient, autograd, rtol=1e-9, atol=1e-9)
    ends = cpab_reference.flow(*[leaves[0], steps, leaves[1]], *mesh, 17, 19)
    expected = torch.autograd.grad(ends, leaves[:2], torch.ones_like(ends))
    no_images, ones = images[:, :0], torch.ones(3, 2, 17 * 19, dtype=torch.float64)
    for module in (cpu, cpab_reference):
        gradients = module.adjoint(coefficients, steps, 20, points, no_images, ones, *mesh, True, False)
        for gradient, autograd in zip(gradients[:2], expected, strict=True):
            torch.testing.assert_close(gradient, autograd, rtol=1e-9, atol=1e-9)


def test_triton_kernels_equal_the_reference_in_the_triton_interpreter():
    """Needs no GPU; runs in a separate process because the interpreter is chosen when triton is imported."""
    pytest.importorskip("triton", reason="triton comes with torch for Linux only")
    script = """
import torch
from vitae.transforms.kernels import cpab_reference, gpu
from vitae.transforms import pixel_grid

generator = torch.Generator().manual_seed(0)
for dtype, tolerance in ((torch.float32, 2e-4), (torch.float64, 1e-10)):
    gamma = 0.2 * torch.randn(3, len(cpab_reference.free_components(2, 3, False)), generator=generator, dtype=dtype)
    coefficients = cpab_reference.coefficients_of(gamma, 2, 3, False)
    steps = torch.tensor([5, 9, 2], dtype=torch.int32)
    images = torch.rand(3, 2, 11, 13, generator=generator, dtype=dtype)
    scattered = 2.4 * torch.rand(3, 143, 2, generator=generator, dtype=dtype) - 1.2
    for points in (pixel_grid(11, 13, dtype=dtype)[None], scattered):
        mesh = (coefficients, steps)
        of_images = torch.randn(images.shape, generator=generator, dtype=dtype)
        of_ends = torch.randn(3, 2, 143, generator=generator, dtype=dtype)
        results = {}
        for module in (gpu, cpab_reference):
            results[module] = [
                module.flow(*mesh, points, 2, 3, 11, 13),
                module.sample(*mesh, points, images, 2, 3),
                *module.adjoint(*mesh, 9, points, images, of_images, 2, 3, True, True),
                *module.adjoint(*mesh, 9, points, images[:, :0], of_ends, 2, 3, True, False)[:2],
            ]
        for number, (kernel, reference) in enumerate(zip(results[gpu], results[cpab_reference], strict=True)):
            torch.testing.assert_close(
                kernel, reference, rtol=tolerance, atol=tolerance, msg=f"result {number} in {dtype}"
            )
print("equal")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "equal", done.stderr[-2000:]


@settings(max_examples=50)
@given(st.lists(st.floats(-3, 3, width=32), min_size=6, max_size=6), st.integers(0, 2**31))
def test_affine_kernels_equal_the_reference(values, seed):
    generator = torch.Generator().manual_seed(seed)
    gamma = torch.tensor([values, values[::-1]], dtype=torch.float64).requires_grad_()
    maps = affine_reference.expm(gamma)
    torch.testing.assert_close(cpu.expm(gamma.detach()), maps.detach(), rtol=1e-12, atol=1e-12)
    cotangent = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    (expected,) = torch.autograd.grad(maps, gamma, cotangent, retain_graph=True)
    torch.testing.assert_close(cpu.expm_adjoint(gamma.detach(), cotangent), expected, rtol=1e-9, atol=1e-9)

    images = torch.rand(2, 3, 6, 5, generator=generator, dtype=torch.float64).requires_grad_()
    points = (2.2 * torch.rand(2, 30, 2, generator=generator, dtype=torch.float64) - 1.1).requires_grad_()
    maps = maps.detach().requires_grad_()
    x, y = points.unbind(-1)
    a, b, c, d, tx, ty = maps[..., None].unbind(1)
    out = resample(images, torch.stack([a * x + b * y + tx, c * x + d * y + ty], -1))
    detached = [tensor.detach() for tensor in (maps, points, images)]
    torch.testing.assert_close(cpu.affine_sample(*detached), out.detach())
    cotangent = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    expected = torch.autograd.grad(out, (maps, points, images), cotangent)
    for gradient, autograd in zip(cpu.affine_adjoint(*detached, cotangent, True, True), expected, strict=True):
        torch.testing.assert_close(gradient, autograd, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("transformation", [CPAB((2, 4)), Affine()], ids=repr)
def test_fallback_without_kernels_warns_once_and_gives_the_same_results(transformation, monkeypatch, generator):
    gamma = (0.1 * torch.randn(2, transformation.dim, generator=generator)).requires_grad_()
    images = torch.rand(2, 3, 8, 8, generator=generator).requires_grad_()
    leaves = (gamma, images)
    with_kernels = transformation.warp(images, gamma)
    cotangent = torch.randn(with_kernels.shape, generator=generator)
    expected = torch.autograd.grad(with_kernels, leaves, cotangent)
    operators._load_kernels.cache_clear()
    monkeypatch.setitem(operators._KERNEL_MODULES, "cpu", ("vitae.transforms.kernels.no_such_kernels", "numba"))
    try:
        with pytest.warns(UserWarning, match="cpu run in plain torch, several times slower, because numba") as record:
            plain, _ = transformation.warp(images, gamma), transformation.warp(images, gamma)
        gradients = torch.autograd.grad(plain, leaves, cotangent)
    finally:
        operators._load_kernels.cache_clear()
    assert len(record) == 1
    torch.testing.assert_close(plain, with_kernels)
    for gradient, of_kernels in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, of_kernels, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("transformation", [CPAB((2, 4)), Affine()], ids=repr)
def test_points_that_are_not_finite_read_the_same_pixel_with_and_without_kernels(transformation, generator):
    gamma = 0.1 * torch.randn(1, transformation.dim, generator=generator)
    images = torch.rand(1, 2, 6, 6, generator=generator)
    points = pixel_grid(6, 6)
    points[3], points[4, 0], points[5, 1] = float("nan"), float("inf"), -float("inf")
    expected = resample(images, transformation.apply(gamma, points))
    torch.testing.assert_close(transformation.sample(images, gamma, points), expected)


def test_results_do_not_depend_on_threads_and_concurrent_calls_are_safe(generator):
    cpab = CPAB((2, 4))
    gamma = 0.2 * torch.randn(5, cpab.dim, generator=generator)
    images = torch.rand(5, 1, 20, 20, generator=generator)
    single_thread = cpab.warp(images, gamma)
    torch.set_num_threads(3)
    try:
        assert torch.equal(cpab.warp(images, gamma), single_thread)
        results = []
        callers = [threading.Thread(target=lambda: results.append(cpab.warp(images, gamma))) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert len(results) == 4
        assert all(torch.equal(result, single_thread) for result in results)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("transformation", [CPAB((2, 3)), Affine()], ids=repr)
def test_any_memory_layout_and_empty_inputs(transformation, generator):
    gamma = 0.1 * torch.randn(3, 2 * transformation.dim, generator=generator)[:, ::2]
    images = torch.rand(3, 9, 10, 2, generator=generator).permute(0, 3, 1, 2)
    points = torch.rand(2, 90, 3, generator=generator).permute(2, 1, 0)
    torch.testing.assert_close(
        transformation.sample(images, gamma, points),
        transformation.sample(images.contiguous(), gamma.contiguous(), points.contiguous()),
    )
    empty = torch.zeros(0, transformation.dim)
    assert transformation.apply(empty, pixel_grid(3, 3)).shape == (0, 9, 2)
    empty_leaf = empty.clone().requires_grad_()
    transformation.warp(torch.zeros(0, 1, 4, 4), empty_leaf).sum().backward()
    assert empty_leaf.grad.shape == empty.shape
    assert transformation.apply(gamma, torch.zeros(0, 2)).shape == (3, 0, 2)
    assert transformation.warp(torch.zeros(0, 1, 4, 4), empty).shape == (0, 1, 4, 4)
    no_channels = torch.zeros(3, 0, 64, 64, requires_grad=True)
    warped = transformation.warp(no_channels, gamma)
    assert warped.shape == (3, 0, 64, 64)
    warped.sum().backward()
    assert no_channels.grad.shape == (3, 0, 64, 64)
    leaf = gamma.clone().requires_grad_()
    transformation.apply(leaf, torch.zeros(0, 2)).sum().backward()
    assert leaf.grad.abs().max() == 0


# vmap, torch.compile and CUDA -------------------------------------------------------------------------------------


def stacked(transformation, generator):
    gamma = 0.1 * torch.randn(3, 2, transformation.dim, generator=generator, dtype=torch.float64)
    return gamma, torch.rand(3, 2, 1, 6, 7, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("transformation", [CPAB((2, 3)), Affine()], ids=repr)
def test_vmap_over_models_equals_a_loop(transformation, generator):
    gammas, images = stacked(transformation, generator)

    def loss(gamma, image):
        return transformation.warp(image, gamma).square().sum()

    def loop(function):
        return [torch.stack(results) for results in zip(*map(function, gammas, images), strict=True)]

    gradient = torch.func.grad(loss, argnums=(0, 1))
    for actual, expected in zip(torch.func.vmap(gradient)(gammas, images), loop(gradient), strict=True):
        torch.testing.assert_close(actual, expected)
    same_image = torch.func.vmap(gradient, in_dims=(0, None))(gammas, images[0])
    torch.testing.assert_close(same_image[1][2], gradient(gammas[2], images[0])[1])
    same_gamma = torch.func.vmap(gradient, in_dims=(None, 0))(gammas[0], images)
    torch.testing.assert_close(same_gamma[0][2], gradient(gammas[0], images[2])[0])
    last_dim = torch.func.vmap(transformation.warp, in_dims=(-1, 0), out_dims=1)(images.movedim(0, -1), gammas)
    torch.testing.assert_close(last_dim[:, 1], transformation.warp(images[1], gammas[1]))
    points = torch.rand(3, 5, 2, generator=generator, dtype=torch.float64)
    moved = torch.func.vmap(transformation.apply)(gammas, points)
    torch.testing.assert_close(moved[1], transformation.apply(gammas[1], points[1]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_models_and_batches_of_models_give_the_same_gradients(generator):
    cpab = CPAB((2, 3))
    gammas, images = stacked(cpab, generator)
    gammas.requires_grad_()

    def loss(gamma, image):
        return cpab.warp(image, gamma).square().sum()

    def losses(gamma, image):
        return torch.func.vmap(loss)(gamma, image).sum()

    (expected,) = torch.autograd.grad(losses(gammas, images), gammas)
    # The operators are opaque to the compiler, so any backend will do; this one needs no C++ compiler.
    compiled = torch.compile(losses, fullgraph=True, backend="aot_eager")
    (actual,) = torch.autograd.grad(compiled(gammas, images), gammas)
    torch.testing.assert_close(actual, expected)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    single = gammas[1].detach().requires_grad_()
    (actual,) = torch.autograd.grad(compiled(single, images[1]), single)
    torch.testing.assert_close(actual, expected[1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiling_vmap_of_grad_raises_an_error(generator):
    cpab = CPAB((2, 3))
    gammas, images = stacked(cpab, generator)
    gradient = torch.func.vmap(torch.func.grad(lambda gamma, image: cpab.warp(image, gamma).square().sum()))
    with pytest.raises(RuntimeError, match="functorch transforms"):
        torch.compile(gradient, fullgraph=True, backend="aot_eager")(gammas, images)


def test_operators_pass_torch_opcheck(generator):
    cpab = CPAB((2, 3))
    gammas, images = stacked(cpab, generator)
    gamma, points = gammas[0].requires_grad_(), pixel_grid(6, 7, dtype=torch.float64)[None]
    torch.library.opcheck(torch.ops.vitae.cpab_sample.default, (gamma, points, images[0], 2, 3, True, 0))
    torch.library.opcheck(torch.ops.vitae.cpab_flow.default, (gamma, points, 2, 3, True, 9, 6, 7))
    maps = Affine().matrix(torch.zeros(2, 6, dtype=torch.float64)).flatten(1)
    torch.library.opcheck(torch.ops.vitae.affine_sample.default, (maps.requires_grad_(), points, images[0]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("transformation", [CPAB((2, 4)), CPAB((2, 3), boundary="free", steps=12), Affine()], ids=repr)
def test_gpu_results_equal_cpu_results_without_synchronisation(transformation, generator):
    gamma = 0.2 * torch.randn(5, transformation.dim, generator=generator)
    images = torch.rand(5, 3, 30, 40, generator=generator)
    cotangent = torch.randn(images.shape, generator=generator)

    def warp(device):
        leaves = [tensor.to(device).requires_grad_() for tensor in (gamma, images)]
        out = transformation.warp(leaves[1], leaves[0])
        return out.detach(), *torch.autograd.grad(out, leaves, cotangent.to(device))

    warp("cuda")  # compiles the kernels and copies the family's constants
    on_gpu = [tensor.cuda() for tensor in (gamma, images)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        transformation.warp(on_gpu[1], on_gpu[0])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for gpu, expected in zip(warp("cuda"), warp("cpu"), strict=True):
        torch.testing.assert_close(gpu.cpu(), expected, rtol=1e-3, atol=1e-3)

"""Compiled kernels as operators of torch: differentiable, batched by `torch.func.vmap`, opaque to `torch.compile`.

Each operator is a pair of custom ops, one for the value and one for its adjoint, with shapes for tracing and a rule
for vmap (another batch dimension is more batch). What ties the pair is the op's registered autograd when
`torch.compile` traces, and an `autograd.Function` otherwise, because torch refuses registered autograd inside
`vmap(grad(f))` and traces such functions badly. Left to neither is `compile(vmap(grad(f)))`, which torch refuses with
a message of its own; a batch of models is compiled as `vmap(f)` with one `backward` through the sum of its losses.

Kernels are chosen by the device of the tensors: numba on the CPU, Triton on CUDA, and the plain torch of `flow` and
`exponential` where neither is to be had, which is said once.
"""

import importlib
import warnings
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

from vitae.support.errors import InputError, NotFiniteError, reason
from vitae.transforms.kernels import affine_reference, cpab_reference

_KERNELS = {"cpu": ("vitae.transforms.kernels.cpu", "numba"), "cuda": ("vitae.transforms.kernels.gpu", "triton")}


@lru_cache
def _kernels(device: str) -> ModuleType | None:
    if device not in _KERNELS:
        return None
    module, package = _KERNELS[device]
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError) as error:  # numba without a writable folder for its cache raises the latter
        warnings.warn(
            f"transformations on {device} run in plain torch, several times slower, because {package} cannot be "
            f"used here ({reason(error)}).",
            stacklevel=2,
        )
        return None


def has_kernels(like: Tensor) -> bool:
    """Whether tensors of this device and dtype have kernels here."""
    return like.dtype in (torch.float32, torch.float64) and _kernels(like.device.type) is not None


def on_cpu_kernels(like: Tensor) -> bool:
    """Whether the affine family's kernels, of which there are only those for the CPU, take this tensor."""
    return like.device.type == "cpu" and has_kernels(like)


# Not `torch.library.custom_op`, whose first call imports all of torch's compiler, seconds for each process.
_LIBRARY = torch.library.Library("vitae", "DEF")


def _define(name: str, function: Callable, result: Callable) -> Callable:
    """A function as an operator of torch, with shapes for tracing and a rule for vmap."""
    _LIBRARY.define(name + torch.library.infer_schema(function, mutates_args=()))
    _LIBRARY.impl(name, function, "CompositeExplicitAutograd")
    operation = getattr(torch.ops.vitae, name).default
    torch.library.register_fake(f"vitae::{name}", result, lib=_LIBRARY)
    torch.library.register_vmap(f"vitae::{name}", _as_more_batch(operation), lib=_LIBRARY)
    return operation


def _operator(name: str, forward: Callable, adjoint: Callable, result: Callable) -> Callable:
    """A differentiable function from a pair.

    Args:
        forward: of some tensors, batch first, then of numbers; one result.
        adjoint: of the same tensors, the result's cotangent, the same numbers, and `needs`, one bool for each tensor:
            the cotangent of each tensor, or `batch x 0` for those without need.
        result: an empty tensor like the result, from the same arguments.
    """
    do = _define(name, forward, result)

    def empty_cotangents(*arguments):
        tensors = [argument for argument in arguments if isinstance(argument, Tensor)][:-1]
        batch = len(tensors[0])
        return tuple(
            tensor.new_empty(batch, *tensor.shape[1:]) if need else tensor.new_empty(batch, 0)
            for tensor, need in zip(tensors, arguments[-1], strict=True)
        )

    undo = _define(f"{name}_adjoint", adjoint, empty_cotangents)

    def setup(ctx, inputs, output):
        ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))
        ctx.numbers = [value for value in inputs if not isinstance(value, Tensor)]

    def backward(ctx, cotangent, undo=undo):
        tensors = ctx.saved_tensors
        needs = list(ctx.needs_input_grad[: len(tensors)])
        found = undo(*tensors, cotangent, *ctx.numbers, needs)
        # Points that all samples share get the sum of what each sample gives them.
        fitting = [
            (grad.sum(0, keepdim=True) if len(tensor) == 1 != len(grad) else grad) if need else None
            for tensor, grad, need in zip(tensors, found, needs, strict=True)
        ]
        return *fitting, *(None for _ in ctx.numbers)

    torch.library.register_autograd(f"vitae::{name}", backward, setup_context=setup, lib=_LIBRARY)

    class Adjoint(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*arguments):
            return undo(*arguments)

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, *cotangents):
            raise InputError("transformations have no second derivatives: take gradients without create_graph.")

    class Operator(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*arguments):
            return do(*arguments)

        setup_context = staticmethod(setup)

        @staticmethod
        def backward(ctx, cotangent):
            return backward(ctx, cotangent, undo=Adjoint.apply)

    def apply(*arguments):
        return do(*arguments) if torch.compiler.is_compiling() else Operator.apply(*arguments)

    return apply


def _as_more_batch(operation: Callable) -> Callable:
    """The vmap rule: fold the new dimension into the batch; what is `1 x ...` and not mapped stays shared."""

    def rule(info, in_dims, *arguments):
        size = info.batch_size
        tensors = [(value, dim) for value, dim in zip(arguments, in_dims, strict=True) if isinstance(value, Tensor)]
        # The first tensor is the parameters: it has the whole batch, where points may be shared.
        first, dim = tensors[0]
        batch = first.shape[1 if dim == 0 else 0]

        def folded(value, dim):
            if not isinstance(value, Tensor) or (dim is None and len(value) == 1 != batch):
                return value
            value = value.expand(size, *value.shape) if dim is None else value.movedim(dim, 0)
            return value.expand(size, batch, *value.shape[2:]).reshape(size * batch, *value.shape[2:])

        found = operation(*map(folded, arguments, in_dims))
        if isinstance(found, Tensor):
            return found.unflatten(0, (size, -1)), 0
        return tuple(each.view(size, len(each) // size, *each.shape[1:]) for each in found), (0,) * len(found)

    return rule


def require_finite(gamma: Tensor) -> None:
    """Raise `NotFiniteError` for a gamma on the CPU with a value that is no finite number."""
    # On a GPU this would wait for the device in every call.
    if gamma.device.type == "cpu" and not gamma.isfinite().all():
        sample, component = (~gamma.isfinite()).nonzero()[0].tolist()
        raise NotFiniteError(
            f"component {component} of gamma is {gamma[sample, component].item()} in sample {sample}, and a "
            f"transformation needs finite numbers."
        )


_SAID: set[str] = set()


def _warn_once(subject: str, message: str) -> None:
    if subject not in _SAID:
        _SAID.add(subject)
        warnings.warn(message, stacklevel=2)


def _field(gamma: Tensor, rows: int, columns: int, slip: bool, steps: int) -> tuple[Tensor, Tensor]:
    """Cell coefficients and steps of each sample."""
    require_finite(gamma)
    coefficients = cpab_reference.coefficients_of(gamma, rows, columns, slip)
    steepness = cpab_reference.steepness(coefficients, rows, columns)
    taken = cpab_reference.steps_of(steepness, steps)
    if gamma.device.type == "cpu" and (cpab_reference.STEPS_AGAINST_FOLDS * steepness > taken).any():
        _warn_once(
            "steepness",
            f"a velocity field of steepness {steepness.max():.1f} is too steep for {taken.max()} steps: the map may "
            f"fold where its flow does not. Give CPAB more steps, or keep gamma smaller.",
        )
    return coefficients, taken


def _only_needed(cotangents: tuple[Tensor, ...], needs: list[bool]) -> tuple[Tensor, ...]:
    return tuple(each if need else each.new_empty(len(each), 0) for each, need in zip(cotangents, needs, strict=True))


def kernels_for(tensor: Tensor) -> ModuleType:
    """What moves CPAB points of this device and dtype: a module of kernels, or the reference."""
    return _kernels(tensor.device.type) if has_kernels(tensor) else cpab_reference


def _flow(
    gamma: Tensor, points: Tensor, rows: int, columns: int, slip: bool, steps: int, height: int, width: int
) -> Tensor:
    field = _field(gamma, rows, columns, slip, steps)
    return kernels_for(points).moved(*field, points, rows, columns, height, width)


def _flow_adjoint(
    gamma: Tensor,
    points: Tensor,
    cotangent: Tensor,
    rows: int,
    columns: int,
    slip: bool,
    steps: int,
    height: int,
    width: int,
    needs: list[bool],
) -> tuple[Tensor, Tensor]:
    no_images = points.new_empty(len(gamma), 0, height, width)
    return _adjoint(gamma, points, no_images, cotangent.mT, (rows, columns, slip, steps), [*needs, False])[:2]


def _sample(gamma: Tensor, points: Tensor, images: Tensor, rows: int, columns: int, slip: bool, steps: int) -> Tensor:
    field = _field(gamma, rows, columns, slip, steps)
    if images.shape[1] == 0:
        return images.new_empty(images.shape)
    return kernels_for(points).sample(*field, points, images, rows, columns)


def _sample_adjoint(
    gamma: Tensor,
    points: Tensor,
    images: Tensor,
    cotangent: Tensor,
    rows: int,
    columns: int,
    slip: bool,
    steps: int,
    needs: list[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    if images.shape[1] == 0:
        shapes = (gamma.shape, (len(gamma), *points.shape[1:]), images.shape)
        return _only_needed(tuple(map(gamma.new_zeros, shapes)), needs)
    return _adjoint(gamma, points, images, cotangent, (rows, columns, slip, steps), needs)


def _adjoint(
    gamma: Tensor,
    points: Tensor,
    images: Tensor,
    cotangent: Tensor,
    mesh: tuple[int, int, bool, int],
    needs: list[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """Of images read where points end; with images of no channels, of where points end."""
    rows, columns, slip, steps = mesh
    field = _field(gamma, *mesh)
    of_field, of_points, of_images = kernels_for(points).adjoint(
        *field, steps or cpab_reference.MOST_STEPS, points, images, cotangent, rows, columns, needs[1], needs[2]
    )
    of_gamma = of_field.flatten(1) @ cpab_reference.matrix(rows, columns, slip, gamma.dtype, gamma.device).mT
    return _only_needed((of_gamma, of_points, of_images), needs)


cpab_flow = _operator(
    "cpab_flow",
    _flow,
    _flow_adjoint,
    lambda gamma, points, *_: points.new_empty(len(gamma), points.shape[1], 2),
)
cpab_sample = _operator(
    "cpab_sample", _sample, _sample_adjoint, lambda gamma, points, images, *_: images.new_empty(images.shape)
)


def _expm(gamma: Tensor) -> Tensor:
    require_finite(gamma)
    return _kernels("cpu").expm(gamma)


def _expm_adjoint(gamma: Tensor, cotangent: Tensor, needs: list[bool]) -> tuple[Tensor]:
    return (_kernels("cpu").expm_adjoint(gamma, cotangent),)


def _affine_sample(maps: Tensor, points: Tensor, images: Tensor) -> Tensor:
    return _kernels(points.device.type).affine_sample(maps, points, images)


def _affine_sample_adjoint(
    maps: Tensor, points: Tensor, images: Tensor, cotangent: Tensor, needs: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    found = _kernels(points.device.type).affine_adjoint(maps, points, images, cotangent, needs[1], needs[2])
    return _only_needed(found, needs)


_expm_on_cpu = _operator("affine_expm", _expm, _expm_adjoint, lambda gamma: torch.empty_like(gamma))
affine_sample = _operator(
    "affine_sample", _affine_sample, _affine_sample_adjoint, lambda maps, points, images: images.new_empty(images.shape)
)


def affine_map(gamma: Tensor) -> Tensor:
    """`affine_reference.expm`, by its kernel where there is one: `batch x 6` to `batch x 6`."""
    if on_cpu_kernels(gamma):
        return _expm_on_cpu(gamma)
    return affine_reference.expm(gamma)

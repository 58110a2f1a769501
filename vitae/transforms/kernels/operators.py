"""The kernels as torch operators: differentiable, batched by `torch.func.vmap`, opaque to `torch.compile`.

Each operator is a pair of custom ops, one for the value and one for its adjoint, each with a shape function for tracing
and a vmap rule that folds the mapped dimension into the batch. Under `torch.compile` the pair is tied together by the
op's registered autograd, otherwise by an `autograd.Function`: torch does not support registered autograd inside
`vmap(grad(f))`, and traces autograd functions poorly. Neither covers `compile(vmap(grad(f)))`, for which torch raises
its own error; to compile a batch of models, use `vmap(f)` and one `backward` through the sum of the losses.

The device of the tensors selects the kernels: numba on the CPU, Triton on CUDA, and otherwise the plain torch of
`cpab_reference` and `affine_reference`, with one warning.
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

_KERNEL_MODULES = {"cpu": ("vitae.transforms.kernels.cpu", "numba"), "cuda": ("vitae.transforms.kernels.gpu", "triton")}


@lru_cache
def _load_kernels(device: str) -> ModuleType | None:
    if device not in _KERNEL_MODULES:
        return None
    module, package = _KERNEL_MODULES[device]
    try:
        return importlib.import_module(module)
    except ValueError as error:
        raise InputError(
            f"{package} does not start ({reason(error)}): correct the variables {package.upper()}_... of this shell."
        ) from None
    except (ImportError, RuntimeError) as error:  # numba without a writable folder for its cache raises the latter
        warnings.warn(
            f"transformations on {device} run in plain torch, several times slower, because {package} cannot be "
            f"used here ({reason(error)}).",
            stacklevel=2,
        )
        return None


def has_kernels(like: Tensor) -> bool:
    """Whether there are kernels for the tensor's device and dtype on this machine."""
    return like.dtype in (torch.float32, torch.float64) and _load_kernels(like.device.type) is not None


def has_cpu_kernels(like: Tensor) -> bool:
    """Whether the affine kernels, which exist for the CPU only, support the tensor."""
    return like.device.type == "cpu" and has_kernels(like)


# Not `torch.library.custom_op`: its first call imports torch's whole compiler, which takes seconds in every process.
_LIBRARY = torch.library.Library("vitae", "DEF")


def _define(name: str, function: Callable, empty_result: Callable) -> Callable:
    """Register a function as a torch operator, with a shape function for tracing and a vmap rule."""
    _LIBRARY.define(name + torch.library.infer_schema(function, mutates_args=()))
    _LIBRARY.impl(name, function, "CompositeExplicitAutograd")
    operation = getattr(torch.ops.vitae, name).default
    torch.library.register_fake(f"vitae::{name}", empty_result, lib=_LIBRARY)
    torch.library.register_vmap(f"vitae::{name}", _vmap_rule(operation), lib=_LIBRARY)
    return operation


def _differentiable(name: str, forward: Callable, adjoint: Callable, empty_result: Callable) -> Callable:
    """Register a forward function and its adjoint, and tie them into one differentiable function.

    Args:
        forward: takes tensors with a batch dimension, then numbers; returns one tensor.
        adjoint: takes the same tensors, the cotangent of the result, the same numbers, and `needs`, one bool per
            tensor; returns the gradient of each tensor, or `batch x 0` for tensors that need none.
        empty_result: takes the arguments of `forward` and returns an empty tensor of the result's shape and type.
    """
    forward_op = _define(name, forward, empty_result)

    def empty_gradients(*arguments):
        tensors = [argument for argument in arguments if isinstance(argument, Tensor)][:-1]
        batch = len(tensors[0])
        return tuple(
            tensor.new_empty(batch, *tensor.shape[1:]) if need else tensor.new_empty(batch, 0)
            for tensor, need in zip(tensors, arguments[-1], strict=True)
        )

    adjoint_op = _define(f"{name}_cpab_adjoint", adjoint, empty_gradients)

    def setup(ctx, inputs, output):
        ctx.save_for_backward(*(value for value in inputs if isinstance(value, Tensor)))
        ctx.numbers = [value for value in inputs if not isinstance(value, Tensor)]

    def backward(ctx, cotangent, adjoint_op=adjoint_op):
        tensors = ctx.saved_tensors
        needs = list(ctx.needs_input_grad[: len(tensors)])
        gradients = adjoint_op(*tensors, cotangent, *ctx.numbers, needs)
        # The gradient of points that all samples share is the sum over the samples.
        of_inputs = [
            (grad.sum(0, keepdim=True) if len(tensor) == 1 != len(grad) else grad) if need else None
            for tensor, grad, need in zip(tensors, gradients, needs, strict=True)
        ]
        return *of_inputs, *(None for _ in ctx.numbers)

    torch.library.register_autograd(f"vitae::{name}", backward, setup_context=setup, lib=_LIBRARY)

    class Adjoint(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*arguments):
            return adjoint_op(*arguments)

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, *cotangents):
            raise InputError("transformations have no second derivatives: compute gradients without create_graph.")

    class Operator(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*arguments):
            return forward_op(*arguments)

        setup_context = staticmethod(setup)

        @staticmethod
        def backward(ctx, cotangent):
            return backward(ctx, cotangent, adjoint_op=Adjoint.apply)

    def apply(*arguments):
        return forward_op(*arguments) if torch.compiler.is_compiling() else Operator.apply(*arguments)

    return apply


def _vmap_rule(operation: Callable) -> Callable:
    """A vmap rule that folds the mapped dimension into the batch; unmapped tensors `1 x ...` stay shared."""

    def rule(info, in_dims, *arguments):
        size = info.batch_size
        tensors = [(value, dim) for value, dim in zip(arguments, in_dims, strict=True) if isinstance(value, Tensor)]
        # The first tensor holds the parameters, which always have the full batch, while points may be shared.
        first, dim = tensors[0]
        batch = first.shape[1 if dim == 0 else 0]

        def fold(value, dim):
            if not isinstance(value, Tensor) or (dim is None and len(value) == 1 != batch):
                return value
            value = value.expand(size, *value.shape) if dim is None else value.movedim(dim, 0)
            return value.expand(size, batch, *value.shape[2:]).reshape(size * batch, *value.shape[2:])

        result = operation(*map(fold, arguments, in_dims))
        if isinstance(result, Tensor):
            return result.unflatten(0, (size, -1)), 0
        return tuple(each.view(size, len(each) // size, *each.shape[1:]) for each in result), (0,) * len(result)

    return rule


def require_finite(gamma: Tensor) -> None:
    """Raise `NotFiniteError` if a gamma on the CPU contains NaN or infinity."""
    # On a GPU this check would synchronise with the device in every call.
    if gamma.device.type == "cpu" and not gamma.isfinite().all():
        sample, component = (~gamma.isfinite()).nonzero()[0].tolist()
        raise NotFiniteError(
            f"gamma must be finite, but component {component} of sample {sample} is {gamma[sample, component].item()}."
        )


_WARNED: set[str] = set()


def _warn_once(subject: str, message: str) -> None:
    if subject not in _WARNED:
        _WARNED.add(subject)
        warnings.warn(message, stacklevel=2)


def _field(gamma: Tensor, rows: int, columns: int, slip: bool, steps: int) -> tuple[Tensor, Tensor]:
    """Cell coefficients, `batch x cells x 10`, and number of steps, `batch`, of each sample."""
    require_finite(gamma)
    coefficients = cpab_reference.coefficients_of(gamma, rows, columns, slip)
    lipschitz = cpab_reference.lipschitz_constant(coefficients, rows, columns)
    taken = cpab_reference.steps_of(lipschitz, steps)
    if gamma.device.type == "cpu" and (cpab_reference.FOLDING_STEPS_PER_LIPSCHITZ * lipschitz > taken).any():
        _warn_once(
            "folding",
            f"{taken.max()} steps are too few for a velocity field with Lipschitz constant {lipschitz.max():.1f}: the "
            f"integrated map may fold. Give CPAB more steps, or keep gamma smaller.",
        )
    return coefficients, taken


def _only_needed(cotangents: tuple[Tensor, ...], needs: list[bool]) -> tuple[Tensor, ...]:
    return tuple(each if need else each.new_empty(len(each), 0) for each, need in zip(cotangents, needs, strict=True))


def kernels_for(tensor: Tensor) -> ModuleType:
    """The module that integrates CPAB flows for the tensor's device and dtype: the kernels, or the reference."""
    return _load_kernels(tensor.device.type) if has_kernels(tensor) else cpab_reference


def _cpab_flow(
    gamma: Tensor, points: Tensor, rows: int, columns: int, slip: bool, steps: int, height: int, width: int
) -> Tensor:
    field = _field(gamma, rows, columns, slip, steps)
    return kernels_for(points).flow(*field, points, rows, columns, height, width)


def _cpab_flow_adjoint(
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
    return _cpab_adjoint(gamma, points, no_images, cotangent.mT, (rows, columns, slip, steps), [*needs, False])[:2]


def _cpab_sample(
    gamma: Tensor, points: Tensor, images: Tensor, rows: int, columns: int, slip: bool, steps: int
) -> Tensor:
    field = _field(gamma, rows, columns, slip, steps)
    if images.shape[1] == 0:
        return images.new_empty(images.shape)
    return kernels_for(points).sample(*field, points, images, rows, columns)


def _cpab_sample_adjoint(
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
    return _cpab_adjoint(gamma, points, images, cotangent, (rows, columns, slip, steps), needs)


def _cpab_adjoint(
    gamma: Tensor,
    points: Tensor,
    images: Tensor,
    cotangent: Tensor,
    mesh: tuple[int, int, bool, int],
    needs: list[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """The adjoint of `_cpab_sample`, or of `_cpab_flow` if images have no channels."""
    rows, columns, slip, steps = mesh
    field = _field(gamma, *mesh)
    grad_field, grad_points, grad_images = kernels_for(points).adjoint(
        *field, steps or cpab_reference.MAX_STEPS, points, images, cotangent, rows, columns, needs[1], needs[2]
    )
    grad_gamma = (
        grad_field.flatten(1) @ cpab_reference.coefficient_matrix(rows, columns, slip, gamma.dtype, gamma.device).mT
    )
    return _only_needed((grad_gamma, grad_points, grad_images), needs)


cpab_flow = _differentiable(
    "cpab_flow",
    _cpab_flow,
    _cpab_flow_adjoint,
    lambda gamma, points, *_: points.new_empty(len(gamma), points.shape[1], 2),
)
cpab_sample = _differentiable(
    "cpab_sample", _cpab_sample, _cpab_sample_adjoint, lambda gamma, points, images, *_: images.new_empty(images.shape)
)


def _expm(gamma: Tensor) -> Tensor:
    require_finite(gamma)
    return _load_kernels("cpu").expm(gamma)


def _expm_adjoint(gamma: Tensor, cotangent: Tensor, needs: list[bool]) -> tuple[Tensor]:
    return (_load_kernels("cpu").expm_adjoint(gamma, cotangent),)


def _affine_sample(maps: Tensor, points: Tensor, images: Tensor) -> Tensor:
    return _load_kernels(points.device.type).affine_sample(maps, points, images)


def _affine_sample_adjoint(
    maps: Tensor, points: Tensor, images: Tensor, cotangent: Tensor, needs: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    gradients = _load_kernels(points.device.type).affine_adjoint(maps, points, images, cotangent, needs[1], needs[2])
    return _only_needed(gradients, needs)


_expm_on_cpu = _differentiable("affine_expm", _expm, _expm_adjoint, lambda gamma: torch.empty_like(gamma))
affine_sample = _differentiable(
    "affine_sample", _affine_sample, _affine_sample_adjoint, lambda maps, points, images: images.new_empty(images.shape)
)


def affine_map(gamma: Tensor) -> Tensor:
    """`affine_reference.expm`, `batch x 6` to `batch x 6`, compiled where there are kernels."""
    if has_cpu_kernels(gamma):
        return _expm_on_cpu(gamma)
    return affine_reference.expm(gamma)

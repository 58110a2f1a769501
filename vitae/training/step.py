"""One training step of one run, or of several runs at once.

The weights of all runs are stacked into one tensor a layer, and `torch.func.vmap` turns the forward pass of one model
into the pass of all of them, so that ten small matrix products become one batched product. What differs between runs
is passed as tensors with the run as first dimension: images, noise, KL weights and strengths. Each run keeps its own
model, whose parameters are views of the stacked tensors, and its own part of the optimiser's state, so its checkpoint
and weights are the same as if it had trained alone, and so are its numbers, up to rounding.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from vitae.data.dataset import Shuffled, as_floats
from vitae.models.base import GenerativeModel, Output
from vitae.models.objectives import elbo_per_image, loss_of
from vitae.support.devices import precision
from vitae.support.errors import NotFiniteError
from vitae.support.randomness import PredrawnNoise, generator
from vitae.training.cuda_graph import GraphedFunction
from vitae.training.schedule import Schedule

# Adam's state of each parameter, by torch's names.
MOMENTS = ("exp_avg", "exp_avg_sq")

# A training's curves have this many points, however long it is.
CURVE_POINTS = 50


class TrainingImages(Protocol):
    """What training needs of a dataset: its size, and the shuffled uint8 images of an epoch, to take slices of."""

    def __len__(self) -> int: ...

    def epoch(self, seed: int, number: int) -> Tensor | Shuffled: ...


@dataclass
class Progress:
    """How far a run is, and what it measured on the way.

    Attributes:
        step: number of steps done.
        seconds: of training so far, earlier sessions included; runs that train together share them equally.
        losses: mean loss of each epoch, in nats per image.
        loss_sum: of the steps in the unfinished epoch.
        elbo_sum: of the steps in the unfinished epoch.
        elbo: mean over the last finished epoch, in nats per image.
        diverged: the step in which the loss stopped being finite; None if it never did.
        curves: KL of each latent, in nats, and the model's own terms, over the training: `CURVE_POINTS` means over
            equal parts of the steps, or one point a step if there are fewer steps.
        held_out: ELBO of held-out images in nats after each of `vitae.training.convergence.checks`.
    """

    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    loss_sum: float = 0.0
    elbo_sum: float = 0.0
    elbo: float | None = None
    diverged: int | None = None
    curves: dict[str, list[float]] = field(default_factory=dict)
    held_out: list[float] = field(default_factory=list)

    def contradiction(self, schedule: Schedule, images: int) -> str:
        """How a progress that was read contradicts its schedule and number of images; "" if it does not."""
        per_epoch = images // min(schedule.batch, images)
        total = schedule.epochs * per_epoch
        if self.step > total:
            return f"is at step {self.step:,} of {total:,}"
        if self.diverged is not None:
            return "" if self.diverged <= total else f"diverged in step {self.diverged:,} of {total:,}"
        if len(self.losses) != self.step // per_epoch:
            return f"has losses of {len(self.losses):,} epochs, but is in epoch {self.step // per_epoch:,}"
        if (self.elbo is None) != (self.step < per_epoch):
            return "has an ELBO from before its first epoch" if self.step < per_epoch else "lacks elbo"
        return ""

    def add_to_curves(self, values: dict[str, float], step: int, total: int) -> None:
        """Add the values of one of `total` steps to the mean of the point that the step belongs to."""
        points = min(CURVE_POINTS, total)
        point = step * points // total
        # The number of steps that the division above assigns to this point.
        steps = -(-(point + 1) * total // points) - -(-point * total // points)
        for name, value in values.items():
            means = self.curves.setdefault(name, [])
            means.extend([0.0] * (point + 1 - len(means)))
            means[point] += value / steps


@dataclass(eq=False)
class Run:
    """One run: a model on the device that it trains on, and what its numbers depend on.

    Attributes:
        seed: of order, perspectives and noise. The model's initial weights are the caller's.
        strengths: the objective's own numbers, for instance `{"beta": 4.0}`.
        fingerprint: identifies the configuration and the data; a checkpoint with another one is refused.
        log: a text file that gets a line an epoch; None for none.
    """

    name: str
    model: GenerativeModel
    seed: int
    schedule: Schedule
    strengths: dict[str, float] = field(default_factory=dict)
    fingerprint: str = ""
    log: Path | None = None
    progress: Progress = field(default_factory=Progress)


class RunGroup:
    """Runs that take each step together, on one device, in one thread.

    Their schedules may differ in rates and KL annealing but not in length or batch; their models may differ in weights
    but not in shape.
    """

    def __init__(
        self, runs: Sequence[Run], images: TrainingImages, objective: str | Callable[..., Tensor], precision: str
    ):
        self.runs = list(runs)
        self.device = next(runs[0].model.parameters()).device
        self._images, self._loss, self._precision = images, loss_of(objective), precision
        self.batch = min(runs[0].schedule.batch, len(images))
        self.steps_per_epoch = len(images) // self.batch
        self.total_steps = runs[0].schedule.epochs * self.steps_per_epoch
        self._epoch: int | None = None
        # Losses, ELBOs and curves of the steps since the last `collect`, still on the device.
        self._uncollected: list[Tensor] = []
        self._curve_names: list[str] = []
        self._noise_shapes: list[torch.Size] | None = None
        self._optimiser = self._new_optimiser()
        self._stack()

    def _new_optimiser(self) -> torch.optim.Adam:
        # One parameter group a run, so that each may have its own learning rate.
        return torch.optim.Adam([{"params": list(run.model.parameters())} for run in self.runs], fused=True)

    def _stack(self) -> None:
        """Stack the weights of all runs, and prepare what every step reads."""
        models = [run.model for run in self.runs]
        self._parameters, self._buffers = stack_module_state(models) if len(models) > 1 else ({}, {})
        # Name -> the parameters that become views of the stacked tensor's rows.
        self._views = {name: [model.get_parameter(name) for model in models] for name in self._parameters}
        for name, values in self._parameters.items():
            for own, row in zip(self._views[name], values.detach(), strict=True):
                own.data = row
        self._leaves = list(self._parameters.values()) or list(models[0].parameters())
        for name, values in self._buffers.items():
            for model, row in zip(models, values, strict=True):
                model.get_buffer(name).data = row
        schedules = [run.schedule for run in self.runs]
        progress = [step / self.total_steps for step in range(self.total_steps)]
        # For all steps at once: sending one number to a GPU takes longer than a step's arithmetic with it.
        kl_weights = [[schedule.kl_weight_at(part) for schedule in schedules] for part in progress]
        self._kl_weights = torch.tensor(kl_weights, device=self.device)
        self._strengths = {
            name: torch.tensor([float(run.strengths[name]) for run in self.runs], device=self.device)
            for name in self.runs[0].strengths
        }
        self._graphed_pass = GraphedFunction(self._forward_and_backward, self.device)

    def moments(self, run: Run) -> dict[str, dict[str, Tensor]]:
        """Adam's running means of a run's gradients and of their squares, by the parameter's name."""
        states = {name: self._optimiser.state.get(parameter) for name, parameter in run.model.named_parameters()}
        return {name: {kind: state[kind] for kind in MOMENTS} for name, state in states.items() if state}

    def restore(self, run: Run, moments: dict[str, dict[str, Tensor]]) -> None:
        """Restore the optimiser's state, as `moments` returned it after `run.progress.step` steps."""
        for name, parameter in run.model.named_parameters():
            if name in moments:
                state = {kind: moments[name][kind].to(self.device) for kind in MOMENTS}
                step = torch.tensor(float(run.progress.step), device=self.device)
                self._optimiser.state[parameter] = {"step": step, **state}

    def steps(self, numbers: Iterable[int]) -> None:
        """Several steps of every run, in order."""
        for number in numbers:
            self.step(number)

    def step(self, number: int) -> None:
        """One step of every run. Runs that fail in it are dropped, and the step is repeated for the others."""
        while self.runs:
            images = self._images_of(number)
            noise = self._noise_of(number, images)
            try:
                self._uncollected.append(self._graphed_pass(images, noise, self._kl_weights[number]))
            except NotFiniteError:
                self._drop_failed(number, images, noise)
            else:
                self._update(number)
                return

    def _images_of(self, number: int) -> Tensor:
        """The images of a step, uint8, `runs x batch x channels x height x width`."""
        epoch, position = divmod(number, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._epoch_images = {run.name: self._images.epoch(run.seed, epoch) for run in self.runs}
        batch = slice(position * self.batch, (position + 1) * self.batch)
        return torch.stack([self._epoch_images[run.name][batch] for run in self.runs])

    def _noise_of(self, number: int, images: Tensor) -> list[Tensor]:
        """The noise of a step: for each draw that the model makes, that of all runs, `runs x batch x ...`."""
        if self._noise_shapes is None:
            recorder, model = _ShapeRecorder(), self.runs[0].model
            # In evaluation mode, so that layers with running statistics do not see these zeros.
            model.eval()
            with torch.no_grad():
                output = model(torch.zeros(self.batch, *images.shape[2:], device=self.device), recorder)
            model.train()
            self._curve_names = [*(f"KL {latent.name}" for latent in model.latents), *output.terms]
            self._noise_shapes = recorder.shapes
        generators = [generator(self.device, run.seed, "noise", number) for run in self.runs]
        return [
            torch.stack([torch.randn(shape, generator=each, device=self.device) for each in generators])
            for shape in self._noise_shapes
        ]

    def _forward_and_backward(self, images: Tensor, noise: list[Tensor], kl_weights: Tensor) -> Tensor:
        """Losses, ELBOs and the points of the curves, a row each, `... x runs`; leaves the losses' gradients."""
        x = as_floats(images)
        with precision(self._precision, self.device):
            if len(self.runs) == 1:
                strengths = {name: values[0] for name, values in self._strengths.items()}
                output = self.runs[0].model(x[0], PredrawnNoise(piece[0] for piece in noise))
                losses, watched = (value[None] for value in self._losses(output, kl_weights[0], strengths))
            else:
                arguments = (self._parameters, self._buffers, x, noise, kl_weights, self._strengths)
                losses, watched = vmap(self._pass_of_one)(*arguments)
        for parameter in self._leaves:
            parameter.grad = None
        losses.sum().backward()
        for name, values in self._parameters.items():
            if values.grad is not None:
                for own, row in zip(self._views[name], values.grad, strict=True):
                    own.grad = row
        return torch.cat([losses.detach()[None], watched.T.to(losses.dtype)])

    def _pass_of_one(self, parameters, buffers, x, noise, kl_weight, strengths) -> tuple[Tensor, Tensor]:
        output = functional_call(self.runs[0].model, (parameters, buffers), (x, PredrawnNoise(noise)))
        return self._losses(output, kl_weight, strengths)

    def _losses(self, output: Output, kl_weight: Tensor, strengths: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The loss, and what is watched: the ELBO, the KL of each latent and the model's own terms."""
        with torch.no_grad():
            divergence = output.latents.kl_to_prior().mean(0)
            watched = torch.cat(
                [elbo_per_image(output).mean()[None], divergence, *(t[None] for t in output.terms.values())]
            )
        return self._loss(output, kl_weight=kl_weight, **strengths), watched

    def _update(self, number: int) -> None:
        for group, run in zip(self._optimiser.param_groups, self.runs, strict=True):
            group["lr"] = run.schedule.learning_rate_at(number / self.total_steps)
        self._optimiser.step()

    def collect(self, done: int) -> None:
        """Bring the losses of the last steps to the host, now that `done` are done, and drop runs that diverged.

        On a GPU this waits for all work before it, so it is called once an epoch and before a checkpoint.
        """
        if self._uncollected:
            values = torch.stack(self._uncollected)
            weights = torch.stack(
                [
                    torch.stack([parameter.detach().sum() for parameter in run.model.parameters()]).sum()
                    for run in self.runs
                ]
            )
            finite = torch.cat([values[:, 0], weights[None].to(values)]).isfinite().tolist()
            first = done - len(self._uncollected)
            self._uncollected.clear()
            for n, run in enumerate(self.runs):
                own = [row[n] for row in finite]
                if not all(own):
                    run.progress.diverged = min(first + own.index(False), done - 1)
                    continue
                # One by one, so that the sum does not depend on how many steps are collected at once.
                for step, (loss, elbo, *others) in enumerate(values[:, :, n].tolist(), first):
                    run.progress.loss_sum += loss
                    run.progress.elbo_sum += elbo
                    watched = dict(zip(self._curve_names, others, strict=True))
                    run.progress.add_to_curves(watched, step, self.total_steps)
        for run in self.runs:
            run.progress.step = done
        self._drop_diverged()

    def finish_epoch(self) -> None:
        """Compute the means of an epoch, after its last step was collected."""
        for run in self.runs:
            progress = run.progress
            progress.losses.append(progress.loss_sum / self.steps_per_epoch)
            progress.elbo = progress.elbo_sum / self.steps_per_epoch
            progress.loss_sum = progress.elbo_sum = 0.0

    def _drop_failed(self, number: int, images: Tensor, noise: list[Tensor]) -> None:
        """Find the runs that made a step fail, by repeating it for each run alone, and drop them."""
        before = len(self.runs)
        by_run = {run.name: (images[n], [piece[n] for piece in noise]) for n, run in enumerate(self.runs)}
        self.collect(number)
        for run in self.runs:
            own_images, own_noise = by_run[run.name]
            try:
                with torch.no_grad(), precision(self._precision, self.device):
                    run.model(as_floats(own_images), PredrawnNoise(own_noise))
            except NotFiniteError:
                run.progress.diverged = number
        self._drop_diverged()
        if len(self.runs) == before:
            raise NotFiniteError(f"step {number} failed with numbers that are not finite, but no run failed alone.")

    def _drop_diverged(self) -> None:
        finite = [run for run in self.runs if run.progress.diverged is None]
        if len(finite) == len(self.runs):
            return
        self.runs, state = finite, self._optimiser.state
        if finite:
            self._optimiser = self._new_optimiser()
            parameters = {parameter for run in finite for parameter in run.model.parameters()}
            self._optimiser.state.update({key: value for key, value in state.items() if key in parameters})
            self._stack()


class _ShapeRecorder(PredrawnNoise):
    """Records the shapes of the noise that a model asks for, and returns zeros."""

    def __init__(self):
        self.shapes: list[torch.Size] = []

    def next_like(self, tensor: Tensor) -> Tensor:
        self.shapes.append(tensor.shape)
        return torch.zeros_like(tensor)

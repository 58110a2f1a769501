"""Several runs of one experiment that take each step together, each with its own numbers.

The weights of all runs lie in one tensor a layer, and `torch.func.vmap` turns the pass of one model into the pass of
all, so that ten small matrix products become one batched one. What differs between the runs goes in as tensors with
the run as first dimension: images, noise, the weight of the KL, the objective's strengths. Each run keeps its own
model, whose parameters are views of the common tensors, and its own part of the optimiser, so that afterwards, and in a
checkpoint, nothing tells that it was not alone; its numbers are those it gets alone, but for rounding.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from vitae.compute import Ranks, Recorded, precision
from vitae.data.base import Shuffled, as_floats
from vitae.errors import NotFiniteError
from vitae.models.base import GenerativeModel, Output
from vitae.objectives import OBJECTIVES, elbo_per_image
from vitae.randomness import Drawn, generator
from vitae.schedule import Schedule

# What Adam keeps of each parameter, by torch's names.
MOMENTS = ("exp_avg", "exp_avg_sq")

# Parts of a training, of each of which a mean is kept, however long it is.
PARTS = 50


class TrainingImages(Protocol):
    """What training needs of a dataset: its size, and the shuffled uint8 images of an epoch, to take slices of."""

    def __len__(self) -> int: ...

    def epoch(self, seed: int, number: int) -> Tensor | Shuffled: ...


@dataclass
class Progress:
    """What a checkpoint knows of a run beside its weights.

    Attributes:
        step: how many are done.
        seconds: spent so far, earlier sessions included; of runs that train together, each one's share.
        losses: each epoch's mean, in nats per image.
        loss_sum: over the steps of the epoch that is not finished yet.
        elbo_sum: the same of the ELBO.
        elbo: the mean over the last epoch that is finished, in nats per image.
        diverged: the step in which the loss stopped being finite, if it did.
        course: of the KL of each latent, in nats, and of the model's own terms, the mean over each of `PARTS` parts of
            the training, or of each step where there are fewer.
    """

    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    loss_sum: float = 0.0
    elbo_sum: float = 0.0
    elbo: float | None = None
    diverged: int | None = None
    course: dict[str, list[float]] = field(default_factory=dict)

    def take(self, values: dict[str, float], step: int, last: int) -> None:
        """Add what a step of `last` has found to the mean of its part."""
        parts = min(PARTS, last)
        part = step * parts // last
        # The steps of a part are those that the division above gives its number.
        steps = -(-(part + 1) * last // parts) - -(-part * last // parts)
        for name, value in values.items():
            means = self.course.setdefault(name, [])
            means.extend([0.0] * (part + 1 - len(means)))
            means[part] += value / steps


@dataclass(eq=False)
class Run:
    """One run: a model on the device to train on, and what its numbers depend on.

    Attributes:
        seed: of order, perspectives and noise. The model's initial weights are the caller's.
        strength: the objective's own numbers, for instance `{"beta": 4.0}`.
        fingerprint: names the configuration; a checkpoint of another one is refused.
        log: a text file that gets a line an epoch; None for none.
    """

    name: str
    model: GenerativeModel
    seed: int
    schedule: Schedule
    strength: dict[str, float] = field(default_factory=dict)
    fingerprint: str = ""
    log: Path | None = None
    progress: Progress = field(default_factory=Progress)


class Together:
    """Runs that take each step together, on one device, in one thread.

    Their schedules differ in rates and weights, not in length or batch; their models in weights, not in shape.
    """

    def __init__(self, runs: Sequence[Run], images: TrainingImages, objective: str, precision: str, ranks: Ranks):
        self.runs = list(runs)
        self.device = next(runs[0].model.parameters()).device
        self._images, self._loss_of, self._precision, self._ranks = images, OBJECTIVES[objective], precision, ranks
        self.batch = min(runs[0].schedule.batch, len(images))
        self.steps_an_epoch = len(images) // self.batch
        self.last = runs[0].schedule.epochs * self.steps_an_epoch
        self._epoch: int | None = None
        # Losses, ELBOs and what else is watched, of steps not looked at yet.
        self._unseen: list[Tensor] = []
        self._watched: list[str] = []
        self._noise_shapes: list[torch.Size] | None = None
        self._optimiser = self._new_optimiser()
        self._gather()

    def _new_optimiser(self) -> torch.optim.Adam:
        # One group a run: Adam then keeps the moments of each run apart, and each may have its own rate.
        return torch.optim.Adam([{"params": list(run.model.parameters())} for run in self.runs], fused=True)

    def _gather(self) -> None:
        """Lay the weights of all runs side by side, and all that a step reads beside images and noise."""
        models = [run.model for run in self.runs]
        self._parameters, self._buffers = stack_module_state(models) if len(models) > 1 else ({}, {})
        # A common tensor of weights, and the parameters that are its rows.
        self._rows = {name: [model.get_parameter(name) for model in models] for name in self._parameters}
        for name, values in self._parameters.items():
            for own, row in zip(self._rows[name], values.detach(), strict=True):
                own.data = row
        # What gradients are for.
        self._leaves = list(self._parameters.values()) or list(models[0].parameters())
        for name, values in self._buffers.items():
            for model, row in zip(models, values, strict=True):
                model.get_buffer(name).data = row
        schedules = [run.schedule for run in self.runs]
        done = [number / self.last for number in range(self.last)]
        # For all steps at once, because sending a number to a GPU takes longer than a step's arithmetic on it.
        kl_weights = [[schedule.kl_weight_at(part) for schedule in schedules] for part in done]
        self._kl_weights = torch.tensor(kl_weights, device=self.device)
        self._strength = {
            name: torch.tensor([float(run.strength[name]) for run in self.runs], device=self.device)
            for name in self.runs[0].strength
        }
        self._pass = Recorded(self._forward_and_back, self.device)

    def moments(self, run: Run) -> dict[str, dict[str, Tensor]]:
        """Adam's running means of a run's gradients and of their squares, by the parameter's name."""
        kept = {name: self._optimiser.state.get(parameter) for name, parameter in run.model.named_parameters()}
        return {name: {kind: state[kind] for kind in MOMENTS} for name, state in kept.items() if state}

    def restore(self, run: Run, moments: dict[str, dict[str, Tensor]]) -> None:
        """Take up what `moments` gave when the run had done `run.progress.step` steps."""
        for name, parameter in run.model.named_parameters():
            if name in moments:
                kept = {kind: moments[name][kind].to(self.device) for kind in MOMENTS}
                step = torch.tensor(float(run.progress.step), device=self.device)
                self._optimiser.state[parameter] = {"step": step, **kept}

    def steps(self, numbers: Iterable[int]) -> None:
        """Several steps of every run, in order."""
        for number in numbers:
            self.step(number)

    def step(self, number: int) -> None:
        """One step of every run. Runs that cannot take it are parted with, and the others take it without them."""
        while self.runs:
            images = self._images_of(number)
            noise = self._noise_of(number, images)
            try:
                self._unseen.append(self._pass(images, noise, self._kl_weights[number]))
            except NotFiniteError:
                if self._ranks.count > 1:
                    raise  # the other processes know nothing of it, and could not follow
                self._look_closely(number, images, noise)
            else:
                self._update(number)
                return

    def _images_of(self, number: int) -> Tensor:
        """Images of a step, uint8, `runs x batch x channels x height x width`: this process's part of the batch."""
        epoch, position = divmod(number, self.steps_an_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._of_epoch = {run.name: self._images.epoch(run.seed, epoch) for run in self.runs}
        batch = slice(position * self.batch, (position + 1) * self.batch)
        return torch.stack([self._of_epoch[run.name][batch][self._ranks.share(self.batch)] for run in self.runs])

    def _noise_of(self, number: int, images: Tensor) -> list[Tensor]:
        """For each draw that the model asks for, in order, that of all runs, `runs x batch x ...`: also a part."""
        if self._noise_shapes is None:
            asking, model = _Asking(), self.runs[0].model
            # Not in training mode, lest the zeros leave a mark on what a layer remembers of its inputs.
            model.eval()
            with torch.no_grad():
                output = model(torch.zeros(self.batch, *images.shape[2:], device=self.device), asking)
            model.train()
            latents = [f"KL {space}{i + 1}" for space, size in model.spaces.items() for i in range(size)]
            self._watched = [*latents, *output.terms]
            self._noise_shapes = asking.shapes
        sources = [generator(self.device, run.seed, "noise", number) for run in self.runs]
        share = self._ranks.share(self.batch)
        return [
            torch.stack([torch.randn(shape, generator=source, device=self.device)[share] for source in sources])
            for shape in self._noise_shapes
        ]

    def _forward_and_back(self, images: Tensor, noise: list[Tensor], kl_weights: Tensor) -> Tensor:
        """This process's part of losses, ELBOs and what else is watched, a row each, `... x runs`.

        Leaves the gradients of its part of the losses.
        """
        x = as_floats(images)
        with precision(self._precision, self.device):
            if len(self.runs) == 1:
                own = {name: values[0] for name, values in self._strength.items()}
                output = self.runs[0].model(x[0], Drawn(piece[0] for piece in noise))
                losses, told = (value[None] for value in self._measured(output, kl_weights[0], own))
            else:
                arguments = (self._parameters, self._buffers, x, noise, kl_weights, self._strength)
                losses, told = vmap(self._pass_of_one)(*arguments)
        for parameter in self._leaves:
            parameter.grad = None
        # A mean over the whole batch is the sum of each process's mean, weighted by its part.
        part = images.shape[1] / self.batch
        (losses.sum() * part).backward()
        for name, values in self._parameters.items():
            if values.grad is not None:
                for own, row in zip(self._rows[name], values.grad, strict=True):
                    own.grad = row
        return torch.cat([losses.detach()[None], told.T.to(losses.dtype)]) * part

    def _pass_of_one(self, parameters, buffers, x, noise, kl_weight, strength) -> tuple[Tensor, Tensor]:
        output = functional_call(self.runs[0].model, (parameters, buffers), (x, Drawn(noise)))
        return self._measured(output, kl_weight, strength)

    def _measured(self, output: Output, kl_weight: Tensor, strength: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            divergence = output.latents.joint().kl_to_prior().mean(0)
            told = torch.cat(
                [elbo_per_image(output).mean()[None], divergence, *(t[None] for t in output.terms.values())]
            )
        return self._loss_of(output, kl_weight=kl_weight, **strength), told

    def _update(self, number: int) -> None:
        self._ranks.sum([leaf.grad for leaf in self._leaves if leaf.grad is not None])
        for group, run in zip(self._optimiser.param_groups, self.runs, strict=True):
            group["lr"] = run.schedule.learning_rate_at(number / self.last)
        self._optimiser.step()

    def look(self, done: int) -> None:
        """Bring the losses of the last steps to the host, now that `done` are done, and part with what diverged.

        On a GPU this waits for all work before it, so it is called once an epoch and before a checkpoint.
        """
        if self._unseen:
            values = torch.stack(self._unseen)
            self._ranks.sum([values])
            weights = torch.stack(
                [
                    torch.stack([parameter.detach().sum() for parameter in run.model.parameters()]).sum()
                    for run in self.runs
                ]
            )
            finite = torch.cat([values[:, 0], weights[None].to(values)]).isfinite().tolist()
            first = done - len(self._unseen)
            self._unseen.clear()
            for n, run in enumerate(self.runs):
                own = [row[n] for row in finite]
                if not all(own):
                    run.progress.diverged = min(first + own.index(False), done - 1)
                    continue
                # One by one, so that the sum does not depend on how many steps were looked at together.
                for step, (loss, elbo, *others) in enumerate(values[:, :, n].tolist(), first):
                    run.progress.loss_sum += loss
                    run.progress.elbo_sum += elbo
                    run.progress.take(dict(zip(self._watched, others, strict=True)), step, self.last)
        for run in self.runs:
            run.progress.step = done
        self._part_with_diverged()

    def finish_epoch(self) -> None:
        """After a look at the last step of an epoch: its means."""
        for run in self.runs:
            progress = run.progress
            progress.losses.append(progress.loss_sum / self.steps_an_epoch)
            progress.elbo = progress.elbo_sum / self.steps_an_epoch
            progress.loss_sum = progress.elbo_sum = 0.0

    def _look_closely(self, number: int, images: Tensor, noise: list[Tensor]) -> None:
        """Part with the runs that made a step fail."""
        before = len(self.runs)
        by_run = {run.name: (images[n], [piece[n] for piece in noise]) for n, run in enumerate(self.runs)}
        self.look(number)
        for run in self.runs:
            own_images, own_noise = by_run[run.name]
            try:
                with torch.no_grad(), precision(self._precision, self.device):
                    run.model(as_floats(own_images), Drawn(own_noise))
            except NotFiniteError:
                run.progress.diverged = number
        self._part_with_diverged()
        if len(self.runs) == before:
            raise NotFiniteError(f"step {number} failed with numbers that are not finite, and no run failed by itself.")

    def _part_with_diverged(self) -> None:
        staying = [run for run in self.runs if run.progress.diverged is None]
        if len(staying) == len(self.runs):
            return
        self.runs, state = staying, self._optimiser.state
        if staying:
            self._optimiser = self._new_optimiser()
            of_these = {parameter for run in staying for parameter in run.model.parameters()}
            self._optimiser.state.update({key: value for key, value in state.items() if key in of_these})
            self._gather()


class _Asking(Drawn):
    """Remembers the shapes of the noise that is asked for, and gives none."""

    def __init__(self):
        self.shapes: list[torch.Size] = []

    def like(self, tensor: Tensor) -> Tensor:
        self.shapes.append(tensor.shape)
        return torch.zeros_like(tensor)

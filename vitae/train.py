"""The training loop: one, visible, the same for every model and objective.

Adam with a one-cycle learning rate and a linear KL warm-up. All that happens in step s is a function of the
configuration, the seed and s (see `randomness`), so a checkpoint holds weights, optimiser state and s, and a run that
was killed anywhere ends with the weights of the run that was not (bit for bit on a CPU with as many threads; on a GPU
the spatial transformer's gradient adds in no fixed order).
"""

import math
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from vitae.data.base import as_floats
from vitae.errors import InputError, NotFiniteError, require_number
from vitae.files import write_tensors
from vitae.models.base import GenerativeModel
from vitae.objectives import OBJECTIVES
from vitae.randomness import generator

# Losses are looked at together, this many steps at a time: on a GPU each look waits for all work before it.
_STEPS_BETWEEN_LOOKS = 50
_SECONDS_BETWEEN_CHECKPOINTS = 20.0
_RESTART = "train again with --restart"


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        epochs: passes through the training images; 0 leaves the initial weights.
        batch: images a step.
        learning_rate: Adam's peak rate, reached after `rise` of all steps from a 25th, then falling as a cosine to 0.
        warmup: the part of all steps over which the weight of the KL grows from 0 to 1.
        rise: see learning_rate.
    """

    epochs: int
    batch: int = 256
    learning_rate: float = 2e-3
    warmup: float = 0.2
    rise: float = 0.1

    def __post_init__(self):
        for name, smallest in (("epochs", 0), ("batch", 1)):
            require_number(name, getattr(self, name), smallest, whole=True)
        for name in ("learning_rate", "warmup", "rise"):
            require_number(name, getattr(self, name), 0)
        for name in ("warmup", "rise"):
            if getattr(self, name) > 1:
                raise InputError(f"{name} is a part of all steps, so at most 1, got {getattr(self, name)}.")

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate when a part `progress` in [0, 1) of all steps is done."""
        if progress < self.rise:
            return self.learning_rate * (0.04 + 0.96 * progress / self.rise)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (progress - self.rise) / max(1 - self.rise, 1e-9)))

    def kl_weight_at(self, progress: float) -> float:
        """The weight of the KL when a part `progress` of all steps is done."""
        return min(1.0, progress / self.warmup) if self.warmup > 0 else 1.0


class TrainingImages(Protocol):
    """What the loop needs of a dataset: its size, and the shuffled uint8 images of an epoch."""

    def __len__(self) -> int: ...

    def epoch(self, seed: int, number: int) -> Tensor: ...


class NonFiniteLoss(InputError):
    """Training diverged; the last finite checkpoint is still there."""


@dataclass
class Progress:
    """What a checkpoint knows beside weights: the step reached, seconds spent, and each epoch's mean loss in nats."""

    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    loss_sum: float = 0.0


def train(
    model: GenerativeModel,
    images: TrainingImages,
    objective: str,
    strength: dict[str, float],
    schedule: Schedule,
    *,
    seed: int,
    fingerprint: str = "",
    checkpoint: Path | None = None,
    label: str = "training",
) -> Progress:
    """Train a model in place, from its checkpoint if there is one.

    Args:
        model: on the device to train on.
        images: uint8 images in shuffled epochs, on the same device.
        objective: a name from `vitae.objectives.OBJECTIVES`.
        strength: the objective's own numbers, for instance `{"beta": 4.0}`.
        seed: of order, perspectives and noise. The model's initial weights are the caller's.
        fingerprint: names the configuration; a checkpoint of another one is refused.
        checkpoint: file to resume from and to save to, every 20 seconds and at the end; None saves nothing.

    Returns:
        The mean loss of each epoch, in nats per image, and the seconds spent, earlier sessions included.

    Raises:
        NonFiniteLoss: the loss became infinite or not a number.
        InputError: the checkpoint belongs to another configuration, or cannot be read or written.
    """
    device = next(model.parameters()).device
    optimiser = torch.optim.Adam(model.parameters(), lr=schedule.learning_rate, fused=True)
    batch = min(schedule.batch, len(images))
    steps_an_epoch = len(images) // batch
    steps = schedule.epochs * steps_an_epoch
    done = Progress()
    if checkpoint is not None and checkpoint.exists():
        done = _restore(checkpoint, fingerprint, model, optimiser)
    loss_of = OBJECTIVES[objective]

    model.train()
    unseen: list[Tensor] = []  # losses of steps not looked at yet
    started = saved = time.monotonic()
    spent_before = done.seconds
    epoch_images = None
    with tqdm(total=steps, initial=done.step, desc=label, unit="step", disable=None, mininterval=1.0) as bar:
        for step in range(done.step, steps):
            epoch, position = divmod(step, steps_an_epoch)
            if epoch_images is None or position == 0:
                epoch_images = images.epoch(seed, epoch)
            x = as_floats(epoch_images[position * batch : (position + 1) * batch])

            for group in optimiser.param_groups:
                group["lr"] = schedule.learning_rate_at(step / steps)
            try:
                output = model(x, generator(device, seed, "noise", step))
            except NotFiniteError:
                raise _diverged(step, schedule, checkpoint) from None
            loss = loss_of(output, kl_weight=schedule.kl_weight_at(step / steps), **strength)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

            unseen.append(loss.detach())
            end_of_epoch = position == steps_an_epoch - 1
            if end_of_epoch or len(unseen) == _STEPS_BETWEEN_LOOKS:
                done.loss_sum += _look(unseen, model, step, schedule, checkpoint)
                unseen.clear()
                done.step, done.seconds = step + 1, spent_before + time.monotonic() - started
                if end_of_epoch:
                    done.losses.append(done.loss_sum / steps_an_epoch)
                    done.loss_sum = 0.0
                    bar.set_postfix(epoch=f"{epoch + 1}/{schedule.epochs}", loss=f"{done.losses[-1]:.1f}")
                if checkpoint is not None and time.monotonic() - saved > _SECONDS_BETWEEN_CHECKPOINTS:
                    _save(checkpoint, fingerprint, model, optimiser, done)
                    saved = time.monotonic()
            bar.update()
    if checkpoint is not None:
        _save(checkpoint, fingerprint, model, optimiser, done)
    return done


def _look(
    losses: list[Tensor], model: GenerativeModel, step: int, schedule: Schedule, checkpoint: Path | None
) -> float:
    """The sum of losses, once all are known to be finite, and the weights that the last of them led to as well."""
    values = torch.stack(losses)
    weights = torch.stack([parameter.detach().sum() for parameter in model.parameters()])
    finite = torch.cat([values, weights.sum()[None].to(values)]).isfinite()
    if not finite.all():
        first = step - len(losses) + 1 + int((~finite).nonzero()[0])
        raise _diverged(min(first, step), schedule, checkpoint)
    return float(values.double().sum())


def _diverged(step: int, schedule: Schedule, checkpoint: Path | None) -> NonFiniteLoss:
    kept = f" The last finite state is in {checkpoint}." if checkpoint and checkpoint.exists() else ""
    return NonFiniteLoss(
        f"the loss stopped being finite in step {step}: try a learning rate below {schedule.learning_rate:g} or a "
        f"longer warm-up.{kept}"
    )


def _save(path: Path, fingerprint: str, model: GenerativeModel, optimiser: torch.optim.Optimizer, done: Progress):
    state = {
        "fingerprint": fingerprint,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        **{f.name: getattr(done, f.name) for f in fields(done)},
    }
    write_tensors(path, state)


def _restore(path: Path, fingerprint: str, model: GenerativeModel, optimiser: torch.optim.Optimizer) -> Progress:
    state = read_checkpoint(path)
    if state.get("fingerprint") != fingerprint:
        raise InputError(
            f"{path} belongs to another configuration: give that run's settings again to resume it, or {_RESTART} "
            f"with these."
        )
    try:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        return Progress(**{f.name: state[f.name] for f in fields(Progress)})
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError):
        raise InputError(f"{path} is not a checkpoint of this run: {_RESTART}.") from None


def read_checkpoint(path: Path) -> dict:
    """A checkpoint or weights file as a dictionary; tensors only, so that loading never runs code.

    Raises:
        InputError: the file is damaged or holds something else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"there is no {path}: train that run first.") from None
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        # Its text may advise to load the file without protection, so only its kind is passed on.
        raise InputError(f"{path} is not a readable checkpoint ({type(error).__name__}): {_RESTART}.") from None
    if not isinstance(state, dict) or "model" not in state:
        raise InputError(f"{path} holds no vitae checkpoint: {_RESTART}.")
    return state

"""Runs that train together get the numbers that each gets alone."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn

from vitae import CPAB, VAE, VITAE, Affine, InputError, Sequential
from vitae.models import DeVAE, DiD, FactorVAE
from vitae.models.likelihoods import Bernoulli, GaussianPixels
from vitae.models.networks import MLPDecoder, MLPEncoder, perceptron
from vitae.models.perspective_decoder import ParameterDecoder
from vitae.support.files import read_metadata, read_tensors
from vitae.support.randomness import generator
from vitae.training import loop
from vitae.training.loop import train, train_together
from vitae.training.schedule import Schedule
from vitae.training.step import Run, RunGroup

SHAPE = (1, 8, 8)
SCHEDULE = Schedule(epochs=3, batch=8, learning_rate=0.01)


class Images:
    """Thirty-five images in shuffled epochs, brighter with the seed: four steps of eight, and three left over."""

    def __len__(self):
        return 35

    def epoch(self, seed, number):
        source = generator("cpu", seed, "order", number)
        return torch.randint(0, 100 + 10 * seed, (35, *SHAPE), generator=source, dtype=torch.uint8)


def model_of(kind, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hidden = (16, 8)
        if kind == "vae":
            return VAE(MLPEncoder(SHAPE, 3, hidden), MLPDecoder(SHAPE, 3, hidden), GaussianPixels(), 3)
        if kind in SISTERS:
            return sister(kind, hidden)
        transformation = {
            "affine": Affine(),
            "cpab": CPAB((2, 2)),
            "both": Sequential(Affine(), CPAB((2, 2))),
            "unconditional": Affine(),
        }[kind]
        return VITAE(
            MLPEncoder(SHAPE, 2, hidden),
            MLPEncoder(SHAPE, 3, hidden),
            MLPDecoder(SHAPE, 2, hidden),
            # Of one kind also the decoder that has a straight part and a bent one.
            ParameterDecoder(
                3, transformation.dim, hidden=(4,), generators=transformation.generators if kind == "both" else None
            ),
            transformation,
            Bernoulli(),
            {"z_A": 2, "z_P": 3},
            conditional=kind != "unconditional",
        )


# The objective of each and its strengths.
SISTERS = {
    "factor": ("factor", {"gamma": 5.0}),
    "devae": ("decremental", {"beta_1": 1.0, "beta_2": 4.0}),
    "did": ("difference", {"difference": 1.0, "independence": 0.5}),
}


def sister(kind, hidden):
    encoder, likelihood = MLPEncoder(SHAPE, 3, hidden), Bernoulli()
    if kind == "devae":
        return DeVAE(encoder, MLPDecoder(SHAPE, 5, hidden), likelihood, 3, stages=2, embedding=2)
    decoder = MLPDecoder(SHAPE, 3, hidden)
    if kind == "factor":
        return FactorVAE(encoder, decoder, likelihood, 3, hidden=(8,))
    pixels = math.prod(SHAPE)
    critic, difference = (
        nn.Sequential(nn.Flatten(), perceptron(times * pixels, (8,), numbers)) for times, numbers in ((1, 1), (2, 4))
    )
    return DiD(encoder, decoder, likelihood, 3, critic, difference)


def runs_of(kind, seeds, strength=None, schedule=SCHEDULE):
    return [Run(f"{kind}-{s}", model_of(kind, s), s, schedule, dict(strength or {}), str(s)) for s in seeds]


def trained_together(runs, objective="elbo", threads=1, runs_a_batch=2, **how):
    """On a CPU as on a GPU: several models as one; three runs make a batch of two and one alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "_RUNS_PER_GROUP_ON_CPU", runs_a_batch)
            train_together(runs, Images(), objective, **how)
    finally:
        torch.set_num_threads(before)
    return runs


def same(run, other):
    theirs = other.model.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in run.model.state_dict().items())


def trained_alone(run, objective="elbo"):
    [alone] = runs_of(run.name.partition("-")[0], [run.seed], run.strengths, run.schedule)
    return trained_together([alone], objective)[0]


def assert_close(run, alone):
    for name, value in alone.model.state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], value, rtol=1e-3, atol=2e-5)
    assert run.progress.losses == pytest.approx(alone.progress.losses, rel=1e-5)
    assert run.progress.elbo == pytest.approx(alone.progress.elbo, rel=1e-5)


@pytest.mark.parametrize("kind", ["vae", "affine", "unconditional", "cpab", "both"])
@pytest.mark.parametrize(
    ("objective", "strength"),
    [
        ("elbo", {}),
        ("beta", {"beta": 4.0}),
        ("beta-tc", {"beta": 3.0}),
        ("dip-ii", {"dip_lambda": 2.0}),
    ],
)
def test_each_gets_the_numbers_that_it_gets_alone(kind, objective, strength):
    each_as_alone(kind, objective, strength)


@pytest.mark.parametrize("kind", SISTERS)
def test_each_sister_gets_the_numbers_that_it_gets_alone(kind):
    """With a discriminator, several spaces, or a critic and the gradient of its gradient."""
    # Slower than the others: rounding grows where a critic's gradients cancel.
    each_as_alone(kind, *SISTERS[kind], dataclasses.replace(SCHEDULE, learning_rate=0.001))


def each_as_alone(kind, objective, strength, schedule=SCHEDULE):
    runs = trained_together(runs_of(kind, range(3), strength, schedule), objective)
    for run in runs:
        assert_close(run, trained_alone(run, objective))
    first, second = (run.model.state_dict() for run in runs[:2])
    assert not any(torch.equal(first[name], second[name]) for name in first if "weight" in name)


@pytest.mark.parametrize("threads", [1, 2])
def test_on_a_cpu_the_numbers_are_bit_for_bit_those_alone_on_one_thread(threads):
    """There each thread takes whole runs in turn."""
    for run in trained_together(runs_of("affine", range(3)), threads=threads, runs_a_batch=1):
        alone = trained_alone(run)
        assert same(run, alone)
        assert run.progress.losses == alone.progress.losses


def test_rates_warm_up_and_strength_may_differ_between_the_runs():
    settings = [(1.0, 0.01, 0.5), (8.0, 0.002, 0.0), (2.0, 0.03, 1.0)]
    runs = [
        Run(f"affine-{n}", model_of("affine", n), n, Schedule(3, 8, rate, warmup), {"beta": beta})
        for n, (beta, rate, warmup) in enumerate(settings)
    ]
    for run in trained_together(runs, "beta"):
        assert_close(run, trained_alone(run, "beta"))


@pytest.mark.parametrize("runs_a_batch", [1, 4])
def test_after_one_diverged_a_resumed_batch_ends_bit_for_bit_as_the_undisturbed(
    runs_a_batch, tmp_path, monkeypatch, checkpoint_at_every_collection, killed_in_step, replace_loss
):
    """The one that is left must not get the threads of both, with which large products round otherwise."""
    how = {"threads": 2, "runs_a_batch": runs_a_batch}
    seen, real = set(), loop.OBJECTIVES["elbo"].loss

    def objective(*arguments, **settings):
        seen.add(torch.get_num_threads())
        return real(*arguments, **settings)

    replace_loss("elbo", objective)

    def two():
        [good], [bad] = runs_of("affine", [0]), runs_of("affine", [1], schedule=Schedule(3, 8, 1e9))
        return [good, bad]

    [expected, _] = trained_together(two(), **how)
    checkpoint = tmp_path / "batch.checkpoint"
    with killed_in_step(9):
        trained_together(two(), **how, checkpoint=checkpoint)
    [resumed, bad] = trained_together(two(), **how, checkpoint=checkpoint)
    assert bad.progress.diverged is not None
    assert same(resumed, expected)
    assert seen == {1 if runs_a_batch == 1 else 2}


def test_what_a_layer_remembers_of_its_inputs_it_remembers_of_images_only():
    [run] = runs_of("vae", [0])
    run.model.encoder.trunk.append(nn.BatchNorm1d(8))
    trained_together([run])
    assert run.model.encoder.trunk[-1].num_batches_tracked == 12


def test_names_and_models_are_each_runs_own():
    [first], [second] = runs_of("vae", [0]), runs_of("vae", [1])
    second.name = first.name
    with pytest.raises(InputError, match="names and models of their own"):
        trained_together([first, second])
    second.name, second.model = "other", first.model
    with pytest.raises(InputError, match="names and models of their own"):
        trained_together([first, second])
    with pytest.raises(InputError, match="models of one architecture"):
        trained_together([first, *runs_of("affine", [1])])


def test_runs_of_other_lengths_are_refused():
    [short], [long] = runs_of("vae", [0]), runs_of("vae", [1], schedule=Schedule(4, 8))
    with pytest.raises(InputError, match="need the same number of epochs, batch and kind of strengths"):
        trained_together([short, long])


class Fragile(nn.Module):
    """An encoder whose mean overflows after a few steps, the sooner the higher the learning rate."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.spoiled = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        posterior = self.encoder(x)
        # Adam moves `spoiled` by about the learning rate a step; beyond the bound the mean overflows.
        posterior.mean = posterior.mean + torch.where(self.spoiled.abs() > 0.02, math.inf, 0.0)
        posterior.mean = posterior.mean + self.spoiled
        return posterior


@pytest.mark.parametrize("runs_a_batch", [1, 3])
@pytest.mark.parametrize("kind", ["vae", "affine"])
def test_one_that_diverges_leaves_the_others_alone(kind, runs_a_batch, tmp_path):
    """On a CPU a VITAE fails within the step, in the transformation; a VAE is found out at the next look."""

    def fragile(seed):
        [run] = runs_of(kind, [seed])
        name = "encoder" if kind == "vae" else "encoder_P"
        setattr(run.model, name, Fragile(getattr(run.model, name)))
        if seed != 1:
            run.schedule = Schedule(3, 8, 1e-4)
        run.log = tmp_path / f"{seed}.log"
        return run

    checkpoint = tmp_path / "batch.checkpoint"
    runs = trained_together([fragile(seed) for seed in range(3)], runs_a_batch=runs_a_batch, checkpoint=checkpoint)
    assert [run.progress.diverged is None for run in runs] == [True, False, True]
    assert 2 <= runs[1].progress.diverged < 12
    for run in (runs[0], runs[2]):
        alone = trained_together([fragile(run.seed)])[0]
        assert_close(run, alone)
    assert "diverged in step" in (tmp_path / "1.log").read_text()
    assert "diverged" not in (tmp_path / "0.log").read_text()
    assert not any(name.startswith(runs[1].name) for name in read_tensors(checkpoint)[0])
    again = trained_together([fragile(seed) for seed in range(3)], runs_a_batch=runs_a_batch, checkpoint=checkpoint)
    assert again[1].progress.diverged == runs[1].progress.diverged
    assert again[0].progress == runs[0].progress


@pytest.mark.parametrize(("threads", "runs_a_batch"), [(1, 1), (2, 1), (1, 4), (2, 2)])
def test_killed_and_resumed_they_end_bit_for_bit_as_if_never_killed(
    threads, runs_a_batch, tmp_path, monkeypatch, checkpoint_at_every_collection, killed_in_step
):
    monkeypatch.setattr(loop, "_STEPS_BETWEEN_COLLECTIONS_ON_CPU", 3)
    how = {"threads": threads, "runs_a_batch": runs_a_batch}
    expected = trained_together(runs_of("affine", range(4)), **how)
    checkpoint = tmp_path / "batch.checkpoint"
    with killed_in_step(10):
        trained_together(runs_of("affine", range(4)), **how, checkpoint=checkpoint)
    assert {about["step"] for about in read_metadata(checkpoint).values()} == {9}
    resumed = trained_together(runs_of("affine", range(4)), **how, checkpoint=checkpoint)
    for run, other in zip(resumed, expected, strict=True):
        assert same(run, other)
        assert run.progress.losses == other.progress.losses
        assert run.progress.curves == other.progress.curves


def test_curves_are_means_over_equal_parts_of_the_training(monkeypatch):
    """And the loss of a step is the weighted sum of the terms in it."""
    [whole] = trained_together(runs_of("did", range(1), SISTERS["did"][1]), "difference")
    assert list(whole.progress.curves) == [
        *("KL z1", "KL z2", "KL z3"),
        *("critic", "penalty", "generator", "difference", "encoder", "total_correlation"),
    ]
    single = whole.progress.curves
    assert {len(values) for values in single.values()} == {12}
    # Twelve steps in five parts: of 3, 2, 3, 2 and 2.
    monkeypatch.setattr("vitae.training.step.CURVE_POINTS", 5)
    [parted] = trained_together(runs_of("did", range(1), SISTERS["did"][1]), "difference")
    for name, values in parted.progress.curves.items():
        ends = (0, 3, 5, 8, 10, 12)
        means = [sum(single[name][a:b]) / (b - a) for a, b in itertools.pairwise(ends)]
        assert values == pytest.approx(means)
    curves, weights = whole.progress.curves, SISTERS["did"][1]
    losses = [
        critic
        + 10 * penalty
        + made
        + encoder
        + min(1.0, step / 12 / SCHEDULE.kl_annealing) * (seen * weights["difference"] + tc * weights["independence"])
        for step, (critic, penalty, made, seen, encoder, tc) in enumerate(zip(*list(curves.values())[3:], strict=True))
    ]
    means = [sum(losses[start : start + 4]) / 4 for start in (0, 4, 8)]
    assert whole.progress.losses == pytest.approx(means, rel=1e-5)


def test_a_part_of_a_batch_goes_on_from_the_checkpoint_of_all(tmp_path):
    checkpoint = tmp_path / "batch.checkpoint"
    all_runs = trained_together(runs_of("affine", range(4)), checkpoint=checkpoint)
    [one] = runs_of("affine", [2])
    trained_together([one], resume=checkpoint)
    assert torch.equal(one.model.decoder_P.layers[0].weight, all_runs[2].model.decoder_P.layers[0].weight)
    assert one.progress.losses == all_runs[2].progress.losses
    [other] = runs_of("affine", [7])
    with pytest.raises(InputError, match="belongs to a run with other settings"):
        trained_together([other], resume=checkpoint)


def test_bf16_changes_the_numbers_a_little_and_the_types_not_at_all():
    exact, rounded = (trained_together(runs_of("affine", range(2)), precision=p) for p in ("float32", "bf16"))
    for run, other in zip(exact, rounded, strict=True):
        assert run.progress.losses != other.progress.losses
        assert run.progress.losses == pytest.approx(other.progress.losses, rel=2e-3)
        assert {value.dtype for value in other.model.state_dict().values()} == {torch.float32}
    with pytest.raises(InputError, match="unknown precision 'fp16'"):
        trained_together(runs_of("affine", [0]), precision="fp16")


def test_a_log_tells_each_epoch_and_a_model_keeps_what_it_is(tmp_path):
    runs = runs_of("affine", range(2))
    for run in runs:
        run.log = tmp_path / f"{run.name}.log"
    trained_together(runs)
    lines = (tmp_path / "affine-1.log").read_text().splitlines()
    assert len(lines) == 5
    assert lines[0].endswith("affine-1: starts at step 0 of 12")
    assert lines[3].endswith(f"epoch 3: loss {runs[1].progress.losses[2]:.3f}, ELBO {runs[1].progress.elbo:.3f}")
    train(runs[1].model, Images(), "elbo", {}, SCHEDULE, seed=5)
    assert not torch.equal(runs[0].model.decoder_P.layers[0].weight, runs[1].model.decoder_P.layers[0].weight)


def test_noise_drawn_beforehand_is_that_of_the_generator():
    [run] = runs_of("affine", [3])
    group = RunGroup([run], Images(), "elbo", "float32")
    images = group._images_of(5)
    drawn = [piece[0] for piece in group._noise_of(5, images)]
    source = generator("cpu", 3, "noise", 5)
    expected = [torch.randn(8, 3, generator=source), torch.randn(8, 2, generator=source)]
    assert [piece.shape for piece in drawn] == [piece.shape for piece in expected]
    assert all(torch.equal(*pair) for pair in zip(drawn, expected, strict=True))

"""Runs that train together get the same numbers as runs that train alone."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn

from vitae import CPAB, VAE, VITAE, Affine, InputError, Sequential
from vitae.models import Archetypes, DeVAE, DiD, FactorVAE
from vitae.models.archetypes import DecodedTemplates, FreeTemplates
from vitae.models.likelihoods import Bernoulli, GaussianPixels
from vitae.models.networks import MLPDecoder, MLPEncoder, perceptron
from vitae.models.objectives import OBJECTIVES
from vitae.models.perspective_decoder import ParameterDecoder
from vitae.support.files import read_metadata, read_tensors
from vitae.support.randomness import generator
from vitae.training import loop
from vitae.training.loop import train, train_together
from vitae.training.schedule import Schedule
from vitae.training.step import Run, RunGroup

SHAPE = (1, 8, 8)
SCHEDULE = Schedule(epochs=3, batch=8, learning_rate=0.01)


class RandomImages:
    """Thirty-five images an epoch, brighter for larger seeds: four batches of eight, and three left over."""

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
            return sister_model(kind, hidden)
        if kind in ARCHETYPES:
            return archetypes(kind, hidden)
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
            # One kind covers the decoder with a linear and a nonlinear part.
            ParameterDecoder(
                3, transformation.dim, hidden=(4,), generators=transformation.generators if kind == "both" else None
            ),
            transformation,
            Bernoulli(),
            {"z_A": 2, "z_P": 3},
            conditional=kind != "unconditional",
        )


# Kind -> objective and strengths.
SISTERS = {
    "factor": ("factor", {"gamma": 5.0}),
    "devae": ("decremental", {"beta_1": 1.0, "beta_2": 4.0}),
    "did": ("difference", {"difference": 1.0, "independence": 0.5}),
}


def sister_model(kind, hidden):
    encoder, likelihood = MLPEncoder(SHAPE, 3, hidden), Bernoulli()
    if kind == "devae":
        return DeVAE(encoder, MLPDecoder(SHAPE, 5, hidden), likelihood, 3, stages=2, embedding=2)
    decoder = MLPDecoder(SHAPE, 3, hidden)
    if kind == "factor":
        return FactorVAE(encoder, decoder, likelihood, 3, hidden=(8,))
    pixels = math.prod(SHAPE)
    critic, difference = (
        nn.Sequential(nn.Flatten(), perceptron(images * pixels, (8,), outputs)) for images, outputs in ((1, 1), (2, 4))
    )
    return DiD(encoder, decoder, likelihood, 3, critic, difference)


ARCHETYPES = {"templates": ("held", {"hold": 5.0}), "drawn": ("held", {"hold": 5.0})}


def archetypes(kind, hidden):
    """Free templates with CPAB, each seen from its own perspective; or drawn ones that share an affine one."""
    drawn, count = kind == "drawn", 3
    transformation = Affine() if drawn else CPAB((2, 2))
    return Archetypes(
        nn.Sequential(nn.Flatten(), perceptron(math.prod(SHAPE), hidden, count)),
        MLPEncoder(SHAPE, 2 * (1 if drawn else count), hidden),
        ParameterDecoder(2 + (0 if drawn else count), transformation.dim, hidden=(4,)),
        DecodedTemplates(count, MLPDecoder(SHAPE, count + 2, hidden)) if drawn else FreeTemplates(count, SHAPE),
        transformation,
        Bernoulli(),
        count=count,
        perspective=2,
        shape=SHAPE,
        encoder_A=MLPEncoder(SHAPE, 2, hidden) if drawn else None,
        appearance=2 * drawn,
        shared=drawn,
    )


def runs_of(kind, seeds, strengths=None, schedule=SCHEDULE):
    return [Run(f"{kind}-{s}", model_of(kind, s), s, schedule, dict(strengths or {}), str(s)) for s in seeds]


def trained_together(runs, objective="elbo", threads=1, group_size=2, **options):
    """Batch the models of a group on the CPU as on a GPU; three runs are by default a group of two and one alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "_RUNS_PER_GROUP_ON_CPU", group_size)
            train_together(runs, RandomImages(), objective, **options)
    finally:
        torch.set_num_threads(before)
    return runs


def equal_weights(run, other):
    others = other.model.state_dict()
    return all(torch.equal(value, others[name]) for name, value in run.model.state_dict().items())


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
    ("objective", "strengths"),
    [
        ("elbo", {}),
        ("beta", {"beta": 4.0}),
        ("beta-tc", {"beta": 3.0}),
        ("dip-ii", {"dip_lambda": 2.0}),
    ],
)
def test_batched_runs_match_single_runs(kind, objective, strengths):
    assert_batched_runs_match_single_runs(kind, objective, strengths)


@pytest.mark.parametrize("kind", SISTERS)
def test_batched_runs_of_sister_systems_match_single_runs(kind):
    """They have a discriminator, several stages, or a critic with a second derivative."""
    # A lower learning rate, since rounding errors grow where a critic's gradients cancel.
    schedule = dataclasses.replace(SCHEDULE, learning_rate=0.001)
    assert_batched_runs_match_single_runs(kind, *SISTERS[kind], schedule)


@pytest.mark.parametrize("kind", ARCHETYPES)
def test_batched_runs_of_archetypes_match_single_runs(kind):
    """They start from k-means of their own images."""
    assert_batched_runs_match_single_runs(kind, *ARCHETYPES[kind], dataclasses.replace(SCHEDULE, learning_rate=0.001))


def test_archetypes_resume_where_they_were(tmp_path, checkpoint_at_every_collection, killed_before_step):
    """From the checkpoint, not from k-means again."""
    objective, strengths = ARCHETYPES["templates"]
    [uninterrupted] = trained_together(runs_of("templates", [0], strengths), objective)
    with killed_before_step(7):
        trained_together(runs_of("templates", [0], strengths), objective, checkpoint=tmp_path / "checkpoint")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Archetypes, "start_from", lambda *arguments: pytest.fail("started again"))
        [resumed] = trained_together(
            runs_of("templates", [0], strengths), objective, checkpoint=tmp_path / "checkpoint"
        )
    assert equal_weights(resumed, uninterrupted)
    assert resumed.progress.losses == uninterrupted.progress.losses


def assert_batched_runs_match_single_runs(kind, objective, strengths, schedule=SCHEDULE):
    runs = trained_together(runs_of(kind, range(3), strengths, schedule), objective)
    for run in runs:
        assert_close(run, trained_alone(run, objective))
    first, second = (run.model.state_dict() for run in runs[:2])
    assert not any(torch.equal(first[name], second[name]) for name in first if "weight" in name)


@pytest.mark.parametrize("threads", [1, 2])
def test_unbatched_runs_on_a_cpu_equal_single_runs_bit_for_bit(threads):
    """Each thread trains whole runs, as by default on a CPU."""
    for run in trained_together(runs_of("affine", range(3)), threads=threads, group_size=1):
        alone = trained_alone(run)
        assert equal_weights(run, alone)
        assert run.progress.losses == alone.progress.losses


def test_learning_rate_annealing_and_strengths_may_differ_between_runs():
    settings = [(1.0, 0.01, 0.5), (8.0, 0.002, 0.0), (2.0, 0.03, 1.0)]
    runs = [
        Run(f"affine-{n}", model_of("affine", n), n, Schedule(3, 8, rate, annealing), {"beta": beta})
        for n, (beta, rate, annealing) in enumerate(settings)
    ]
    for run in trained_together(runs, "beta"):
        assert_close(run, trained_alone(run, "beta"))


@pytest.mark.parametrize("group_size", [1, 4])
def test_resuming_after_a_run_diverged_equals_the_uninterrupted_run_bit_for_bit(
    group_size, tmp_path, checkpoint_at_every_collection, killed_before_step, replace_loss
):
    """The remaining run must not get the diverged run's thread too: large products would be rounded differently."""
    options = {"threads": 2, "group_size": group_size}
    thread_counts, original = set(), OBJECTIVES["elbo"].loss

    def count_threads(*arguments, **settings):
        thread_counts.add(torch.get_num_threads())
        return original(*arguments, **settings)

    replace_loss("elbo", count_threads)

    def stable_and_diverging():
        return [*runs_of("affine", [0]), *runs_of("affine", [1], schedule=Schedule(3, 8, 1e9))]

    [expected, _] = trained_together(stable_and_diverging(), **options)
    checkpoint = tmp_path / "batch.checkpoint"
    with killed_before_step(9):
        trained_together(stable_and_diverging(), **options, checkpoint=checkpoint)
    [resumed, diverged] = trained_together(stable_and_diverging(), **options, checkpoint=checkpoint)
    assert diverged.progress.diverged is not None
    assert equal_weights(resumed, expected)
    assert thread_counts == {1 if group_size == 1 else 2}


def test_running_statistics_see_training_images_only():
    """The pass that records the shapes of the noise must not count as a batch."""
    [run] = runs_of("vae", [0])
    run.model.encoder.trunk.append(nn.BatchNorm1d(8))
    trained_together([run])
    assert run.model.encoder.trunk[-1].num_batches_tracked == 12


def test_runs_that_share_a_name_or_a_model_are_refused():
    [first], [second] = runs_of("vae", [0]), runs_of("vae", [1])
    second.name = first.name
    with pytest.raises(InputError, match="names and models of their own"):
        trained_together([first, second])
    second.name, second.model = "other", first.model
    with pytest.raises(InputError, match="names and models of their own"):
        trained_together([first, second])
    with pytest.raises(InputError, match="models of one architecture"):
        trained_together([first, *runs_of("affine", [1])])


def test_runs_of_different_lengths_are_refused():
    [short], [long] = runs_of("vae", [0]), runs_of("vae", [1], schedule=Schedule(4, 8))
    with pytest.raises(InputError, match="need the same number of epochs, batch and kind of strengths"):
        trained_together([short, long])


class DivergingEncoder(nn.Module):
    """An encoder whose mean becomes infinite after a few steps, sooner for higher learning rates."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        posterior = self.encoder(x)
        # Adam moves the offset by about the learning rate per step.
        posterior.mean = posterior.mean + torch.where(self.offset.abs() > 0.02, math.inf, 0.0)
        posterior.mean = posterior.mean + self.offset
        return posterior


@pytest.mark.parametrize("group_size", [1, 3])
@pytest.mark.parametrize("kind", ["vae", "affine"])
def test_a_diverging_run_does_not_affect_the_others(kind, group_size, tmp_path):
    """A VITAE fails within the step, in the transformation; a diverged VAE is detected at the next collection."""

    def run_with_diverging_encoder(seed):
        [run] = runs_of(kind, [seed])
        name = "encoder" if kind == "vae" else "encoder_P"
        setattr(run.model, name, DivergingEncoder(getattr(run.model, name)))
        if seed != 1:
            run.schedule = Schedule(3, 8, 1e-4)
        run.log = tmp_path / f"{seed}.log"
        return run

    def three_runs_trained():
        runs = [run_with_diverging_encoder(seed) for seed in range(3)]
        return trained_together(runs, group_size=group_size, checkpoint=checkpoint)

    checkpoint = tmp_path / "batch.checkpoint"
    runs = three_runs_trained()
    assert [run.progress.diverged is None for run in runs] == [True, False, True]
    assert 2 <= runs[1].progress.diverged < 12
    for run in (runs[0], runs[2]):
        assert_close(run, trained_together([run_with_diverging_encoder(run.seed)])[0])
    assert "diverged in step" in (tmp_path / "1.log").read_text()
    assert "diverged" not in (tmp_path / "0.log").read_text()
    assert not any(name.startswith(runs[1].name) for name in read_tensors(checkpoint)[0])
    resumed = three_runs_trained()
    assert resumed[1].progress.diverged == runs[1].progress.diverged
    assert resumed[0].progress == runs[0].progress


@pytest.mark.parametrize(("threads", "group_size"), [(1, 1), (2, 1), (1, 4), (2, 2)])
def test_killed_and_resumed_runs_equal_uninterrupted_ones_bit_for_bit(
    threads, group_size, tmp_path, monkeypatch, checkpoint_at_every_collection, killed_before_step
):
    monkeypatch.setattr(loop, "_STEPS_BETWEEN_COLLECTIONS_ON_CPU", 3)
    options = {"threads": threads, "group_size": group_size}
    expected = trained_together(runs_of("affine", range(4)), **options)
    checkpoint = tmp_path / "batch.checkpoint"
    with killed_before_step(10):
        trained_together(runs_of("affine", range(4)), **options, checkpoint=checkpoint)
    assert {run["step"] for run in read_metadata(checkpoint).values()} == {9}
    resumed = trained_together(runs_of("affine", range(4)), **options, checkpoint=checkpoint)
    for run, other in zip(resumed, expected, strict=True):
        assert equal_weights(run, other)
        assert run.progress.losses == other.progress.losses
        assert run.progress.curves == other.progress.curves


@pytest.fixture(scope="module")
def did_run():
    """A trained DiD, whose curves have one point per step."""
    return trained_together(runs_of("did", range(1), SISTERS["did"][1]), "difference")[0]


def test_curves_are_means_over_equal_parts_of_the_training(did_run, monkeypatch):
    per_step = did_run.progress.curves
    assert list(per_step) == [
        *("KL z1", "KL z2", "KL z3"),
        *("critic", "penalty", "generator", "difference", "encoder", "total_correlation"),
    ]
    assert {len(values) for values in per_step.values()} == {12}
    # Twelve steps in five parts of 3, 2, 3, 2 and 2 steps.
    monkeypatch.setattr("vitae.training.step.CURVE_POINTS", 5)
    [averaged] = trained_together(runs_of("did", range(1), SISTERS["did"][1]), "difference")
    for name, values in averaged.progress.curves.items():
        ends = (0, 3, 5, 8, 10, 12)
        means = [sum(per_step[name][a:b]) / (b - a) for a, b in itertools.pairwise(ends)]
        assert values == pytest.approx(means)


def test_losses_are_the_weighted_sums_of_the_terms_in_the_curves(did_run):
    curves, weights = did_run.progress.curves, SISTERS["did"][1]
    losses = []
    for step in range(12):
        term = {name: values[step] for name, values in curves.items()}
        adversarial = term["critic"] + 10 * term["penalty"] + term["generator"]
        disentangling = sum(
            weights[strength] * term[name]
            for strength, name in (("difference", "difference"), ("independence", "total_correlation"))
        )
        kl_weight = min(1.0, step / 12 / SCHEDULE.kl_annealing)
        losses.append(adversarial + term["encoder"] + kl_weight * disentangling)
    means = [sum(losses[start : start + 4]) / 4 for start in (0, 4, 8)]
    assert did_run.progress.losses == pytest.approx(means, rel=1e-5)


def test_one_run_of_a_batch_resumes_alone_from_the_checkpoint_of_the_batch(tmp_path):
    checkpoint = tmp_path / "batch.checkpoint"
    all_runs = trained_together(runs_of("affine", range(4)), checkpoint=checkpoint)
    [run] = runs_of("affine", [2])
    trained_together([run], resume=checkpoint)
    assert torch.equal(run.model.decoder_P.layers[0].weight, all_runs[2].model.decoder_P.layers[0].weight)
    assert run.progress.losses == all_runs[2].progress.losses
    with pytest.raises(InputError, match="belongs to a run with other settings"):
        trained_together(runs_of("affine", [7]), resume=checkpoint)


@pytest.mark.parametrize("transform", ["affine", "cpab"])
def test_bf16_changes_losses_slightly_and_keeps_weights_in_float32(transform):
    exact, rounded = (trained_together(runs_of(transform, range(2)), precision=p) for p in ("float32", "bf16"))
    for run, other in zip(exact, rounded, strict=True):
        assert run.progress.losses != other.progress.losses
        assert run.progress.losses == pytest.approx(other.progress.losses, rel=2e-3)
        assert {value.dtype for value in other.model.state_dict().values()} == {torch.float32}
    with pytest.raises(InputError, match="unknown precision 'fp16'"):
        trained_together(runs_of("affine", [0]), precision="fp16")


def test_each_run_logs_its_epochs_and_keeps_its_own_weights(tmp_path):
    runs = runs_of("affine", range(2))
    for run in runs:
        run.log = tmp_path / f"{run.name}.log"
    trained_together(runs)
    lines = (tmp_path / "affine-1.log").read_text().splitlines()
    assert len(lines) == 5
    assert lines[0].endswith("affine-1: starts at step 0 of 12")
    assert lines[3].endswith(f"epoch 3: loss {runs[1].progress.losses[2]:.3f}, ELBO {runs[1].progress.elbo:.3f}")
    train(runs[1].model, RandomImages(), "elbo", {}, SCHEDULE, seed=5)
    assert not torch.equal(runs[0].model.decoder_P.layers[0].weight, runs[1].model.decoder_P.layers[0].weight)


def test_predrawn_noise_equals_noise_drawn_during_the_pass():
    [run] = runs_of("affine", [3])
    group = RunGroup([run], RandomImages(), "elbo", "float32")
    predrawn = [noise[0] for noise in group._noise_of(5, group._images_of(5))]
    stream = generator("cpu", 3, "noise", 5)
    expected = [torch.randn(8, 3, generator=stream), torch.randn(8, 2, generator=stream)]
    assert [noise.shape for noise in predrawn] == [noise.shape for noise in expected]
    assert all(torch.equal(*pair) for pair in zip(predrawn, expected, strict=True))

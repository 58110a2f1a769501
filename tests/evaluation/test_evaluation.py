import linear_gaussian
import numpy as np
import pytest
import torch

from vitae import InputError
from vitae.data.dataset import Dataset, Factor, Source, as_floats
from vitae.data.grid import Grid
from vitae.evaluation import codes, likelihood
from vitae.experiments.build import build
from vitae.experiments.configuration import configure
from vitae.models.likelihoods import Bernoulli
from vitae.models.objectives import elbo_per_image
from vitae.support import randomness


@pytest.fixture
def images(generator):
    return torch.randint(0, 256, (40, *linear_gaussian.SHAPE), generator=generator, dtype=torch.uint8)


def test_with_the_exact_posterior_every_importance_weight_is_the_likelihood_of_its_image(images, generator):
    x = as_floats(images)
    weights = linear_gaussian.model().log_weights(x, generator, 7)
    expected = linear_gaussian.log_p(x)
    torch.testing.assert_close(weights, expected[:, None].expand(-1, 7), rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.1, "images must differ, or a wrong order would pass"


def test_elbo_with_the_exact_posterior_is_the_likelihood(images):
    expected = linear_gaussian.log_p(as_floats(images)).mean()
    # The KL is exact and the reconstruction term sampled, so single images vary but their mean is precise.
    many = images.repeat(500, 1, 1, 1)
    estimate = likelihood.elbo(linear_gaussian.model(), many, seed=0)
    assert abs(estimate.mean - float(expected)) < 4 * estimate.standard_error < 0.1


def test_elbo_is_below_the_likelihood_by_the_kl_of_the_posterior(images):
    shift, stretch = 0.1, 2.0
    expected = linear_gaussian.log_p(as_floats(images)).mean() - linear_gaussian.kl_of_posterior(shift, stretch)
    estimate = likelihood.elbo(linear_gaussian.model(shift, stretch), images.repeat(500, 1, 1, 1), seed=0)
    assert abs(estimate.mean - float(expected)) < 4 * estimate.standard_error < 0.1


def test_importance_weighted_bound_rises_to_the_likelihood_with_more_samples(images):
    inexact = linear_gaussian.model(shift=0.15, stretch=1.5)
    expected = float(linear_gaussian.log_p(as_floats(images)).mean())
    bounds = [likelihood.log_likelihood(inexact, images, samples=k, seed=0).mean for k in (1, 10, 100, 20_000)]
    assert bounds == sorted(bounds)
    assert bounds[0] < expected - 0.2
    assert bounds[-1] == pytest.approx(expected, abs=0.01)


def test_the_gain_of_more_samples_is_the_difference_of_two_bounds(images):
    inexact = linear_gaussian.model(shift=0.15, stretch=1.5)
    many = images.repeat(200, 1, 1, 1)
    bounds = [likelihood.log_likelihood(inexact, many, samples=k, seed=3).mean for k in (2, 400)]
    gain = likelihood.log_likelihood_gain(inexact, many, samples=2, more=400, seed=4)
    assert gain.mean == pytest.approx(bounds[1] - bounds[0], abs=0.05)
    assert gain.mean > 5 * gain.standard_error
    exact = likelihood.log_likelihood_gain(linear_gaussian.model(), images, samples=2, more=50, seed=0)
    assert exact.mean == pytest.approx(0, abs=1e-4)
    assert likelihood.log_likelihood_gain(inexact, images, samples=9, more=5, seed=0).mean == 0


def test_no_mean_is_above_the_limit_of_bernoulli_pixels():
    images = torch.tensor([[0, 255], [51, 204]], dtype=torch.uint8).reshape(2, 1, 1, 2)
    # Black and white cost nothing but the margin, and each grey pixel its entropy.
    entropy = -(0.2 * np.log(0.2) + 0.8 * np.log(0.8))
    limit = likelihood.bernoulli_limit(images)
    assert limit == pytest.approx(-entropy, abs=1e-4)
    x, nearby = as_floats(images), as_floats(images).mul(0.9).add(0.05)
    assert Bernoulli().log_prob(x, nearby).mean() < limit


def test_chunks_together_hold_all_samples(images, monkeypatch):
    inexact = linear_gaussian.model(shift=0.15, stretch=1.5)
    monkeypatch.setattr(likelihood, "_PIXELS_PER_CHUNK", 6 * 300)
    estimate = likelihood.log_likelihood(inexact, images[:1], samples=700, seed=0)
    noise = randomness.generator("cpu", 0, "importance", 0)
    parts = [inexact.log_weights(as_floats(images[:1]), noise, size) for size in (300, 300, 100)]
    expected = torch.cat(parts, dim=1).double().logsumexp(1) - np.log(700)
    assert estimate.mean == pytest.approx(float(expected), abs=1e-6)
    assert np.isnan(estimate.standard_error)


def test_elbo_of_evaluation_has_kl_weight_one(images):
    """Whatever the objective of the training was."""
    model = linear_gaussian.model()
    x = as_floats(images)
    output = model(x, torch.Generator().manual_seed(3))
    by_hand = model.likelihood.log_prob(x, output.mean) - output.latents.joint().kl_to_prior().sum(1)
    torch.testing.assert_close(elbo_per_image(output), by_hand)


def test_zero_samples_are_refused(images):
    with pytest.raises(InputError, match="samples must be a whole number of 1 or more, got 0"):
        likelihood.log_likelihood(linear_gaussian.model(), images, samples=0, seed=0)


@pytest.fixture
def conditional():
    return build(configure("mnist", "c-vitae", "smoke"), (1, 28, 28))


def test_codes_follow_the_inference_path_of_training(conditional, generator):
    """z_A is inferred from T_-gamma(x), with gamma from the mean of z_P, not from the raw image."""
    images = torch.randint(0, 256, (5, 1, 28, 28), generator=generator, dtype=torch.uint8)
    x = as_floats(images)
    with torch.no_grad():
        for parameter in conditional.decoder_P.parameters():
            parameter.mul_(20)  # make the perspective visible
        means = codes.codes(conditional, images)
        gamma = conditional.decoder_P(conditional.encoder_P(x).mean)
        upright = conditional.transformation.warp(x, -gamma)
        expected = conditional.encoder_A(upright).mean
        naive = conditional.encoder_A(x).mean
    np.testing.assert_allclose(means["z_A"], expected.double().numpy(), atol=1e-5)
    assert np.abs(means["z_A"] - naive.numpy()).max() > 1e-3, "encoding the raw image would pass this test"


def test_each_perspective_draw_has_its_own_appearance_posterior(conditional, generator):
    x = torch.rand(2, 1, 28, 28, generator=generator)
    latents = conditional.infer(x, generator, samples=3)
    with torch.no_grad():
        for row, image in enumerate([0, 0, 0, 1, 1, 1]):
            z_P = latents.samples["z_P"][row : row + 1]
            alone = conditional.encoder_A(conditional.undo_perspective(x[image : image + 1], {"z_P": z_P}))
            torch.testing.assert_close(latents.posteriors["z_A"].mean[row : row + 1], alone.mean, rtol=1e-4, atol=1e-5)


@pytest.fixture
def coloured(generator):
    images = torch.randint(0, 256, (25, 3, 6, 4), generator=generator, dtype=torch.uint8)
    return Dataset(images, np.zeros((25, 1)), (Factor("none", "class", ("a",)),), Source("embedded", "noise"))


def test_codes_of_a_module_a_function_and_a_transformer_are_the_same(coloured):
    """The same linear map of pixels as each kind of encoder, in blocks and at once."""
    linear = torch.nn.Linear(72, 3)
    module = torch.nn.Sequential(torch.nn.Flatten(), linear)
    matrix, offset = linear.weight.detach().numpy(), linear.bias.detach().numpy()

    class Transformer:
        def transform(self, x):
            return x @ matrix.T + offset

    expected = coloured.images.flatten(1).numpy().astype(np.float32) / 255 @ matrix.T + offset
    for encoder in (module, Transformer(), lambda x: module(x).numpy()):
        for batch in (4, 1_000):
            table = codes.codes_of(encoder, coloured, batch=batch)
            assert table.dtype == np.float64
            np.testing.assert_allclose(table, expected, atol=1e-5)
    np.testing.assert_allclose(codes.codes_of(module, coloured.images), expected, atol=1e-5)


def test_codes_of_a_model_are_its_posterior_means_with_all_spaces_side_by_side():
    images = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8)
    model = build(configure("mnist", "c-vitae", "smoke"), (1, 28, 28))
    spaces = codes.codes(model, images)
    table = codes.codes_of(model, images, batch=2)
    np.testing.assert_allclose(table, np.hstack([spaces["z_A"], spaces["z_P"]]), atol=1e-6)


def test_codes_of_a_grid_are_in_the_order_of_its_combinations():
    """Each image is a single pixel with the number of its combination; the block size does not divide the grid."""
    factors = tuple(Factor(name, "class", tuple(range(size))) for name, size in (("a", 3), ("b", 7)))
    grid = Grid(
        factors,
        Source("embedded", "numbers"),
        lambda p: torch.from_numpy(7 * p[:, :1] + p[:, 1:]).to(torch.uint8)[..., None, None],
    )
    table = codes.codes_of(lambda x: torch.cat([x, -x]).view(2, -1).T * 255, grid, batch=4)
    np.testing.assert_allclose(table, np.column_stack([np.arange(21), -np.arange(21)]), atol=1e-4)


@pytest.mark.parametrize(
    ("encoder", "complaint"),
    [
        (torch.nn.Linear(5, 2), r"the encoder failed on images of shape \(25, 3, 6, 4\)"),
        (lambda x: (x, x), "must return one row of numbers per image, but returned"),
        (lambda x: x[:3].flatten(1), r"returned float32 \(3, 72\) for 25 images"),
        (lambda x: [[1], [2, 3]], "must return one row of numbers per image"),
        (7, "an encoder must be callable or have a method transform; int has neither"),
    ],
)
def test_an_encoder_that_returns_no_codes_is_refused_with_the_reason(encoder, complaint, coloured):
    with pytest.raises(InputError, match=complaint):
        codes.codes_of(encoder, coloured)


def test_an_encoder_whose_codes_change_width_is_refused(coloured):
    widths = iter([3, 1, 2])
    with pytest.raises(InputError, match="returned 3 per image first and 1 later"):
        codes.codes_of(lambda x: x.flatten(1)[:, : next(widths)], coloured, batch=10)


def test_encoding_keeps_double_precision_and_the_mode_of_each_submodule(coloured):
    large = codes.codes_of(lambda x: 1e9 + x.flatten(1)[:, :3].double(), coloured)
    np.testing.assert_allclose(large - 1e9, coloured.images.flatten(1)[:, :3].numpy() / 255, atol=1e-6)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(72), torch.nn.Dropout())
    module[2].eval()
    module.transform = None
    first = codes.codes_of(module, coloured)
    np.testing.assert_array_equal(first, codes.codes_of(module, coloured, batch=3))
    assert [part.training for part in module.modules()] == [True, True, True, False]


def test_only_images_can_be_encoded():
    with pytest.raises(InputError, match="dataset must be a Dataset, a Grid or a tensor of images, got str"):
        codes.codes_of(lambda x: x, "mnist")
    with pytest.raises(InputError, match="there are no images"):
        codes.codes_of(lambda x: x, torch.empty((0, 1, 4, 4), dtype=torch.uint8))


def test_reconstruction_error_agrees_with_the_linear_gaussian_model(images):
    """The posterior mean of this model is a shrunken projection of the image."""
    x, W = as_floats(images).flatten(1), linear_gaussian.W
    shrunk = torch.diag(1 / (linear_gaussian.VARIANCE * linear_gaussian.PRECISION))
    errors = (x - x @ W @ shrunk @ W.T).square().mean(1)
    estimate = likelihood.reconstruction(linear_gaussian.model(), images)
    assert estimate.mean == pytest.approx(float(errors.mean()))
    assert estimate.standard_error == pytest.approx(float(errors.std()) / len(x) ** 0.5)

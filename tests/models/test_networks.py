import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitae import InputError
from vitae.models.gaussian import Gaussian
from vitae.models.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from vitae.models.perspective_decoder import ParameterDecoder


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(5, 40), st.integers(5, 40))
def test_convolutional_decoder_has_the_shape_of_the_encoders_images(channels, height, width):
    shape = (channels, height, width)
    x = torch.rand(2, *shape)
    posterior = ConvEncoder(shape, 3, channels=(4, 6, 8), hidden=16)(x)
    assert posterior.mean.shape == posterior.log_variance.shape == (2, 3)
    assert ConvDecoder(shape, 3, channels=(4, 6, 8), hidden=16)(posterior.mean).shape == x.shape


def test_mlp_decoder_has_the_shape_of_the_encoders_images():
    shape = (3, 7, 5)
    posterior = MLPEncoder(shape, 4, hidden=(16, 8))(torch.rand(2, *shape))
    assert posterior.mean.shape == (2, 4)
    assert MLPDecoder(shape, 4, hidden=(16, 8))(posterior.mean).shape == (2, *shape)


@pytest.mark.parametrize("encoder", [MLPEncoder((1, 28, 28), 2), ConvEncoder((1, 28, 28), 2)])
def test_images_of_another_shape_are_refused(encoder):
    with pytest.raises(InputError, match=r"takes images of 1 x 28 x 28 .* got 3 x 64 x 64"):
        encoder(torch.rand(2, 3, 64, 64))


def test_images_of_another_dtype_are_refused():
    with pytest.raises(InputError, match=r"takes images of torch.float32 in \[0, 1\], got torch.float64"):
        MLPEncoder((1, 28, 28), 2)(torch.rand(2, 1, 28, 28, dtype=torch.float64))


@pytest.mark.parametrize("network", [ConvEncoder, ConvDecoder])
def test_images_too_small_for_the_convolutions_are_refused(network):
    with pytest.raises(InputError, match=r"need images of 5 x 5 pixels or more, got 3 x 28"):
        network((1, 3, 28), 2)


def test_perspective_decoder_starts_near_the_identity(generator):
    z = torch.randn(1000, 3, generator=generator)
    torch.manual_seed(0)
    gamma = ParameterDecoder(3, 6)(z)
    torch.manual_seed(0)
    unscaled = ParameterDecoder(3, 6, start=1.0)(z)
    torch.testing.assert_close(gamma * 10, unscaled)
    assert gamma.abs().mean() < 0.05


def test_samples_have_the_density_of_log_prob(generator):
    q = Gaussian(torch.tensor([[0.5, -2.0]]), torch.tensor([[-1.0, 0.7]])).repeat(200_000)
    z = q.sample(generator)
    entropy = 0.5 * (q.log_variance[0] + math.log(2 * math.pi) + 1)
    torch.testing.assert_close(-q.log_prob(z).mean(0), entropy, rtol=0, atol=0.01)
    torch.testing.assert_close(z.var(0), q.log_variance[0].exp(), rtol=0.02, atol=0)


def test_kl_to_prior_matches_torchs(generator):
    mean, log_variance = torch.randn(2, 50, 4, generator=generator)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_variance).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(Gaussian(mean, log_variance).kl_to_prior(), expected)


def test_sampling_without_noise_returns_the_mean():
    q = Gaussian(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2))
    assert torch.equal(q.sample(None), q.mean)


def test_repeat_is_image_major():
    q = Gaussian(torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1)).repeat(2)
    assert q.mean[:, 0].tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize(
    "create",
    [
        lambda: MLPEncoder((1, 4, 4), 2, hidden=(8, 0)),
        lambda: MLPDecoder((1, 4, 4), 0),
        lambda: ParameterDecoder(0, 6),
        lambda: ConvDecoder((1, 8, 8), 0),
    ],
)
def test_widths_of_zero_are_refused(create):
    with pytest.raises(InputError, match="need a width of 1 or more"):
        create()


def test_networks_without_hidden_layers_are_linear():
    z = torch.randn(5, 2)
    decoder = MLPDecoder((1, 2, 2), 2, hidden=())
    torch.testing.assert_close(decoder(z) + decoder(-z), 2 * decoder(torch.zeros(5, 2)))
    assert MLPEncoder((1, 2, 2), 3, hidden=())(torch.rand(5, 1, 2, 2)).mean.shape == (5, 3)
    with pytest.raises(InputError, match="at least one entry in channels"):
        ConvEncoder((1, 8, 8), 2, channels=())


def test_the_limit_bounds_parameters_and_hardly_changes_small_ones():
    unbounded, bounded = ParameterDecoder(2, 5), ParameterDecoder(2, 5, limit=0.2)
    bounded.load_state_dict(unbounded.state_dict())
    z = torch.linspace(-3, 3, 20).reshape(10, 2)
    torch.testing.assert_close(bounded(z), 0.2 * torch.tanh(unbounded(z) / 0.2))
    small = unbounded(z).abs() < 0.02
    torch.testing.assert_close(bounded(z)[small], unbounded(z)[small], atol=0, rtol=0.005)
    assert bounded(1e6 * z).abs().max() <= 0.2
    assert unbounded(1e6 * z).abs().max() > 1


@pytest.mark.parametrize("hidden", [(), (7,)])
def test_each_latent_starts_as_one_generator(hidden):
    generators = torch.randn(3, 6)
    decoder = ParameterDecoder(3, 6, hidden=hidden, start=0.2, generators=generators)
    torch.testing.assert_close(decoder(torch.eye(3)), 0.2 * generators)
    torch.testing.assert_close(decoder(torch.zeros(1, 3)), torch.zeros(1, 6))
    # Fewer latents than generators take the first generators; further latents start at random.
    one_latent = ParameterDecoder(1, 6, hidden, generators=generators)(torch.eye(1))
    torch.testing.assert_close(one_latent, 0.1 * generators[:1])
    five_latents = ParameterDecoder(5, 6, hidden, generators=generators)(torch.eye(5))
    torch.testing.assert_close(five_latents[:3], 0.1 * generators)
    assert (five_latents[3:] != 0).all()
    with pytest.raises(InputError, match="generators must be n x 6, got 2 x 5"):
        ParameterDecoder(3, 6, generators=torch.zeros(2, 5))


@pytest.mark.parametrize("hidden", [(), (7,)])
def test_only_a_hidden_layer_learns_a_nonlinear_map(hidden):
    generators = torch.randn(3, 6)
    decoder = ParameterDecoder(3, 6, hidden=hidden, start=0.2, generators=generators)
    optimiser = torch.optim.Adam(decoder.parameters(), 0.05)
    for _ in range(20):
        z = torch.randn(64, 3)
        loss = (decoder(z) - z.square() @ generators).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    linear = torch.allclose(decoder(z) + decoder(-z), 2 * decoder(torch.zeros(1, 3)), atol=1e-4)
    assert linear == (not hidden)

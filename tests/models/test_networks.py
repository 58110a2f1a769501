import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitae import InputError
from vitae.models.gaussian import Gaussian
from vitae.models.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from vitae.models.perspective_decoder import ParameterDecoder


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3), st.integers(5, 40), st.integers(5, 40))
def test_convolutional_decoder_returns_to_the_encoders_shape(channels, height, width):
    shape = (channels, height, width)
    x = torch.rand(2, *shape)
    posterior = ConvEncoder(shape, 3, channels=(4, 6, 8), hidden=16)(x)
    assert posterior.mean.shape == posterior.log_variance.shape == (2, 3)
    assert ConvDecoder(shape, 3, channels=(4, 6, 8), hidden=16)(posterior.mean).shape == x.shape


def test_perceptron_keeps_the_shape_of_images():
    shape = (3, 7, 5)
    posterior = MLPEncoder(shape, 4, hidden=(16, 8))(torch.rand(2, *shape))
    assert posterior.mean.shape == (2, 4)
    assert MLPDecoder(shape, 4, hidden=(16, 8))(posterior.mean).shape == (2, *shape)


@pytest.mark.parametrize("encoder", [MLPEncoder((1, 28, 28), 2), ConvEncoder((1, 28, 28), 2)])
def test_images_of_another_shape_are_refused_in_one_sentence(encoder):
    with pytest.raises(InputError, match=r"takes images of 1 x 28 x 28 .* got 3 x 64 x 64"):
        encoder(torch.rand(2, 3, 64, 64))


def test_images_in_another_precision_are_refused_in_one_sentence():
    with pytest.raises(InputError, match=r"takes images of torch.float32 in \[0, 1\], got torch.float64"):
        MLPEncoder((1, 28, 28), 2)(torch.rand(2, 1, 28, 28, dtype=torch.float64))


@pytest.mark.parametrize("network", [ConvEncoder, ConvDecoder])
def test_images_too_small_for_the_convolutions_are_refused(network):
    with pytest.raises(InputError, match=r"need images of 5 x 5 pixels or more, got 3 x 28"):
        network((1, 3, 28), 2)


def test_perspective_decoder_starts_near_the_identity(generator):
    z = torch.randn(1000, 3, generator=generator)
    torch.manual_seed(0)
    near = ParameterDecoder(3, 6)(z)
    torch.manual_seed(0)
    usual = ParameterDecoder(3, 6, start=1.0)(z)
    torch.testing.assert_close(near * 10, usual)
    assert near.abs().mean() < 0.05


def test_samples_have_the_variance_that_is_scored(generator):
    q = Gaussian(torch.tensor([[0.5, -2.0]]), torch.tensor([[-1.0, 0.7]])).repeat(200_000)
    z = q.sample(generator)
    entropy = 0.5 * (q.log_variance[0] + math.log(2 * math.pi) + 1)
    torch.testing.assert_close(-q.log_prob(z).mean(0), entropy, rtol=0, atol=0.01)
    torch.testing.assert_close(z.var(0), q.log_variance[0].exp(), rtol=0.02, atol=0)


def test_kl_to_prior_is_torchs(generator):
    mean, log_variance = torch.randn(2, 50, 4, generator=generator)
    ours = Gaussian(mean, log_variance).kl_to_prior()
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_variance).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(ours, theirs)


def test_no_generator_means_the_mean():
    q = Gaussian(torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2))
    assert torch.equal(q.sample(None), q.mean)


def test_repeat_is_image_major():
    q = Gaussian(torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1)).repeat(2)
    assert q.mean[:, 0].tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize(
    "make",
    [
        lambda: MLPEncoder((1, 4, 4), 2, hidden=(8, 0)),
        lambda: MLPDecoder((1, 4, 4), 0),
        lambda: ParameterDecoder(0, 6),
        lambda: ConvDecoder((1, 8, 8), 0),
    ],
)
def test_widths_of_nothing_are_refused(make):
    with pytest.raises(InputError, match="need a width of 1 or more"):
        make()


def test_networks_without_hidden_layers_are_linear():
    z = torch.randn(5, 2)
    decoder = MLPDecoder((1, 2, 2), 2, hidden=())
    torch.testing.assert_close(decoder(z) + decoder(-z), 2 * decoder(torch.zeros(5, 2)))
    assert MLPEncoder((1, 2, 2), 3, hidden=())(torch.rand(5, 1, 2, 2)).mean.shape == (5, 3)
    with pytest.raises(InputError, match="at least one entry in channels"):
        ConvEncoder((1, 8, 8), 2, channels=())


def test_no_parameter_goes_beyond_its_limit_and_small_ones_hardly_notice():
    free, bound = ParameterDecoder(2, 5), ParameterDecoder(2, 5, limit=0.2)
    bound.load_state_dict(free.state_dict())
    z = torch.linspace(-3, 3, 20).reshape(10, 2)
    torch.testing.assert_close(bound(z), 0.2 * torch.tanh(free(z) / 0.2))
    small = free(z).abs() < 0.02
    torch.testing.assert_close(bound(z)[small], free(z)[small], atol=0, rtol=0.005)
    assert bound(1e6 * z).abs().max() <= 0.2
    assert free(1e6 * z).abs().max() > 1


@pytest.mark.parametrize("hidden", [(), (7,)])
def test_latents_start_as_generators(hidden):
    generators = torch.randn(3, 6)
    decoder = ParameterDecoder(3, 6, hidden=hidden, start=0.2, generators=generators)
    torch.testing.assert_close(decoder(torch.eye(3)), 0.2 * generators)
    torch.testing.assert_close(decoder(torch.zeros(1, 3)), torch.zeros(1, 6))
    # Fewer latents take the first ones, more of them start at random.
    torch.testing.assert_close(
        ParameterDecoder(1, 6, hidden, generators=generators)(torch.eye(1)), 0.1 * generators[:1]
    )
    more = ParameterDecoder(5, 6, hidden, generators=generators)(torch.eye(5))
    torch.testing.assert_close(more[:3], 0.1 * generators)
    assert (more[3:] != 0).all()
    with pytest.raises(InputError, match="generators must be n x 6, got 2 x 5"):
        ParameterDecoder(3, 6, generators=torch.zeros(2, 5))
    # A hidden layer learns to bend them, and without one nothing does.
    optimiser = torch.optim.Adam(decoder.parameters(), 0.05)
    for _ in range(20):
        z = torch.randn(64, 3)
        loss = (decoder(z) - z.square() @ generators).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    straight = torch.allclose(decoder(z) + decoder(-z), 2 * decoder(torch.zeros(1, 3)), atol=1e-4)
    assert straight == (not hidden)

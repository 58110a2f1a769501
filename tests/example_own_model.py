import torch

from vitae import (
    MNIST,
    VITAE,
    Affine,
    Bernoulli,
    ConvDecoder,
    ConvEncoder,
    ParameterDecoder,
    Schedule,
)
from vitae.train import train

torch.manual_seed(0)  # of the initial weights
digits = MNIST.load("train", size=500)
shape, transformation = digits.shape, Affine()
model = VITAE(
    encoder_A=ConvEncoder(shape, 2),
    encoder_P=ConvEncoder(shape, 3),
    decoder_A=ConvDecoder(shape, 2),
    decoder_P=ParameterDecoder(3, transformation.dim),
    transformation=transformation,
    likelihood=Bernoulli(),
    spaces={"z_A": 2, "z_P": 3},
    conditional=True,
)
progress = train(model, digits, "elbo", {}, Schedule(epochs=2, batch=50), seed=0)
print(progress.losses)  # nats per image, one number an epoch

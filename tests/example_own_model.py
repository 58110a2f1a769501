import torch

from vitae import VITAE, Affine
from vitae.data import DATASETS
from vitae.models.likelihoods import Bernoulli
from vitae.models.networks import ConvDecoder, ConvEncoder
from vitae.models.perspective_decoder import ParameterDecoder
from vitae.training.loop import train
from vitae.training.schedule import Schedule

torch.manual_seed(0)  # for the initial weights
digits = DATASETS["mnist"].for_training("train", size=500)
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
print(progress.losses)  # mean loss of each epoch, in nats per image

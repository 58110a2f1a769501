import torch
from sklearn.decomposition import PCA

from vitae import codes_of, data
from vitae.metrics import report

sprites = data.load("dsprites", "train", size=600, source="embedded")

# A module of your own: anything that turns a batch of images in [0, 1] into a row of numbers each.
torch.manual_seed(0)
encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64 * 64, 6), torch.nn.Tanh())
untrained = report(codes_of(encoder, sprites), sprites.factors, names=sprites.names, fast=True)

# Or whatever has a method transform, as scikit-learn's do.
pca = PCA(6, random_state=0).fit(sprites.images.flatten(1) / 255)
principal = report(codes_of(pca, sprites), sprites.factors, names=sprites.names, fast=True)

for name, found in (("untrained", untrained), ("PCA", principal)):
    print(name, f"MIG {found.mig.score:.3f}, x from code 1 (nats): {found.mig.information[0, 3]:.2f}")
print(principal.caption())

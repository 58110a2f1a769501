import torch
from sklearn.decomposition import PCA

from vitae import codes_of, data
from vitae.metrics import report

sprites = data.load("dsprites", "train", size=600, source="embedded")

# Your own module: any function from a batch of images in [0, 1] to `batch x codes`.
torch.manual_seed(0)
encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64 * 64, 6), torch.nn.Tanh())
untrained = report(codes_of(encoder, sprites), sprites.factors, names=sprites.names, fast=True)

# Or any object with a method `transform`, as in scikit-learn.
pca = PCA(6, random_state=0).fit(sprites.images.flatten(1) / 255)
principal = report(codes_of(pca, sprites), sprites.factors, names=sprites.names, fast=True)

for name, scores in (("untrained", untrained), ("PCA", principal)):
    print(name, f"MIG {scores.mig.score:.3f}, x from code 1 (nats): {scores.mig.information[0, 3]:.2f}")
print(principal.caption())

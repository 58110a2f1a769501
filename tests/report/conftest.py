import pytest
import torch

from vitae import build, configure


@pytest.fixture
def model():
    return build(configure("mnist", "c-vitae", "smoke"), (1, 28, 28)).eval()


@pytest.fixture
def images(generator):
    return torch.randint(0, 256, (3, 1, 28, 28), generator=generator, dtype=torch.uint8)


@pytest.fixture
def drawn_images():
    """A function that returns the arrays of all images of a figure."""

    def arrays(figure):
        return [image.get_array().data for axes in figure.axes for image in axes.images]

    return arrays

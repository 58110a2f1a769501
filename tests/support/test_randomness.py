import torch

from vitae.support.randomness import generator, stream

# A constant: changing the streams would change every result in the book.
GOLDEN = 2031072904172940845


def test_streams_differ_if_any_part_of_their_name_differs():
    names = [(0, "noise", 1), (1, "noise", 1), (0, "order", 1), (0, "noise", 2), (0, "noise"), (0, "noise", 1, 1)]
    assert len({stream(*name) for name in names}) == len(names)
    assert all(0 <= stream(*name) < 2**63 for name in names)


def test_streams_are_the_same_on_every_machine():
    assert stream(0, "noise", 1200) == GOLDEN
    first = torch.rand(3, generator=generator("cpu", 5, "perspective", 2))
    assert torch.equal(first, torch.rand(3, generator=generator("cpu", 5, "perspective", 2)))

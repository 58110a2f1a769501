import torch

from vitae.support.threads import thread_map


def test_threads_divide_torchs_threads_and_keep_the_order():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with thread_map(2) as in_threads:
            assert list(in_threads(lambda n: (n, torch.get_num_threads()), range(4))) == [(n, 1) for n in range(4)]
        with thread_map(1) as in_threads:
            assert list(in_threads(lambda n: torch.get_num_threads(), [0])) == [2]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)

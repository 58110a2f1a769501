"""A parallel `map` in threads that divide torch's threads among them."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch


@contextlib.contextmanager
def thread_map(count: int) -> Iterator[Callable]:
    """A `map` in `count` threads, each with an equal share of torch's threads; the built-in `map` if `count` is one.

    For small matrix products, two threads with one core each are faster than one thread with two cores.
    """
    if count <= 1:
        yield map
        return
    threads = torch.get_num_threads()
    try:
        share = max(1, threads // count)
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(share,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)

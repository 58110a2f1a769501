import subprocess
import sys
import textwrap

import pytest
import torch

from vitae import InputError
from vitae.support.devices import pick_device, precision, tf32


def test_the_error_names_a_device_that_does_not_exist():
    assert pick_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        assert pick_device() == torch.device("cpu")
        with pytest.raises(InputError, match="torch finds no GPU: use --device cpu"):
            pick_device("cuda")


def test_precision_is_restored_after_the_context():
    before = torch.get_float32_matmul_precision()
    with tf32(True):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before
    with precision("bf16", torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is on Linux only")
def test_freed_memory_stays_in_the_process():
    """Count the page faults of a process that allocates and frees a large tensor repeatedly."""
    program = """
        import resource, sys, torch
        from vitae.support.devices import keep_freed_memory
        if sys.argv[1] == "keep":
            keep_freed_memory()
        for n in range(40):
            # The heap grows during the first rounds.
            if n == 20:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            # 40 MB: glibc may keep freed blocks of up to 32 MiB by default.
            large = torch.zeros(10_000_000)
            del large
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """
    faults = {
        mode: int(
            subprocess.run(
                [sys.executable, "-c", textwrap.dedent(program), mode], capture_output=True, text=True, check=True
            ).stdout
        )
        for mode in ("keep", "default")
    }
    assert faults["keep"] < 2_000 < 100_000 < faults["default"]
